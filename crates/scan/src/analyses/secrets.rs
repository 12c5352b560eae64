//! Credentials in text: private keys, keys of clouds, tokens of hubs and services.
//!
//! They harm whom they belong to, not who loads the model. So only forms that issuers give a prefix, an alphabet and a
//! length of their own are told, and nothing that looks like a placeholder. What is told never holds the secret itself.

use crate::cx::Cx;
use memchr::memmem::Finder;
use std::sync::LazyLock;
use wb_verdict::FactKind;

/// Most told of one text.
const MAX: usize = 20;

/// What follows a prefix.
#[derive(Clone, Copy)]
enum Alphabet {
    /// Letters.
    Letters,
    /// Capitals and digits.
    Capitals,
    /// Letters and digits.
    Plain,
    /// Letters, digits, `_` and `-`.
    Url,
    /// Hexadecimal digits in lower case.
    Hex,
    /// Base64.
    Base64,
}

impl Alphabet {
    fn has(self, b: u8) -> bool {
        match self {
            Self::Letters => b.is_ascii_alphabetic(),
            Self::Capitals => b.is_ascii_uppercase() || b.is_ascii_digit(),
            Self::Plain => b.is_ascii_alphanumeric(),
            Self::Url => b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'),
            Self::Hex => b.is_ascii_digit() || matches!(b, b'a'..=b'f'),
            Self::Base64 => b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'),
        }
    }
}

/// One form: prefix, alphabet, least and greatest length of what follows, the rule's code, whose it is.
type Form = (&'static str, Alphabet, usize, usize, &'static str, &'static str);

/// Sources: the issuers' documentation of their formats.
const FORMS: &[Form] = &[
    ("AKIA", Alphabet::Capitals, 16, 16, "cloud-key", "an AWS access key id"),
    ("ASIA", Alphabet::Capitals, 16, 16, "cloud-key", "an AWS session key id"),
    ("AIza", Alphabet::Url, 35, 35, "cloud-key", "a Google API key"),
    ("AccountKey=", Alphabet::Base64, 86, 86, "cloud-key", "an Azure storage key"),
    ("hf_", Alphabet::Letters, 34, 34, "token", "a Hugging Face token"),
    ("api_org_", Alphabet::Letters, 34, 34, "token", "a Hugging Face organisation token"),
    ("ghp_", Alphabet::Plain, 36, 36, "token", "a GitHub token"),
    ("gho_", Alphabet::Plain, 36, 36, "token", "a GitHub token"),
    ("ghs_", Alphabet::Plain, 36, 36, "token", "a GitHub token"),
    ("github_pat_", Alphabet::Url, 82, 82, "token", "a GitHub token"),
    ("glpat-", Alphabet::Url, 20, 20, "token", "a GitLab token"),
    ("npm_", Alphabet::Plain, 36, 36, "token", "an npm token"),
    ("pypi-AgEIcHlwaS5vcmc", Alphabet::Url, 50, 500, "token", "a PyPI token"),
    ("sk-proj-", Alphabet::Url, 40, 200, "token", "an OpenAI key"),
    ("sk-ant-api03-", Alphabet::Url, 90, 110, "token", "an Anthropic key"),
    ("sk_live_", Alphabet::Plain, 24, 120, "token", "a Stripe key"),
    ("xoxb-", Alphabet::Url, 40, 90, "token", "a Slack token"),
    ("xoxp-", Alphabet::Url, 40, 90, "token", "a Slack token"),
    ("r8_", Alphabet::Plain, 37, 37, "token", "a Replicate token"),
    ("WANDB_API_KEY=", Alphabet::Hex, 40, 40, "token", "a Weights & Biases key"),
];

/// How a private key begins: PEM (RFC 7468) of all kinds.
const PEM: &str = "-----BEGIN ";

static FINDERS: LazyLock<Vec<(Finder<'static>, &'static Form)>> =
    LazyLock::new(|| FORMS.iter().map(|form| (Finder::new(form.0), form)).collect());

/// A credential: code, whose, offset, and how it is shown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Secret {
    pub code: &'static str,
    pub what: &'static str,
    pub at: usize,
    pub shown: String,
}

/// Records the credentials in a text that begins at `base`; `place` says where it stands.
pub(crate) fn record(text: &[u8], base: u64, place: &str, cx: &mut Cx<'_>) {
    find(text).into_iter().for_each(|secret| fact(secret, base, place, cx));
}

/// Records one credential of a text that begins at `base`.
pub(crate) fn fact(secret: Secret, base: u64, place: &str, cx: &mut Cx<'_>) {
    let detail = match place {
        "" => secret.shown,
        place => format!("{place}: {}", secret.shown),
    };
    let (code, what) = (secret.code.to_string(), secret.what.to_string());
    cx.fact(Some(base + secret.at as u64), FactKind::Secret { code, what, detail });
}

/// The credentials in a text, in order.
pub(crate) fn find(text: &[u8]) -> Vec<Secret> {
    let mut found = Vec::new();
    for (finder, form) in FINDERS.iter() {
        let tokens = finder.find_iter(text).filter_map(|at| token(text, at, form));
        found.extend(tokens.take(MAX));
    }
    let pem = memchr::memmem::find_iter(text, PEM).filter_map(|at| private_key(text, at));
    found.extend(pem.take(MAX));
    found.sort_by_key(|s| s.at);
    found.truncate(MAX);
    found
}

