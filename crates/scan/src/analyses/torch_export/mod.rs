//! Exported programs of torch (`torch/_export/serde/schema.py`): a graph as JSON. Loading one resolves the targets of its nodes,
//! lets sympy evaluate its expressions, compiles a function whose text holds its names and guards, and imports what its
//! trees name. Every text is judged by the key under which it stands, wherever that is: versions of the schema nest them
//! differently.

mod text;

use super::torchscript::{class_fact, operator_fact};
use crate::catalogue::torch_ops;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;
use text::Judged;
use wb_verdict::{FactKind, escape};

/// Facts told per program.
const MAX_TOLD: u32 = 200;

/// Judges the program in `json`, which is what Python's parser takes; every value of a key that stands twice counts.
pub(crate) fn judge<'de, R: serde_json::de::Read<'de>>(
    json: R,
    found: &mut dyn FnMut(FactKind),
) -> Result<(), serde_json::Error> {
    let mut judge = Judge { found, told: 0 };
    let mut from = serde_json::Deserializer::new(json);
    At { judge: &mut judge, key: "" }.deserialize(&mut from)?;
    from.end()
}

struct Judge<'f> {
    found: &'f mut dyn FnMut(FactKind),
    told: u32,
}

impl Judge<'_> {
    fn tell(&mut self, code: &str, op: &str, detail: &str) {
        self.told += 1;
        if self.told <= MAX_TOLD || code == "torch-text-code" {
            let detail = escape(&detail.chars().take(200).collect::<String>());
            (self.found)(operator_fact(code, op, detail));
        }
    }

    fn text(&mut self, judged: Judged, what: &str, text: &str) {
        match judged {
            Judged::Fine => {}
            Judged::Odd => self.tell("torch-text-odd", what, text),
            Judged::Code => self.tell("torch-text-code", what, text),
        }
    }

    /// A text under `key`.
    fn string(&mut self, key: &str, s: &str) {
        match key {
            "target" | "as_operator" => self.target(s),
            "expr_str" => self.text(text::expression(s), "an expression", s),
            "guards_code" => self.text(text::guard(s), "a guard", s),
            "name" | "as_name" | "forward_arg_names" => self.text(text::node_name(s), "a name", s),
            "parameter_name"
            | "buffer_name"
            | "tensor_constant_name"
            | "custom_obj_name"
            | "user_input_name"
            | "fqn" => {
                self.text(text::path_name(s), "a path of modules", s);
            }
            "class_fqn" if !s.is_empty() => match class_fact(s, "class of an object in the program".into()) {
                Some(fact) => (self.found)(fact),
                None if s.starts_with("__torch__.torch.classes.") => {}
                None => self.tell("torch-class", s, "class of an object in the program"),
            },
            "in_spec" | "out_spec" => self.tree(key, s),
            _ => {}
        }
    }

    /// What a node calls: `torch.ops.NAMESPACE.NAME.OVERLOAD`, or one of a few functions on numbers.
    fn target(&mut self, target: &str) {
        let parts: Vec<&str> = target.split('.').collect();
        let (space, name) = match parts[..] {
            ["torch", "ops", space, name] | ["torch", "ops", space, name, _] => (space, name),
            ["_operator" | "math" | "torch", name] => (parts[0], name),
            _ => return self.no_operator(target),
        };
        let operator = torch_ops::operator(space, name);
        match operator.code() {
            Some("torch-unknown") if parts.len() < 4 => self.no_operator(target),
            Some(code) => {
                self.tell(code, &format!("{space}::{name}"), &format!("target of a node: {target}"))
            }
            None => {}
        }
    }

    /// Loaders walk attributes from `torch`, `operator` and `math` on; what lies there is more than operators.
    fn no_operator(&mut self, target: &str) {
        let mut parts = target.split('.');
        let reaches = match parts.next().unwrap_or_default() {
            first if first.starts_with("torch") || first.starts_with("_operator") => true,
            first => first.starts_with("math"),
        };
        let dangerous = reaches && !target.contains("torch.ops.");
        self.tell(
            if dangerous { "torch-text-code" } else { "torch-text-odd" },
            "a target that is no operator",
            target,
        );
    }

    /// The shape of inputs or outputs: JSON in a string, with the names of types and what rebuilds them.
    fn tree(&mut self, key: &str, spec: &str) {
        let Ok(value) = serde_json::from_str::<Value>(spec) else {
            return self.tell("torch-text-odd", "a tree that is no JSON", spec);
        };
        // Keyword arguments become parameters of a function that is compiled.
        if key == "in_spec"
            && let Some(Value::String(names)) = value.pointer("/1/children_spec/1/context")
            && let Ok(Value::Array(names)) = serde_json::from_str(names)
        {
            for name in names.iter().filter_map(Value::as_str) {
                self.text(text::node_name(name), "the name of an argument", name);
            }
        }
        self.node(&value, 0);
    }

    fn node(&mut self, value: &Value, nested: u32) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(module)) = map.get("default_factory_module")
                    && !matches!(module.as_str(), "builtins" | "collections")
                {
                    self.imports(module);
                }
                if map.contains_key("__enum__") {
                    let name = map.get("fqn").and_then(Value::as_str).unwrap_or_default();
                    self.imports(name.split(':').next().unwrap_or(name));
                }
                for (key, value) in map {
                    match value {
                        // A context may be JSON once more.
                        Value::String(inner) if key == "context" && nested < 4 => {
                            if let Ok(inner) = serde_json::from_str::<Value>(inner) {
                                self.node(&inner, nested + 1);
                            }
                        }
                        value => self.node(value, nested),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|v| self.node(v, nested)),
            _ => {}
        }
    }

    fn imports(&mut self, module: &str) {
        let own = module == "torch" || module.starts_with("torch.");
        if !own {
            self.tell("torch-text-code", "a tree that imports a module", module);
        }
    }
}

