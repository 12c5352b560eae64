//! Instruction files as their tools read them: requirements, MLmodel, shell scripts. What a text says is recorded
//! whatever its name; only a name that makes it an instruction gives it weight.

use super::paths;
use serde_json::Value;
use wb_verdict::{FactKind, escape};

/// Most facts of one kind.
const MAX: usize = 20;

/// Hosts that packages usually come from.
const USUAL: &[&str] = &[
    "pypi.org",
    "files.pythonhosted.org",
    "download.pytorch.org",
    "pypi.nvidia.com",
    "pypi.ngc.nvidia.com",
    "data.pyg.org",
    "storage.googleapis.com",
    "github.com",
    "gitlab.com",
    "huggingface.co",
    "conda.anaconda.org",
    "repo.anaconda.com",
];

fn fact(code: &str, callable: &str, line: &str) -> FactKind {
    let rendering = escape(&line.chars().take(200).collect::<String>());
    FactKind::Source { code: code.into(), when: String::new(), callable: escape(callable), rendering }
}

/// Everything an instruction file may say, line by line.
pub(crate) fn read(text: &str, found: &mut dyn FnMut(FactKind)) {
    let (mut requirements, mut scripts) = (0, 0);
    for line in text.lines() {
        let bare =
            line.trim_start_matches([' ', '\t', '-', '"', '\'', ',']).trim_end_matches([' ', '"', '\'', ',']);
        let option = line.trim_start().trim_start_matches(['"', '\'']);
        if bare.is_empty() || option.starts_with('#') {
            continue;
        }
        if requirements < MAX
            && let Some(code) = requirement(option, bare)
        {
            requirements += 1;
            found(fact(code, "pip install", line.trim()));
        }
        if scripts < MAX && super::python::is_attack(line) {
            scripts += 1;
            found(fact("script-attack", "", line.trim()));
        }
    }
}

/// `https` at a usual host.
fn usual(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://").or_else(|| url.strip_prefix("ssh://git@")) else {
        return false;
    };
    let host = rest.split(['/', ':', '?', '#']).next().unwrap_or(rest);
    // What stands before an @ is a user name, whatever it looks like.
    let host = host.rsplit('@').next().unwrap_or(host).to_ascii_lowercase();
    USUAL.contains(&host.as_str())
}

/// An address in a line, from its scheme to the next blank.
fn address(line: &str) -> Option<&str> {
    let at = ["https://", "http://", "ssh://", "ftp://", "git://", "file://"]
        .iter()
        .filter_map(|s| line.find(s))
        .min()?;
    line.get(at..)?.split([' ', '\t', ';', '"', '\'']).next()
}

/// A line of a requirements file that takes packages from anywhere but the index. `option` keeps leading dashes.
fn requirement(option: &str, bare: &str) -> Option<&'static str> {
    let word = option.split([' ', '=', '\t']).next().unwrap_or(option);
    let index = matches!(
        word,
        "-i" | "--index-url" | "--pypi-url" | "--extra-index-url" | "-f" | "--find-links" | "--trusted-host"
    );
    let place = address(bare);
    if index {
        return match place {
            Some(url) if usual(url) => None,
            _ if word == "--trusted-host" => Some("requirement-elsewhere"),
            None => Some("requirement-direct"),
            Some(_) => Some("requirement-elsewhere"),
        };
    }
    let by_address = bare.starts_with("git+")
        || bare.contains(" @ ") && place.is_some()
        || place.is_some_and(|p| {
            bare.starts_with(p)
                && [".whl", ".tar.gz", ".zip"]
                    .iter()
                    .any(|e| p.split('#').next().is_some_and(|p| p.ends_with(e)))
        });
    if by_address {
        return Some(if place.is_some_and(usual) { "requirement-direct" } else { "requirement-elsewhere" });
    }
    let local = matches!(word, "-e" | "--editable") || option.starts_with("./") && option.ends_with(".whl");
    local.then_some(if place.is_some_and(|p| !usual(p)) {
        "requirement-elsewhere"
    } else {
        "requirement-direct"
    })
}

