//! Facts as sentences.

use wb_verdict::{CallClass, CallUse, Fact, FactKind, Finding, How, OwnCode, Rule};

/// A finding of `rule` for `fact`.
pub(crate) fn finding(rule: &Rule, fact: &Fact) -> Finding {
    let (mut message, evidence) = say(&fact.kind);
    // A schema of skops is judged as the pickle that does the same.
    if fact.location.path.contains("schema.json#") {
        message = message.replacen("this pickle", "this model", 1);
    }
    Finding {
        rule: rule.id.into(),
        family: rule.family,
        severity: rule.severity,
        confidence: rule.confidence,
        verdict: rule.verdict,
        location: fact.location.clone(),
        message,
        evidence,
        call: call_use(&fact.kind),
        names: own_code(&fact.kind),
    }
}

fn own_code(kind: &FactKind) -> Option<OwnCode> {
    let FactKind::Names { code, module, name, .. } = kind else { return None };
    let or_installed = super::directive::or_installed(code);
    Some(OwnCode { module: module.clone(), name: name.clone(), or_installed })
}

fn call_use(kind: &FactKind) -> Option<CallUse> {
    match kind {
        FactKind::Call { module, name, how, call, plain_args, .. } => Some(CallUse {
            module: module.clone(),
            name: name.clone(),
            how: *how,
            class: call.clone(),
            plain_args: *plain_args,
        }),
        _ => None,
    }
}

/// One sentence, lower-case, and the evidence.
fn say(kind: &FactKind) -> (String, String) {
    match kind {
        FactKind::Call { callable, how, call, rendering, .. } => {
            (call_message(callable, *how, call), evidence(callable, rendering))
        }
        FactKind::Structure { code, detail } => {
            (format!("readers disagree on this file: {}", words(code)), coded(code, detail))
        }
        FactKind::Resource { code, detail } => {
            (format!("loading this file exhausts resources: {}", words(code)), coded(code, detail))
        }
        FactKind::UnsafePath { code, detail } => {
            let what = match code.as_str() {
                "absolute" => "unpacking this archive writes to an absolute path",
                "traversal" => "a path in this file leaves its folder",
                "link-outside" => "this archive holds a link that points outside its folder",
                "device" => "this archive holds a device or special file",
                "onnx-external-address" => "loading this model fetches a tensor's data from an address",
                "onnx-external-memory" => "loading this model takes a number in it for an address in memory",
                "onnx-external-folder" => "loading this model opens a tensor's data through a folder",
                code if code.starts_with("onnx-") => {
                    "loading this model opens a file outside its folder for a tensor's data"
                }
                code if code.starts_with("coreml-") => "loading this model opens a file outside its package",
                code if code.starts_with("mnn-") => {
                    "loading this model opens a file outside its folder for weights"
                }
                _ => "this archive holds an unsafe path",
            };
            (what.into(), coded(code, detail))
        }
        FactKind::Executable { code } => {
            let what = match code.as_str() {
                "elf" | "pe" | "mach-o" => format!("this is a native executable or library ({code})"),
                "shebang" => "this is a script".into(),
                "python-bytecode" => "this is compiled python".into(),
                other => format!("this is executable ({other})"),
            };
            (what, code.clone())
        }
        FactKind::Template { code, detail } => {
            let what = if code == "dangerous" {
                "rendering the template in this file reaches the interpreter"
            } else {
                "the template in this file cannot be proved harmless"
            };
            (what.into(), detail.clone())
        }
        FactKind::Names { module, detail, .. } => {
            (format!("this configuration names code of its own repository: {module}.py"), detail.clone())
        }
        FactKind::Directive { code, detail } if keras(code).is_some() => {
            // The place comes first, then the name that it is about: each name is a finding of its own.
            let what = keras(code).unwrap_or_default();
            let name = detail.split_once(": ").map_or("", |(_, name)| name);
            let named = !name.is_empty() && !code.starts_with("keras-lambda");
            let message = if named { format!("{what} ({name})") } else { what.to_string() };
            (message, detail.clone())
        }
        FactKind::Directive { code, detail } if carried(code).is_some() => {
            (carried(code).unwrap_or_default().into(), detail.clone())
        }
        FactKind::Directive { code, detail } => (directive(code), coded(code, detail)),
        FactKind::Hidden { code, detail } => {
            (format!("this file hides a {code} where data is expected"), coded(code, detail))
        }
        FactKind::Reading { code } => {
            let what = match code.as_str() {
                "python" => "this is python source: it runs when it is imported or trusted",
                "pickle" => "read as a pickle, this text imports a module before it fails",
                "not-python" => "this file is python by its name and cannot be read as such",
                _ => "this file is an instruction or script by its name",
            };
            (what.into(), code.clone())
        }
        FactKind::Unsupported { format, detail } => {
            (format!("this version recognises {format} but cannot judge it"), coded(format, detail))
        }
        FactKind::Operator { code, op, detail } => (operator(code, op), coded(op, detail)),
        FactKind::Source { code, when, callable, rendering } => {
            (source(code, when, callable), evidence(callable, rendering))
        }
        FactKind::Opens { code, path, .. } => {
            (format!("this file makes its loader open another one: {path}"), code.clone())
        }
        FactKind::Secret { what, detail, .. } => {
            (format!("somebody left {what} in this file"), detail.clone())
        }
        FactKind::Refused { loader, detail } => {
            (format!("the loader {loader} refuses this file"), detail.clone())
        }
        FactKind::UnknownContent => ("no catalogued loader opens this content".into(), String::new()),
    }
}

