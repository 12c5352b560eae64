//! The walk over a configuration: every object with a class is judged, every string is looked at.

use super::code::{self, Shown};
use super::json::Json;
use super::names;
use super::paths::{FILE_KEYS, Leads, leads};
use crate::analyses::directive;
use crate::catalogue;
use crate::cx::Cx;
use std::collections::HashSet;
use wb_blob::Blob;
use wb_verdict::{FactKind, escape};

/// Facts of one configuration, dangerous ones not counted.
const MAX_FACTS: usize = 200;
/// Readings of one object whose keys are given several times.
const MAX_READINGS: usize = 64;

/// Judges everything in `document`. `certain`: a loader of Keras reads it; else only what no other reader's data
/// would hold is told.
pub(super) fn walk(document: &Json, certain: bool, cx: &mut Cx<'_>) {
    let mut w = Walk { cx, certain, path: String::new(), said: HashSet::new(), duplicates: 0, nested: 0 };
    w.value(document);
}

struct Walk<'a, 'b> {
    cx: &'a mut Cx<'b>,
    certain: bool,
    path: String,
    /// What was told already: a thousand layers of one class are one fact.
    said: HashSet<(&'static str, String)>,
    duplicates: u32,
    /// JSON texts inside JSON texts.
    nested: u32,
}

/// One reading of an object: of keys given twice, one value each.
#[derive(Clone, Copy)]
struct Object<'j> {
    class: &'j str,
    module: Option<&'j str>,
    registered: Option<&'j str>,
    config: &'j Json,
    whole: &'j Json,
}

impl Walk<'_, '_> {
    fn say(&mut self, code: &'static str, what: &str) {
        let what: String = what.chars().take(300).collect();
        let dangerous = code.ends_with("dangerous") || code.ends_with("outside");
        if (!dangerous && self.said.len() >= MAX_FACTS) || !self.said.insert((code, what.clone())) {
            return;
        }
        let place = if self.path.is_empty() { "the top" } else { &self.path };
        let detail = format!("{}: {}", escape(place), escape(&what));
        self.cx.fact(None, FactKind::Directive { code: code.into(), detail });
    }

    fn value(&mut self, value: &Json) {
        match value {
            Json::Text(text) => self.text(text),
            Json::List(items) => {
                for (n, item) in items.iter().enumerate() {
                    if !matches!(item, Json::Null | Json::Plain | Json::Number(_)) {
                        self.within(&format!("[{n}]"), |w| w.value(item));
                    }
                }
            }
            Json::Map(pairs) => {
                self.keys(pairs);
                self.objects(value);
                for (key, v) in pairs {
                    if !matches!(v, Json::Null | Json::Plain | Json::Number(_)) {
                        let shown: String = key.chars().take(60).collect();
                        self.within(&format!(".{shown}"), |w| w.value(v));
                    }
                }
            }
            Json::Null | Json::Plain | Json::Number(_) => {}
        }
    }

    fn within(&mut self, step: &str, f: impl FnOnce(&mut Self)) {
        let len = self.path.len();
        let step = if len == 0 { step.trim_start_matches('.') } else { step };
        if len < 400 {
            self.path.push_str(step);
        }
        f(self);
        self.path.truncate(len);
    }

    /// Readers take the first or the last of two values; both were kept.
    fn keys(&mut self, pairs: &[(String, Json)]) {
        const MAX_TOLD: u32 = 20;
        let mut seen = HashSet::new();
        if pairs.len() > 1
            && self.duplicates < MAX_TOLD
            && let Some((key, _)) = pairs.iter().find(|(k, _)| !seen.insert(k.as_str()))
        {
            self.duplicates += 1;
            let key: String = key.chars().take(60).collect();
            let detail = format!("{} in {}", escape(&key), escape(&self.path));
            self.cx.structure(0, "json-duplicate-key", detail);
        }
    }