/// The keys of an MLmodel file that mlflow follows, in YAML or JSON.
pub(crate) fn mlmodel(value: &Value, found: &mut dyn FnMut(FactKind)) {
    if value.get("flavors").is_some_and(Value::is_object) {
        keys(value, found);
    }
}

fn keys(value: &Value, found: &mut dyn FnMut(FactKind)) {
    match value {
        Value::Array(items) => items.iter().for_each(|v| keys(v, found)),
        Value::Object(map) => {
            for (key, v) in map {
                match v {
                    Value::String(s) if !matches!(s.as_str(), "" | "null" | "~") => followed(key, s, found),
                    v => keys(v, found),
                }
            }
        }
        _ => {}
    }
}

fn followed(key: &str, value: &str, found: &mut dyn FnMut(FactKind)) {
    let line = format!("{key}: {value}");
    match key {
        "loader_module" | "keras_module" => {
            let own = matches!(value.split('.').next(), Some("mlflow" | "keras" | "tf_keras"))
                || value.starts_with("tensorflow.keras");
            if !own {
                found(fact("loader-module", value, &line));
            }
        }
        "code" | "model_code_path" => found(fact("model-code", value, &line)),
        // A `uri` tells where an artifact came from; only its copy at `path` is opened.
        "data" | "model_path" | "pickled_model" | "python_model" | "artifact_path" | "path"
        | "saved_model_dir" | "model_data" => {
            if let Some(code) = paths::escape_of(value.as_bytes()) {
                found(FactKind::UnsafePath { code: code.into(), detail: escape(&line) });
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<String> {
        let mut out = Vec::new();
        read(text, &mut |f| match f {
            FactKind::Source { code, .. } => out.push(code),
            FactKind::UnsafePath { code, .. } => out.push(format!("path-{code}")),
            other => panic!("{other:?}"),
        });
        out
    }

    #[test]
    fn requirements_from_elsewhere() {
        let none = "torch==2.6.0\n# --index-url http://x\nnumpy>=1.20 ; python_version < '3.9'\n-r base.txt\n\
                    --extra-index-url https://download.pytorch.org/whl/cu118\nsee https://example.org/page\n";
        assert_eq!(codes(none), [""; 0]);
        for line in [
            "--index-url http://pypi.org/simple",
            "--extra-index-url=https://example.org/simple",
            "--trusted-host example.org",
            "pkg @ http://example.org/p-1-py3-none-any.whl",
            "git+http://github.com/a/b",
            "- git+https://example.org/a/b.git",
            "https://example.org/p-1.tar.gz",
            "https://github.com@example.org/p-1.tar.gz",
        ] {
            assert_eq!(codes(line), ["requirement-elsewhere"], "{line}");
        }
        for line in [
            "-e .",
            "git+https://github.com/huggingface/transformers@main",
            "pkg @ git+https://github.com/a/b",
        ] {
            assert_eq!(codes(line), ["requirement-direct"], "{line}");
        }
    }

    #[test]
    fn mlmodel_keys() {
        let of = |text: &str| {
            let mut out = Vec::new();
            for value in super::super::yaml::read(text).values {
                mlmodel(&value, &mut |f| match f {
                    FactKind::Source { code, .. } => out.push(code),
                    FactKind::UnsafePath { code, .. } => out.push(format!("path-{code}")),
                    other => panic!("{other:?}"),
                });
            }
            out.sort();
            out
        };
        let honest = "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    model_path: model.pkl\n    code: null\n";
        assert_eq!(of(honest), [""; 0]);
        let artifact = "flavors:\n  python_function:\n    artifacts:\n      a: {path: artifacts/a.txt, uri: /home/me/a.txt}\n";
        assert_eq!(of(artifact), [""; 0]);
        let own = "flavors:\n  python_function:\n    loader_module: evil\n    code: code\n    data: ../../etc/passwd\n";
        assert_eq!(of(own), ["loader-module", "model-code", "path-traversal"]);
        assert_eq!(of("{\"flavors\": {python_function: {loader_module: evil}}}"), ["loader-module"]);
    }
}