fn token(text: &[u8], at: usize, form: &Form) -> Option<Secret> {
    let (prefix, alphabet, least, most, code, what) = *form;
    // Part of a longer word is none: base64 and hashes hold every prefix.
    let word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+' | b'/');
    if at.checked_sub(1).and_then(|n| text.get(n)).is_some_and(&word) {
        return None;
    }
    let rest = text.get(at + prefix.len()..)?;
    let length = rest.iter().take(most + 1).take_while(|b| alphabet.has(**b)).count();
    let body = rest.get(..length)?;
    let ends = !rest.get(length).is_some_and(word);
    (length >= least && length <= most && ends && random(body)).then(|| Secret {
        code,
        what,
        at,
        shown: format!("{prefix}… ({} characters)", prefix.len() + length),
    })
}

/// What a generator makes, and no placeholder: many different characters, no long runs, no tell-tale words.
fn random(body: &[u8]) -> bool {
    let mut seen = [false; 256];
    body.iter().for_each(|b| seen[usize::from(*b)] = true);
    let different = seen.iter().filter(|s| **s).count();
    let run = |n: usize| body.windows(n).any(|w| w.iter().all(|b| *b == w[0]));
    let counted = body.windows(5).any(|w| w.windows(2).all(|p| p[1] == p[0].wrapping_add(1)));
    let lower = body.to_ascii_lowercase();
    let says = ["example", "your", "token", "secret", "dummy", "fake", "placeholder", "test"]
        .iter()
        .any(|w| memchr::memmem::find(&lower, w.as_bytes()).is_some());
    different >= 9 && !run(5) && !counted && !says
}

/// A key that is not encrypted, with enough of it there to be one.
fn private_key(text: &[u8], at: usize) -> Option<Secret> {
    const LABEL: usize = 48;
    let label = text.get(at + PEM.len()..)?;
    let label = &label[..label.len().min(LABEL)];
    let end = memchr::memmem::find(label, b"-----")?;
    let label = label.get(..end)?;
    if !(label.ends_with(b"PRIVATE KEY") || label.ends_with(b"PRIVATE KEY BLOCK"))
        || label.starts_with(b"ENCRYPTED")
    {
        return None;
    }
    let body = text.get(at + PEM.len() + end + 5..)?;
    let body = &body[..body.len().min(600)];
    if memchr::memmem::find(body, b"ENCRYPTED").is_some() {
        return None;
    }
    // Lines may be broken as `\n` in JSON and Python.
    let mut letters = Vec::with_capacity(body.len());
    let mut bytes = body.iter().copied().peekable();
    while let Some(b) = bytes.next() {
        match b {
            b'\\' if matches!(bytes.peek(), Some(b'n' | b'r')) => {
                bytes.next();
            }
            b if Alphabet::Base64.has(b) || b == b'=' => letters.push(b),
            b if b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b',' | b'\\') => {}
            _ => break,
        }
    }
    let different = |b: &[u8]| b.iter().collect::<std::collections::HashSet<_>>().len();
    (letters.len() >= 60 && different(&letters[..60]) >= 15).then(|| Secret {
        code: "private-key",
        what: "a private key",
        at,
        shown: format!("{PEM}{}-----", String::from_utf8_lossy(label)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Put together here, so that no such text stands in the source.
    const BODY: &str = "QwErTyUiOpAsDfGhJkLzXcVbNmQaZwSxEdCrFv";

    fn told(text: &str) -> Vec<&'static str> {
        find(text.as_bytes()).iter().map(|s| s.what).collect()
    }

    #[test]
    fn forms_of_issuers() {
        let letters: String = BODY.chars().take(34).collect();
        assert_eq!(told(&format!("token = \"hf_{letters}\"")), ["a Hugging Face token"]);
        assert_eq!(told(&format!("x=ghp_{}7B,", &BODY[..34])), ["a GitHub token"]);
        assert_eq!(told(&format!("AKIA{}", "Q3EGRIZ7PLM5TAVB")), ["an AWS access key id"]);
        assert_eq!(told(&format!("a\nexport AIza{}_\n", &BODY[..34])), ["a Google API key"]);
        let shown = &find(format!("hf_{letters}").as_bytes())[0].shown;
        assert_eq!(shown, "hf_… (37 characters)");
    }

    #[test]
    fn what_is_none() {
        let letters: String = BODY.chars().take(34).collect();
        for text in [
            format!("hf_{letters}x"),
            format!("xhf_{letters}"),
            format!("hf_{}", &letters[..33]),
            format!("hf_{}", "x".repeat(34)),
            format!("hf_{}", "abcdefghijklmnopqrstuvwxyzabcdefgh"),
            "AKIAIOSFODNN7EXAMPLE".into(),
            format!("hf_your{}", &letters[..30]),
            "hf_hub_download(repo_id, filename)".into(),
            "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA".into(),
            "-----BEGIN RSA PRIVATE KEY-----\n...\n-----END RSA PRIVATE KEY-----".into(),
        ] {
            assert_eq!(told(&text), [""; 0], "{text}");
        }
    }

    #[test]
    fn private_keys_in_their_spellings() {
        let body = format!("{BODY}7+9/MIIEpAIBAAKCAQEAx1c8m2Zt");
        for (label, lines) in [("RSA ", "\n"), ("", "\\n"), ("OPENSSH ", "\r\n")] {
            let text = format!("k: -----BEGIN {label}PRIVATE KEY-----{lines}{body}{lines}-----END");
            assert_eq!(told(&text), ["a private key"], "{text}");
        }
        assert_eq!(told(&format!("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{body}")), [""; 0]);
        let locked = "Proc-Type: 4,ENCRYPTED";
        assert_eq!(told(&format!("-----BEGIN RSA PRIVATE KEY-----\n{locked}\n\n{body}")), [""; 0]);
    }

    #[test]
    fn no_more_than_a_few_are_told() {
        let many = format!("hf_{} ", &BODY[..34]).repeat(1000);
        assert_eq!(find(many.as_bytes()).len(), MAX);
    }
}