/// One value, and the key it stands under.
struct At<'j, 'f, 'k> {
    judge: &'j mut Judge<'f>,
    key: &'k str,
}

impl<'de> DeserializeSeed<'de> for At<'_, '_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, s: &str) -> Result<(), E> {
        self.judge.string(self.key, s);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(At { judge: &mut *self.judge, key: self.key })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            // A text where an object stands instead is no text that an export writes.
            if matches!(self.key, "expr_str" | "guards_code" | "target") {
                self.judge.string(self.key, &key);
            }
            map.next_value_seed(At { judge: &mut *self.judge, key: &key })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(json: &str) -> Vec<String> {
        let mut out = Vec::new();
        judge(serde_json::de::StrRead::new(json), &mut |f| {
            if let FactKind::Operator { code, .. } = f {
                out.push(code);
            }
        })
        .expect("sound");
        out
    }

    #[test]
    fn targets_are_operators() {
        for target in [
            "torch.ops.aten.conv2d.default",
            "torch.ops.higher_order.cond",
            "_operator.add",
            "math.floor",
            "torch.sym_max",
            "torch.ops.quantized_decomposed.quantize_per_tensor.default",
        ] {
            assert_eq!(
                codes(&format!(r#"{{"nodes": [{{"target": "{target}"}}]}}"#)),
                Vec::<String>::new(),
                "{target}"
            );
        }
        for (target, code) in [
            ("torch.ops.aten.from_file.default", "torch-file-write"),
            ("torch.ops.mine.op.default", "torch-unknown"),
            ("torch.os.system", "torch-text-code"),
            ("torch.load", "torch-text-code"),
            ("_operator.methodcaller", "torch-text-code"),
            ("os.system", "torch-text-odd"),
            ("#mine:op", "torch-text-odd"),
            ("torch.ops.higher_order.triton_kernel_wrapper_functional", "torch-native"),
        ] {
            assert_eq!(codes(&format!(r#"{{"target": "{target}"}}"#)), [code], "{target}");
        }
    }

    #[test]
    fn texts_by_their_keys_however_deep_and_even_if_given_twice() {
        assert_eq!(codes(r#"{"a": [{"expr_str": "s0", "expr_str": "eval(s0)"}]}"#), ["torch-text-code"]);
        assert_eq!(codes(r#"{"guards_code": ["L['x'].size()[0] == 3", "exec(1)"]}"#), ["torch-text-code"]);
        assert_eq!(codes(r#"{"as_tensor": {"name": "x=print(1)"}}"#), ["torch-text-code"]);
        assert_eq!(codes(r#"{"class_fqn": "__torch__.torch.classes.mine.X"}"#), ["torch-class"]);
        assert_eq!(
            codes(r#"{"metadata": {"stack_trace": "File \"x\", line 1, in f(x)"}}"#),
            Vec::<String>::new()
        );
    }

    #[test]
    fn trees_import_nothing() {
        let spec = |context: &str| {
            let tree = serde_json::json!([1, {"type": "builtins.tuple", "context": "null", "children_spec": [
                {"type": "collections.defaultdict", "context": serde_json::from_str::<Value>(context).unwrap(), "children_spec": []},
                {"type": "builtins.dict", "context": "[\"k\"]", "children_spec": []}]}]);
            serde_json::json!({"in_spec": tree.to_string()}).to_string()
        };
        assert_eq!(codes(&spec(r#"{"default_factory_module": "builtins"}"#)), Vec::<String>::new());
        assert_eq!(codes(&spec(r#"{"default_factory_module": "antigravity"}"#)), ["torch-text-code"]);
        assert_eq!(
            codes(&spec(r#""{\"__enum__\": true, \"fqn\": \"this:X\", \"name\": \"A\"}""#)),
            ["torch-text-code"]
        );
    }
}