/// What a configuration of Keras or an HDF5 file does.
fn keras(code: &str) -> Option<&'static str> {
    Some(match code {
        "keras-lambda" => "this keras model carries code that runs when it is rebuilt or called",
        "keras-lambda-dangerous" => "code in this keras model reaches the system",
        "keras-callable" => "rebuilding this keras model calls something outside of keras's own classes",
        "keras-callable-dangerous" => "rebuilding this keras model calls something dangerous",
        "keras-unknown-class" => "this keras model needs a class that its user registers",
        "keras-file-outside" => "rebuilding this keras model reads a file or address outside of it",
        "keras-file-beside" => "rebuilding this keras model reads a file beside it",
        "hdf5-external" => "this hdf5 file takes data from another file",
        "hdf5-external-outside" => "this hdf5 file reads a file of the machine that loads it",
        _ => return None,
    })
}

/// What code that an object carries does.
fn carried(code: &str) -> Option<&'static str> {
    Some(match code {
        "r-function" => "this r object carries a function",
        "r-call" => "this r object keeps a call that is none of models and arithmetic",
        "r-code-dangerous" => "code in this r object reaches the system",
        "r-promise" => "using this r object runs code that it carries",
        "r-startup" => "this workspace has a function that runs when r starts or ends in its folder",
        "r-persistent" => "reading this r object calls a hook with a text of the file",
        "pyc-dangerous" => "this compiled python reaches the system",
        "t7-function" => "this torch7 object carries a function",
        "t7-function-dangerous" => "a function in this torch7 object reaches the system",
        "r-altrep" => "reading this r object calls a class that it names",
        _ => return None,
    })
}

fn call_message(callable: &str, how: How, class: &CallClass) -> String {
    let name = if callable.is_empty() { "something that cannot be worked out" } else { callable };
    match (class, how) {
        (CallClass::CarriesCode, _) => format!("this pickle rebuilds code through {name}"),
        (_, How::Data) => format!("this pickle holds {name}"),
        (_, How::Ext) => format!("loading this pickle resolves an extension code ({name})"),
        (_, How::Persid) => format!("this pickle hands an unusual id to its loader ({name})"),
        (_, How::Build) => format!("loading this pickle sets the state of {name}"),
        (_, How::Append | How::SetItem | How::AddItems) => format!("loading this pickle writes into {name}"),
        (CallClass::Unknown, How::Newobj | How::NewobjEx) => {
            format!("loading this pickle rebuilds an object of the unknown class {name}")
        }
        (_, How::Newobj | How::NewobjEx) => format!("loading this pickle makes an object of {name}"),
        (_, How::Hash) => format!("loading this pickle hashes and compares an object of {name}"),
        (_, How::Indirect) => format!("loading this pickle calls {name} through another callable"),
        _ => format!("loading this pickle calls {name}"),
    }
}

