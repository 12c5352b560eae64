//! What cannot be judged yet.

use wb_verdict::{Confidence, Family, Location, Rule, Severity, Verdict};

const BASE: Rule = Rule {
    id: "",
    title: "",
    family: Family::Unsupported,
    severity: Severity::Low,
    confidence: Confidence::High,
    verdict: Verdict::Unknown,
    what: "",
    why: "",
    fix: "",
    pait: None,
    cwe: Some(829),
    atlas: Some("AML.T0010"),
    references: &[],
};

/// A known format without an analysis.
pub(super) static FORMAT: Rule = Rule {
    id: "WB-UNS-001",
    title: "a format that this version cannot judge",
    what: "a known model format whose loaders can run or deserialise content, recognised but not analysed",
    why: "not looked at is not harmless",
    fix: "ask for safetensors or GGUF, or let your policy admit the format if you trust the publisher",
    ..BASE
};

/// No loader known.
pub(super) static CONTENT: Rule = Rule {
    id: "WB-UNS-002",
    title: "content that no catalogued loader opens",
    what: "bytes that are no known model, archive, document or media format",
    why: "if an application of yours reads them, what it does with them is not known here",
    fix: "nothing if the file is data of your own application; else leave it out",
    ..BASE
};

/// Source under a name that makes it run.
pub(super) static SOURCE: Rule = Rule {
    id: "WB-UNS-003",
    title: "code or instructions that this version cannot read",
    what: "a file whose name makes it code or an instruction to a tool, in a language or encoding that is not analysed: \
        Python 2, batch files, Lua, JavaScript, or Python too intricate to follow",
    why: "what it does is not known; it runs when someone imports or starts it",
    fix: "review the file, or leave it out of the pull (allow patterns of the client)",
    ..BASE
};

/// The rule for bytes that no format claims. Raw tensors have no structure to be claimed by: their loaders know them by
/// name alone, and take them for numbers whatever they are.
pub(super) fn content(place: &Location, name: &str) -> Option<&'static Rule> {
    let path = if place.path.is_empty() { name } else { &place.path };
    let file = path.rsplit(['/', '\\', '!']).next().unwrap_or(path);
    if is_raw_tensors(file) { None } else { Some(&CONTENT) }
}

/// `NAME.data-00000-of-00001` of TensorFlow, `group1-shard1of1(.bin)` of TensorFlow.js.
fn is_raw_tensors(file: &str) -> bool {
    let digits = |t: &str, n: usize| t.len() >= n && t.bytes().all(|b| b.is_ascii_digit());
    let shard = |t: &str, middle: &str, n: usize| {
        t.split_once(middle).is_some_and(|(i, of)| digits(i, n) && digits(of, n))
    };
    if let Some((_, rest)) = file.rsplit_once(".data-") {
        return shard(rest, "-of-", 5);
    }
    let Some(rest) = file.strip_prefix("group") else { return false };
    let rest = rest.strip_suffix(".bin").unwrap_or(rest);
    rest.split_once("-shard").is_some_and(|(group, rest)| digits(group, 1) && shard(rest, "of", 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_tensors_by_their_names() {
        for name in [
            "variables.data-00000-of-00001",
            "a.b.data-00002-of-00010",
            "group1-shard1of1",
            "group2-shard3of14.bin",
        ] {
            assert!(content(&Location::default(), &format!("m/{name}")).is_none(), "{name}");
        }
        for name in [
            "x.data-0-of-1",
            "model.data-00000-of-00001.pkl",
            "group1-shard1of1.pkl",
            "weights.bin",
            "group-shardof",
        ] {
            assert!(content(&Location::default(), name).is_some(), "{name}");
        }
    }
}
