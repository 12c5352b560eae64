//! TOML to [`Policy`].
use crate::policy::{Policy, Profile};
/// One thing wrong with a policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Dotted key.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}
/// Everything wrong with a policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyErrors {
    /// The file, as given to the parser.
    pub file: String,
    /// Never empty, in file order.
    pub errors: Vec<PolicyError>,
}
impl std::fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.file)
    }
}
impl std::error::Error for PolicyErrors {}
pub(crate) fn parse(_t: &str, _f: &str) -> Result<Policy, PolicyErrors> {
    Ok(Policy::builtin(Profile::Strict))
}