fn directive(code: &str) -> String {
    let what = match code {
        "code-elsewhere" => "this configuration takes code from another repository",
        "code-name-odd" => "this configuration names code in a way that no library writes",
        "hydra-target-known" => "this configuration makes an object of a framework's class",
        "imported-module" => "reading this configuration imports a module that it names",
        "remote-code" => "this configuration grants itself the trust that its user should give",
        "trust-flag" => "this configuration asks for code that comes with a model to be trusted",
        "config-environment" => "this configuration takes a value from the environment",
        "config-resolver" => "this configuration takes a credential or a computed value while it is read",
        "yaml-python-tag" => "reading this yaml with an unsafe loader makes objects of any class",
        "index-shard-odd" => "this index names something that is no file beside it",
        "java-model" => "this is a model as java source: it runs when it is compiled and loaded",
        "java-effect" => "this model as java source does more than compute",
        "tokenizer-part" => "this tokenizer has a part that this version does not know",
        "spacy-addon" => "this pipeline calls a function that spaCy does not bring",
        "spacy-source" | "spacy-source-outside" => "loading this pipeline loads another one",
        "spacy-computed-name" => "this pipeline calls a function whose name is computed",
        "spacy-endpoint" => "this pipeline sends texts to an address of its own",
        code if code.ends_with("-library") => "this engine names a native library",
        code if code.ends_with("-host-code") => {
            "this engine carries native code of the machine that loads it"
        }
        _ => return format!("this file names code to run or fetch: {}", words(code)),
    };
    what.into()
}

fn source(code: &str, when: &str, callable: &str) -> String {
    let moment = match when {
        "import" => "importing this code",
        "load" => "loading a model with this code",
        _ => "this code",
    };
    let what = match code {
        "process" | "process-download" => format!("starts a program by {callable}"),
        "piped-command" => format!("runs what a command fetches or decodes, by {callable}"),
        "attack-command" => format!("runs a command that is an attack by {callable}"),
        "decoded-code" => format!("decodes data and runs it by {callable}"),
        "fetched-code" => format!("fetches data and runs it by {callable}"),
        "decoded-command" => format!("decodes a command and runs it by {callable}"),
        "fetched-command" => format!("runs a command it received by {callable}"),
        "disguised-call" => format!("calls {callable} under a name it puts together"),
        "hidden-call" => format!("reaches {callable} by a text instead of its name"),
        "computed-code" => format!("runs computed code by {callable}"),
        "file-code" => format!("runs the content of a file by {callable}"),
        "reverse-shell" => format!("gives a shell to the network ({callable})"),
        "download-and-run" => format!("fetches something and runs it ({callable})"),
        "credential-send" => format!("sends credentials by {callable}"),
        "credential-read" => format!("reads credentials by {callable}"),
        "startup-write" => format!("changes a file that runs at login or start ({callable})"),
        "network-send" => format!("opens a connection or sends data by {callable}"),
        "network-fetch" => format!("fetches from the network by {callable}"),
        "native-code" => format!("loads native code by {callable}"),
        "deserialise" | "deserialise-coded" => format!("deserialises data by {callable}"),
        "file-write" | "file-change" => format!("changes files by {callable}"),
        "interpreter" => format!("changes the interpreter by {callable}"),
        "unread" => return "this code cannot be followed".into(),
        "requirement-elsewhere" => return "installing this takes packages from an unusual place".into(),
        "requirement-direct" => return "installing this takes a package from an address or path".into(),
        "loader-module" => return format!("mlflow imports {callable} when it loads this model"),
        "model-code" => return "code that comes with this model is imported when mlflow loads it".into(),
        "script-attack" => return "this script runs a command that is an attack".into(),
        "notebook" => return "this notebook holds code: it runs when a person runs its cells".into(),
        other => words(other),
    };
    format!("{moment} {what}")
}

