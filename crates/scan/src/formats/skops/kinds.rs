//! The types of nodes, by the names under which the loader registers them (`NODE_TYPE_MAPPING`).

use super::ids::{self, get, text};
use super::nodes::Writer;
use crate::analyses::keras::json::Json;
use wb_verdict::escape;

impl<'j> Writer<'_, 'j> {
    /// Writes what makes a node of the type `kind`.
    pub(super) fn build(&mut self, kind: &str, value: &'j Json) {
        let (Some(module), Some(name)) = (text(value, "__module__"), text(value, "__class__")) else {
            return self.lacks(value, "__class__");
        };
        let builtin = |class: &str| module == "builtins" && name == class;
        match kind {
            "DictNode" => {
                if builtin("dict") {
                    self.ops.op(b'}')
                } else {
                    self.ops.make(module, name)
                }
                self.dict(value);
            }
            "DefaultDictNode" => {
                self.aside(value, "content/main");
                self.ops.import("collections", "defaultdict");
                self.part(value, "content/default_factory");
                self.ops.out.extend([0x85, b'R']);
            }
            "_DictWithDeprecatedKeysNode" => {
                self.aside(value, "content/_deprecated_key_to_new_key");
                self.part(value, "content/main");
            }
            "ListNode" | "SetNode" => {
                let plain = builtin(if kind == "ListNode" { "list" } else { "set" });
                if !plain {
                    self.ops.import(module, name);
                }
                if kind == "SetNode" {
                    self.ops.op(0x8f);
                }
                self.items(value, "content");
                self.ops.op(if kind == "SetNode" { 0x90 } else { b'l' });
                if !plain {
                    self.ops.out.extend([0x85, b'R']);
                }
            }
            "TupleNode" => {
                // Any class with the bases of a named tuple is called.
                let plain = builtin("tuple");
                if !plain {
                    self.ops.import(module, name);
                }
                self.items(value, "content");
                self.ops.op(b't');
                if !plain {
                    self.ops.op(b'R');
                }
            }
            "FunctionNode" | "TypeNode" => {
                // Protocol 0 imports what the content says, and shows that.
                let content = get(value, "content").filter(|_| kind == "FunctionNode");
                let path = content.and_then(|c| Some((text(c, "module_path")?, text(c, "function")?)));
                match path {
                    Some(path) => {
                        if path != (module, name)
                            && !matches!(
                                name,
                                "function"
                                    | "ufunc"
                                    | "builtin_function_or_method"
                                    | "_ArrayFunctionDispatcher"
                            )
                        {
                            self.ops.import(module, name);
                            self.ops.op(b'0');
                        }
                        self.ops.import(path.0, path.1);
                    }
                    None => self.ops.import(module, name),
                }
            }
            "PartialNode" => self.partial(value),
            "MethodNode" => self.method(value),
            "OperatorFuncNode" => {
                if module != "operator" {
                    let detail = format!("shows {}, calls operator.{name}", ids::shown(value));
                    self.odd.push(("skops-shown-differs", escape(&detail)));
                }
                self.ops.import("operator", name);
                self.star(value, "attrs");
                self.ops.op(b'R');
            }
            "ConstructorFromReduceNode" => {
                self.ops.import(module, name);
                self.star(value, "content");
                self.ops.op(b'R');
            }
            "ObjectNode" => {
                self.ops.import(module, name);
                self.ops.out.extend([b')', 0x81]);
                let nothing = |c: &Json| text(c, "content") == Some("null");
                if get(value, "content").is_some_and(|c| !matches!(c, Json::Null) && !nothing(c)) {
                    self.part(value, "content");
                    self.ops.op(b'b');
                }
            }
            "TreeNode" => {
                if (module, name) != ("sklearn.tree._tree", "Tree") {
                    let detail = format!("shows {}, makes sklearn.tree._tree.Tree", ids::shown(value));
                    self.odd.push(("skops-shown-differs", escape(&detail)));
                }
                self.reduce(value, "sklearn.tree._tree", "Tree");
            }
            "QuantileForestNode" => {
                self.reduce(value, "quantile_forest._quantile_forest_fast", "QuantileForest");
            }
            // Older versions import this class while they list what is not trusted.
            "LossNode" | "SGDNode" => self.reduce(value, module, name),
            "NdArrayNode" if text(value, "type") == Some("json") => {
                if get(value, "shape").is_some() {
                    self.aside(value, "shape");
                }
                self.items(value, "content");
                self.ops.op(b'l');
            }
            "NdArrayNode" => match (module, name) {
                ("numpy", "ndarray") => self.ops.array(),
                (module, name) => {
                    self.ops.import(module, name);
                    if module == "numpy" {
                        self.ops.int(0)
                    } else {
                        self.ops.array()
                    }
                    self.ops.out.extend([0x85, b'R']);
                }
            },
            "MaskedArrayNode" => {
                self.aside(value, "content/data");
                self.aside(value, "content/mask");
                self.ops.array();
            }
            "SparseMatrixNode" => self.ops.array(),
            "DTypeNode" => {
                self.aside(value, "content");
                self.ops.text("dtype");
            }
            "RandomStateNode" => {
                if matches!(module, "numpy.random" | "numpy.random.mtrand") && name == "RandomState" {
                    self.ops.import("numpy.random._pickle", "__randomstate_ctor");
                    self.ops.text("MT19937");
                    self.ops.out.extend([0x85, b'R']);
                    self.part(value, "content");
                    self.ops.op(b'b');
                } else {
                    self.aside(value, "content");
                    self.ops.make(module, name);
                }
            }
            "RandomGeneratorNode" => self.generator(value, module, name),
            "SliceNode" => {
                self.ops.import("builtins", "slice");
                self.ops.out.extend([b'N', b'N', b'N', 0x87, b'R']);
            }
            "BytesNode" | "BytearrayNode" => self.ops.out.extend([b'C', 0]),
            "JsonNode" => match self.json(value) {
                Some(json) => self.ops.literal(&json),
                None => self.lacks(value, "content"),
            },
            _ => {
                self.unknown.push(kind.to_string());
                self.ops.import(module, name);
            }
        }
    }
}
