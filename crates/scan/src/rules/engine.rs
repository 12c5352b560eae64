//! Engines of accelerators and of small runtimes: TensorRT, RKNN, CNTK, MXNet, ncnn, MNN, GGML's first formats.

use wb_verdict::{Confidence, Family, Rule, Severity, Verdict};

const BASE: Rule = Rule {
    id: "",
    title: "",
    family: Family::GraphOperator,
    severity: Severity::High,
    confidence: Confidence::Medium,
    verdict: Verdict::Suspicious,
    what: "",
    why: "",
    fix: "build the engine yourself from a model in an open format (ONNX, safetensors) that has been judged",
    pait: None,
    cwe: Some(829),
    atlas: Some("AML.T0011.000"),
    references: &[],
};

/// Names of libraries.
pub(super) static LIBRARY: Rule = Rule {
    id: "WB-ENG-001",
    title: "an engine names a native library",
    what: "the file name or path of a shared library (.so, .dll, .dylib) in a TensorRT engine, an RKNN model or another format of \
        compiled models",
    why: "runtimes load plugins from libraries; code of such a library runs in the process that loads the model, and who may \
        write at that path decides what it is",
    cwe: Some(426),
    references: &[
        "https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/extending-custom-layers.html",
    ],
    ..BASE
};

/// Native code inside.
pub(super) static HOST_CODE: Rule = Rule {
    id: "WB-ENG-002",
    title: "an engine carries native code of the machine that loads it",
    family: Family::Executable,
    severity: Severity::Critical,
    confidence: Confidence::High,
    what: "an ELF, PE or Mach-O image for a host processor inside an engine: a plugin library serialized with it, the lean runtime \
        of a version-compatible TensorRT engine, or something hidden. kernels for the accelerator are not meant",
    why: "a runtime that allows host code in engines writes it to disk and loads it before the first inference",
    fix: "keep setEngineHostCodeAllowed off; build the engine yourself, without setPluginsToSerialize and version compatibility",
    pait: None,
    cwe: Some(494),
    references: &["https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/advanced.html"],
    ..BASE
};

/// Plugins by name.
pub(super) static PLUGIN: Rule = Rule {
    id: "WB-ENG-003",
    title: "an engine seems to need a plugin that is none of its framework's",
    severity: Severity::Medium,
    confidence: Confidence::Low,
    what: "names that end as those of TensorRT plugins do (…_TRT, …Plugin, …PluginDynamic) and are not in NVIDIA's plugin library",
    why: "an application loads a native library to run such an engine; what that does is not known here",
    references: &["https://github.com/NVIDIA/TensorRT/tree/main/plugin"],
    ..BASE
};

/// User functions of CNTK.
pub(super) static USER_FUNCTION: Rule = Rule {
    id: "WB-ENG-004",
    title: "loading the model runs a user's function",
    severity: Severity::Critical,
    confidence: Confidence::High,
    verdict: Verdict::Malicious,
    what: "functions of CNTK models of type UserDefinedFunction: native ones name a library and a method in it, the others a Python \
        module and class",
    why: "cntk.load_model loads the library, or imports the module, and calls what the model names, without asking",
    fix: "do not load the model. ask for one that was exported to ONNX without user functions",
    cwe: Some(470),
    references: &["https://learn.microsoft.com/en-us/cognitive-toolkit/extend-cntk"],
    ..BASE
};

/// Operators of nobody.
pub(super) static CUSTOM: Rule = Rule {
    id: "WB-ENG-005",
    title: "the model needs an operator that its framework does not have",
    severity: Severity::Medium,
    what: "custom and plugin operators, and names in no published list, of MXNet, CNTK, ncnn and MNN models",
    why: "an application or a native library registers such an operator; what that does is not known here",
    fix: "find out from the model's publisher which code registers the operator and whether you trust it",
    references: &["https://github.com/Tencent/ncnn/wiki/how-to-implement-custom-layer-step-by-step"],
    ..BASE
};

/// Numbers that are addresses.
pub(super) static POINTER: Rule = Rule {
    id: "WB-ENG-006",
    title: "the model holds an address of code",
    severity: Severity::Critical,
    confidence: Confidence::High,
    verdict: Verdict::Malicious,
    what: "MXNet's operators _Native and _NDArray, whose attribute `info` is the address of a table of functions, and the other \
        internal operators that only the process that made them understands",
    why: "the runtime takes the number in the file for a pointer and calls what it points to",
    fix: "do not load the model, and tell its host: no framework saves such an operator in a model that can be loaded again",
    cwe: Some(822),
    references: &["https://github.com/apache/mxnet/blob/v1.9.x/src/operator/custom/native_op-inl.h"],
    ..BASE
};

/// Files.
pub(super) static FILES: Rule = Rule {
    id: "WB-ENG-007",
    title: "the model opens files that it names",
    confidence: Confidence::High,
    what: "operators that read a file named in the model, weights in a file by an absolute path or one that leaves the model's \
        folder, initializers that load a file",
    why: "files of the machine become tensors, and leave it with the model's answers",
    fix: "ask for the model with its weights in one file, or in one beside it",
    cwe: Some(73),
    ..BASE
};

/// Structure.
pub(super) static STRUCTURE: Rule = Rule {
    id: "WB-ENG-008",
    title: "an engine's tables contradict its file",
    family: Family::Structure,
    what: "counts, shapes, offsets and lengths that leave the file or overflow, fields that no version has, bytes that belong to \
        nothing",
    why: "these runtimes are written in C++ and trust such numbers: they read and write outside their memory",
    fix: "do not use the file: honest writers do not produce it. fetch it again in case the transfer damaged it, else tell its \
        publisher",
    cwe: Some(125),
    atlas: Some("AML.T0010"),
    ..BASE
};

/// Formats whose codes begin with their name.
const FORMATS: &[&str] = &["tensorrt", "rknn", "cntk", "mxnet", "ncnn", "mnn", "ggml", "engine"];

/// The rule for a fact's code, if the fact is about such an engine. `count` and `overflow` are for the rules on resources.
pub(super) fn rule(code: &str) -> Option<&'static Rule> {
    let (format, what) = code.split_once('-')?;
    if !FORMATS.contains(&format) {
        return None;
    }
    Some(match what {
        "library" => &LIBRARY,
        "host-code" => &HOST_CODE,
        "plugin-name" => &PLUGIN,
        "python" | "native" => &USER_FUNCTION,
        "custom" | "unknown-operator" => &CUSTOM,
        "pointer" => &POINTER,
        "file" | "external-absolute" | "external-traversal" | "external-folder" | "external-address" => {
            &FILES
        }
        _ => &STRUCTURE,
    })
}