fn operator(code: &str, op: &str) -> String {
    match code {
        "tf-file-write" => format!("running this graph writes a file that the model names, by {op}"),
        "tf-file-read" => format!("running this graph reads files that are no part of the model, by {op}"),
        "tf-file-given" => format!("running this graph uses a file that its caller names, by {op}"),
        "tf-network" => format!("running this graph talks to other machines or processes, by {op}"),
        "tf-python" => format!("running this graph calls a python function, by {op}"),
        "tf-native" => format!("running this graph runs what is not judged here, by {op}"),
        "tf-graph" => format!("running this graph runs another graph that is data, by {op}"),
        "tf-missing-function" => format!("this graph calls the function {op}, which it does not define"),
        code if code.starts_with("tflite-") => format!("this model needs the custom operator {op}"),
        "paddle-python" => format!("running this program calls a python function, by {op}"),
        "paddle-file-write" => format!("running this program writes a file that it names, by {op}"),
        "paddle-file-read" => format!("running this program reads a file that it names, by {op}"),
        "paddle-network" => format!("running this program talks to other machines, by {op}"),
        "paddle-native" => format!("a part of this program is compiled and not judged: {op}"),
        "paddle-unknown" => format!("paddle has no operator {op}, which this program needs"),
        "onnx-python" => format!("running this model calls a python function, by {op}"),
        "onnx-native" => format!("loading this model needs a native library that it names, for {op}"),
        "onnx-network" => format!("running this model sends its inputs to a service, by {op}"),
        "onnx-file" => format!("running this model opens files that an input names, by {op}"),
        "onnx-compiled" => format!("a part of this model is compiled for an accelerator: {op}"),
        "onnx-custom" | "openvino-custom" => format!("this model needs a foreign library for {op}"),
        "onnx-unknown" | "coreml-unknown" => format!("no published list has the operator {op} of this model"),
        "onnx-trigger" => "a comparison of this model's input switches its answer to a constant".into(),
        "torch-file-write" => format!("running this program writes or maps a file, by {op}"),
        "torch-file-read" => format!("running this program reads a file, by {op}"),
        "torch-network" => format!("running this program talks to other processes, by {op}"),
        "torch-python" => format!("running this program calls {op}"),
        "torch-native" => format!("running this program runs compiled code, by {op}"),
        "torch-compiled" => format!("loading this package compiles or loads native code: {op}"),
        "executorch-delegate" => format!("this program needs the unknown backend {op}"),
        "executorch-native" => format!("this program loads compiled code by the backend {op}"),
        "torch-class" => format!("this program needs a native class of a foreign library: {op}"),
        "torch-unknown" => format!("this program has an operator that is not known to be harmless: {op}"),
        "torch-text-code" => format!("loading this program runs a text of it as code ({op})"),
        "torch-text-odd" => format!("this program holds a text that no export writes ({op})"),
        "coreml-custom" => format!("this model needs the class {op} of an application"),
        "coreml-serialized" => "this model holds a model of another framework as bytes".into(),
        "tensorrt-plugin-name" => format!("this engine seems to need the plugin {op}"),
        "cntk-native" => format!("loading this model loads the native library {op}"),
        "cntk-python" => format!("loading this model imports and calls {op}"),
        "mxnet-pointer" => format!("loading this model calls what a number in it points to, by {op}"),
        "mxnet-file" | "cntk-file" => format!("this model opens a file that it names, by {op}"),
        code if code.ends_with("-custom") || code.ends_with("-unknown-operator") => {
            format!("this model needs an operator that its framework does not have: {op}")
        }
        _ => format!("this graph has an operator that is not known to be harmless: {op}"),
    }
}

/// The rendering, and the full name where the rendering lacks it.
fn evidence(callable: &str, rendering: &str) -> String {
    if rendering.contains(callable) { rendering.into() } else { format!("{callable}: {rendering}") }
}

fn coded(code: &str, detail: &str) -> String {
    if detail.is_empty() { code.into() } else { format!("{code}: {detail}") }
}

fn words(code: &str) -> String {
    code.replace('-', " ")
}
