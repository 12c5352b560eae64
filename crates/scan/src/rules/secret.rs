//! Credentials that somebody left in a file. They harm their owner, not who loads the model: a warning, and no verdict.

use wb_verdict::{Confidence, Family, Rule, Severity, Verdict};

const BASE: Rule = Rule {
    id: "",
    title: "",
    family: Family::Secret,
    severity: Severity::Medium,
    confidence: Confidence::High,
    verdict: Verdict::Clean,
    what: "",
    why: "whoever can read the file can act in its owner's name, as long as the credential was not withdrawn",
    fix: "if it is yours, withdraw it now: it stays in the history of the repository. if not, do not use it, and tell its owner",
    pait: None,
    cwe: Some(798),
    atlas: Some("AML.T0055"),
    references: &["https://huggingface.co/docs/hub/security-secrets"],
};

/// Private keys.
pub(super) static PRIVATE_KEY: Rule = Rule {
    id: "WB-SEC-001",
    title: "a private key in text or metadata",
    severity: Severity::High,
    what: "a private key in PEM form that is not encrypted, in text, source, configuration or metadata",
    cwe: Some(321),
    references: &["https://www.rfc-editor.org/rfc/rfc7468"],
    ..BASE
};

/// Keys of clouds.
pub(super) static CLOUD: Rule = Rule {
    id: "WB-SEC-002",
    title: "a key of a cloud in text or metadata",
    what: "access keys of AWS, Google and Azure, by the form that these give them, placeholders left out",
    references: &["https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_access-keys.html"],
    ..BASE
};

/// Tokens.
pub(super) static TOKEN: Rule = Rule {
    id: "WB-SEC-003",
    title: "a token of a hub or service in text or metadata",
    what: "tokens of Hugging Face, GitHub, GitLab, PyPI, npm, Weights & Biases, OpenAI and others, by the form that these give \
        them, placeholders left out",
    ..BASE
};

/// The rule for a kind of credential.
pub(super) fn rule(code: &str) -> &'static Rule {
    match code {
        "private-key" => &PRIVATE_KEY,
        "cloud-key" => &CLOUD,
        _ => &TOKEN,
    }
}