    /// Any string may be code; strings that say so by their place are looked at where the object is.
    fn text(&mut self, text: &str) {
        const MAX_NESTED: u32 = 3;
        if let Some(shown) = code::in_text(text) {
            self.code(shown);
        } else if text.trim_start().starts_with('{')
            && super::may_be(text.as_bytes())
            && self.nested < MAX_NESTED
        {
            // A configuration kept as text in another one.
            self.nested += 1;
            for document in super::json::documents(text.as_bytes()).0 {
                self.value(&document);
            }
            self.nested -= 1;
        }
    }

    fn code(&mut self, shown: Shown) {
        match shown {
            Shown::Code(what) => self.say("keras-lambda", &what),
            Shown::Dangerous(what) => self.say("keras-lambda-dangerous", &what),
        }
    }

    fn objects(&mut self, whole: &Json) {
        let config = Json::Null;
        if !self.certain && !whole.has("config") {
            return;
        }
        let one = |key| -> Vec<Option<&str>> {
            let all: Vec<_> = whole.all(key).map(Json::text).collect();
            if all.is_empty() { vec![None] } else { all }
        };
        let mut configs: Vec<&Json> = whole.all("config").collect();
        if configs.is_empty() {
            // Not an object to most loaders; what it names is looked at all the same.
            configs.push(&config);
        }
        let (modules, registered) = (one("module"), one("registered_name"));
        let mut readings = 0;
        for class in whole.all("class_name").filter_map(Json::text) {
            for module in &modules {
                for registered in &registered {
                    for config in &configs {
                        readings += 1;
                        if readings > MAX_READINGS {
                            self.say("keras-callable", "an object whose keys are given many times over");
                            return;
                        }
                        self.object(Object {
                            class,
                            module: *module,
                            registered: *registered,
                            config,
                            whole,
                        });
                    }
                }
            }
        }
    }

    fn object(&mut self, o: Object<'_>) {
        match o.class {
            "__lambda__" => self.lambda(o.config),
            "__typespec__" => {
                for spec in o.whole.all("spec_name") {
                    let known = spec.text().is_some_and(|s| names::TYPE_SPECS.contains(&s))
                        && o.module.is_none_or(|m| m.starts_with("tensorflow.python."));
                    if !known {
                        self.foreign(o.module.unwrap_or(""), spec.text().unwrap_or("?"));
                    }
                }
            }
            "function" => self.function(o),
            plain if names::PLAIN.contains(&plain) => {}
            _ => self.class(o),
        }
    }

    /// `{"class_name": "function", "module": ..., "config": name}`.
    fn function(&mut self, o: Object<'_>) {
        let Some(name) = o.config.text() else {
            if self.certain {
                self.say("keras-callable", "a function without a name");
            }
            return;
        };
        let registered = o.registered.is_some_and(|r| r.contains('>')) || name.contains('>');
        let module = match o.module {
            None | Some("" | "__main__") => return self.unknown(name),
            Some(module) => module,
        };
        if module == "builtins" {
            match (names::is_any_function(name), names::is_python_builtin(name)) {
                (true, _) => {}
                (false, false) => self.unknown(name),
                (false, true) => self.foreign(module, name),
            }
        } else if let Some(home) = names::keras_module(module) {
            if !names::is_function(&home, name) {
                self.keras_other(&home, name);
            }
        } else if registered && !catalogue::is_known(module) && !directive::dangerous_name(module) {
            self.unknown(name);
        } else {
            self.foreign(module, name);
        }
    }

    fn class(&mut self, o: Object<'_>) {
        let Object { class, module, .. } = o;
        if o.registered.is_some_and(|r| r.contains('>')) || class.contains('>') {
            // Whoever registered this name is asked first; a module that is named besides may be imported.
            let name = o.registered.filter(|r| r.contains('>')).unwrap_or(class);
            self.unknown(name);
        }
        let home = module.and_then(names::keras_module);
        match (module, &home) {
            (None | Some("" | "__main__"), _) => self.own(o, None),
            (_, Some(home)) => self.own(o, Some(home)),
            (Some("builtins"), _) if names::is_class(class) => self.own(o, None),
            (Some("builtins"), _) if !names::is_python_builtin(class) => self.unknown(class),
            (Some(module), _) if names::is_sister(module) => {
                if names::is_dangerous(module, class) {
                    self.say("keras-callable-dangerous", &format!("{module}.{class}"));
                } else {
                    self.unknown(&format!("{module}.{class}"));
                }
            }
            (Some(module), _) => self.foreign(module, class),
        }
    }

