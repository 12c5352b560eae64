//! The manifest of a TorchServe archive or workflow (`MAR-INF/MANIFEST.json`): it names what the server imports and installs.

use super::paths;
use serde_json::{Map, Value};
use wb_verdict::{FactKind, escape};

/// Handlers that are part of TorchServe (`ts/torch_handler/`).
const BUILT_IN: &[&str] = &["image_classifier", "image_segmenter", "object_detector", "text_classifier"];

/// Records what a manifest names, if the value is one.
pub(crate) fn manifest(value: &Value, found: &mut dyn FnMut(FactKind)) {
    for (part, name) in [("model", "modelName"), ("workflow", "workflowName")] {
        if let Some(Value::Object(part)) = value.get(part)
            && part.contains_key(name)
        {
            entries(part, found);
        }
    }
}

fn entries(part: &Map<String, Value>, found: &mut dyn FnMut(FactKind)) {
    let text = |key: &str| part.get(key).and_then(Value::as_str).filter(|s| !s.is_empty());
    let mut directive = |code: &str, detail: String| {
        found(FactKind::Directive { code: code.into(), detail: escape(&detail) });
    };
    if let Some(handler) = text("handler").filter(|h| !BUILT_IN.contains(h)) {
        directive("torchserve-handler", format!("the handler {handler} runs as python in the model server"));
    }
    if let Some(file) = text("modelFile") {
        directive("torchserve-handler", format!("the model file {file} runs as python in the model server"));
    }
    // Requirements are judged as such by their name.
    let usual =
        |f: &str| f.rsplit('/').next().is_some_and(|f| f.starts_with("requirements") && f.ends_with(".txt"));
    if let Some(file) = text("requirementsFile").filter(|f| !usual(f)) {
        directive("torchserve-requirements", format!("the server installs what {file} lists"));
    }
    for key in ["handler", "modelFile", "serializedFile", "requirementsFile", "specFile", "configFile"] {
        if let Some(path) = text(key)
            && let Some(code) = paths::escape_of(path.as_bytes())
        {
            found(FactKind::UnsafePath { code: code.into(), detail: escape(&format!("{key}: {path}")) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(value: Value) -> Vec<String> {
        let mut out = Vec::new();
        manifest(&value, &mut |f| match f {
            FactKind::Directive { code, .. } | FactKind::UnsafePath { code, .. } => out.push(code),
            _ => {}
        });
        out
    }

    #[test]
    fn what_the_server_runs() {
        let model = |v: Value| serde_json::json!({"runtime": "python", "model": v});
        assert!(
            codes(model(serde_json::json!({"modelName": "m", "handler": "image_classifier"}))).is_empty()
        );
        let own = serde_json::json!({"modelName": "m", "handler": "handler.py:serve", "modelFile": "m.py"});
        assert_eq!(codes(model(own)), ["torchserve-handler", "torchserve-handler"]);
        let elsewhere =
            serde_json::json!({"modelName": "m", "serializedFile": "../m.pt", "requirementsFile": "deps"});
        assert_eq!(codes(model(elsewhere)), ["torchserve-requirements", "traversal"]);
        assert!(codes(serde_json::json!({"model": {"handler": "x"}})).is_empty());
    }
}
