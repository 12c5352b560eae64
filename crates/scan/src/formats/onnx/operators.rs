//! What an operator does, by its exact domain and name.

use std::collections::HashSet;
use std::sync::OnceLock;

/// What running a node of this operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Computes its outputs from its inputs.
    Plain,
    /// Runs a Python function that it names.
    Python,
    /// Sends its inputs to an address, or fetches from it.
    Network,
    /// Reads a file whose name is data.
    File,
    /// Holds or names what was compiled for an accelerator.
    Compiled,
    /// Of a standard domain, which has no operator of this name.
    Unknown,
    /// Of another domain: some native library registers it.
    Custom,
}

/// Operators that do more than compute, whatever their domain says.
const PYTHON: &[&str] = &[
    "PyOp",
    "PyCustomOp",
    "PyFunc",
    "PyFunction",
    "PythonOp",
    "PythonOpGrad",
    "PythonFunction",
    "NumpyOp",
    "TritonOp",
    "TorchScriptOp",
];
const NETWORK: &[&str] =
    &["OpenAIAudioToText", "AzureAudioToText", "AzureTextToText", "AzureTritonInvoker", "CloudOp"];
const FILE: &[&str] = &["ImageReader", "AudioReader", "ReadFile", "WriteFile"];
const COMPILED: &[&str] = &["EPContext", "Snpe", "OpenVINO", "QnnContext", "TensorRTEngine", "TRTEngineOp"];

/// `ai.onnx` is another way to write the default domain.
pub(super) fn normal(domain: &str) -> &str {
    if domain.is_empty() { "ai.onnx" } else { domain }
}

/// The published operators, by domain and name.
#[derive(Default)]
struct Published {
    operators: HashSet<(&'static str, &'static str)>,
    domains: HashSet<&'static str>,
}

fn published() -> &'static Published {
    static LIST: OnceLock<Published> = OnceLock::new();
    LIST.get_or_init(|| {
        let (mut all, mut domain) = (Published::default(), "");
        for line in include_str!("operators.txt").lines().filter(|l| !l.starts_with('#')) {
            match line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                Some(name) => {
                    domain = name;
                    all.domains.insert(name);
                }
                None => {
                    all.operators.insert((domain, line));
                }
            }
        }
        all
    })
}

/// What `domain::op` does, where no function of the model has that name.
pub(super) fn kind(domain: &str, op: &str) -> Kind {
    let domain = normal(domain);
    let published = published();
    if published.operators.contains(&(domain, op)) {
        return Kind::Plain;
    }
    for (names, kind) in
        [(PYTHON, Kind::Python), (NETWORK, Kind::Network), (FILE, Kind::File), (COMPILED, Kind::Compiled)]
    {
        if names.contains(&op) {
            return kind;
        }
    }
    if published.domains.contains(domain) { Kind::Unknown } else { Kind::Custom }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_exact_domain_and_name() {
        assert_eq!(kind("", "Relu"), Kind::Plain);
        assert_eq!(kind("ai.onnx", "Relu"), Kind::Plain);
        assert_eq!(kind("ai.onnx.ml", "TreeEnsembleClassifier"), Kind::Plain);
        assert_eq!(kind("com.microsoft", "MatMulNBits"), Kind::Plain);
        assert_eq!(kind("", "relu"), Kind::Unknown);
        assert_eq!(kind("ai.onnx.ml", "Relu"), Kind::Unknown);
        assert_eq!(kind("my.domain", "Relu"), Kind::Custom);
        assert_eq!(kind("ai.onnx.contrib", "PyOp"), Kind::Python);
        assert_eq!(kind("my.domain", "PythonOp"), Kind::Python);
        assert_eq!(kind("com.microsoft", "EPContext"), Kind::Compiled);
    }
}