    /// A class that Keras looks up among its own, or among those that the user registered.
    fn own(&mut self, o: Object<'_>, home: Option<&str>) {
        let Object { class, config, .. } = o;
        match class {
            "Lambda" => return self.lambda(config),
            "Merge" => return self.merge(config),
            "TorchModuleWrapper" => return self.torch(config),
            "TFOpLambda" | "SlicingOpLambda" | "ClassMethod" | "InstanceMethod" | "InstanceProperty" => {
                return self.tensor_function(class, config);
            }
            "TensorFlowOpLayer" | "TensorFlowOp" => return self.operation(config),
            // What they call is named by objects further in, or by a file.
            "JaxLayer" | "FlaxLayer" => return,
            "TFSMLayer" => return self.files(config),
            _ => {}
        }
        if names::is_class(class) {
            return self.files(config);
        }
        match home {
            Some(home) => self.keras_other(home, class),
            None if self.certain && directive::dangerous_name(class) => self.say("keras-callable", class),
            None => {
                if !class.contains('>') && !o.registered.is_some_and(|r| r.contains('>')) {
                    self.unknown(class);
                }
            }
        }
    }

    fn unknown(&mut self, name: &str) {
        if self.certain {
            self.say("keras-unknown-class", name);
        }
    }

    /// A name of Keras that is none of its plain classes and functions.
    fn keras_other(&mut self, home: &str, name: &str) {
        let code =
            if names::is_dangerous(home, name) { "keras-callable-dangerous" } else { "keras-callable" };
        self.say(code, &format!("{home}.{name}"));
    }

    /// A module that Keras before 3.9 imports, and a name in it that is called.
    fn foreign(&mut self, module: &str, name: &str) {
        let full = if module.is_empty() { name.to_string() } else { format!("{module}.{name}") };
        let dangerous = catalogue::listed_effect(module, name).is_some()
            || directive::dangerous_name(module)
            || directive::dangerous_name(&full);
        let code = match dangerous {
            // Any function of the interpreter is a call of something; not each is harm.
            true if module == "builtins" && catalogue::listed_effect(module, name).is_none() => {
                "keras-callable"
            }
            true => "keras-callable-dangerous",
            false => "keras-callable",
        };
        self.say(code, &full);
    }

    /// The function of a Lambda layer, its shape function and its mask; or the inside of `__lambda__`.
    fn lambda(&mut self, config: &Json) {
        let text_of = |v: &Json| match v {
            Json::List(items) => items.first().and_then(Json::text).map(str::to_string),
            other => other.text().map(str::to_string),
        };
        let named =
            |which: &str| config.all(which).any(|t| t.text().is_some_and(|t| t != "lambda" && t != "raw"));
        let mut found = false;
        let mut texts: Vec<String> = config.text().map(str::to_string).into_iter().collect();
        for key in ["code", "value"] {
            texts.extend(config.all(key).filter_map(text_of));
        }
        for (key, kind) in
            [("function", "function_type"), ("output_shape", "output_shape_type"), ("mask", "mask_type")]
        {
            for v in config.all(key) {
                match v {
                    Json::Text(name) if named(kind) => self.unknown(name),
                    // Shapes are lists of numbers.
                    Json::List(items) if items.iter().all(|i| i.text().is_none()) => {}
                    Json::Map(_) => found = true,
                    other => texts.extend(text_of(other)),
                }
            }
        }
        for text in &texts {
            found = true;
            self.code(code::expected(text));
        }
        if !found && !named("function_type") {
            self.say("keras-lambda", "a layer of a function that is not here");
        }
    }

    /// Keras 1: layers merged by a named operation, or by a function.
    fn merge(&mut self, config: &Json) {
        const MODES: &[&str] = &["sum", "mul", "concat", "ave", "cos", "dot", "max"];
        for mode in config.all("mode") {
            if !mode.text().is_some_and(|m| MODES.contains(&m)) {
                self.say("keras-lambda", "a Merge layer of a function");
            }
        }
    }

    /// A module of torch, saved whole and read back by `torch.load(weights_only=False)` (CVE-2025-49655).
    fn torch(&mut self, config: &Json) {
        for module in config.all("module") {
            let Json::Text(text) = module else {
                if !matches!(module, Json::Null) {
                    self.say("keras-callable", "TorchModuleWrapper with a module that is no text");
                }
                continue;
            };
            let letters: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace() && *b != b'=').collect();
            let place = format!("{}.module", if self.path.is_empty() { "config" } else { &self.path });
            let bytes = directive::base64_bytes(&letters);
            self.cx.member(place.as_bytes(), &Blob::from_vec(bytes));
        }
    }

    /// A function of TensorFlow by its exported name; it runs when the model is rebuilt and when it is called.
    fn tensor_function(&mut self, class: &str, config: &Json) {
        for key in ["function", "cls_symbol", "cls_ref", "method_name", "attr_name", "symbol"] {
            for name in config.all(key) {
                let Some(name) = name.text() else {
                    self.say("keras-callable", &format!("{class} of something without a name"));
                    continue;
                };
                if names::is_dangerous_tensor_function(name) {
                    self.say("keras-callable-dangerous", &format!("tensorflow.{name}"));
                } else if class.starts_with("Instance") {
                    const MEMBERS: &[&str] = &[
                        "shape",
                        "dtype",
                        "rank",
                        "ndim",
                        "get_shape",
                        "set_shape",
                        "values",
                        "indices",
                        "row_splits",
                        "to_tensor",
                        "to_sparse",
                        "numpy",
                        "value_rowids",
                        "row_lengths",
                        "flat_values",
                        "bounding_shape",
                        "nested_row_splits",
                        "nrows",
                        "ragged_rank",
                        "dense_shape",
                    ];
                    if !MEMBERS.contains(&name) {
                        self.say("keras-callable", &format!("{class} {name}"));
                    }
                } else if !names::is_tensor_function(name) {
                    self.say("keras-callable", &format!("tensorflow.{name}"));
                }
            }
        }
    }

    /// TensorFlow 1 and 2.0 to 2.3: a node of a graph, as a message in JSON or text.
    fn operation(&mut self, config: &Json) {
        for node in config.all("node_def") {
            let op = match node {
                Json::Text(text) => {
                    let (inner, _) = super::json::documents(text.as_bytes());
                    inner.first().and_then(|i| i.all("op").find_map(Json::text).map(str::to_string))
                }
                other => other.all("op").find_map(Json::text).map(str::to_string),
            };
            match op {
                Some(op) if names::is_dangerous_tensor_function(&op) => {
                    self.say("keras-callable-dangerous", &format!("tensorflow operation {op}"));
                }
                Some(op) if names::is_tensor_operation(&op) => {}
                Some(op) => self.say("keras-callable", &format!("tensorflow operation {op}")),
                None => self.say("keras-callable", "a tensorflow operation without a name"),
            }
        }
    }

    /// Files that a layer reads when it is rebuilt.
    fn files(&mut self, config: &Json) {
        for key in FILE_KEYS {
            for name in config.all(key).filter_map(Json::text).filter(|n| !n.is_empty()) {
                let what = format!("{key}: {name}");
                match leads(name) {
                    Leads::Outside => self.say("keras-file-outside", &what),
                    Leads::Beside => self.say("keras-file-beside", &what),
                }
            }
        }
    }
}
