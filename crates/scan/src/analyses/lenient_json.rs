//! JSON as Python's `json` takes it, which is more than the standard allows: `NaN` and infinities, numbers of any
//! size, lone surrogates. A strict parser alone would call such a document plain text and miss its keys.

/// Rewrites what only Python accepts into plain JSON of the same shape. Numbers become `0`.
pub(crate) fn strict(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&b) = text.get(at) {
        match b {
            b'"' => at = string(text, at, &mut out),
            b'-' | b'+' | b'0'..=b'9' | b'N' | b'I' => {
                let rest = &text[at..];
                let word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.');
                let len = rest.iter().take_while(|b| word(b)).count().max(1);
                out.push(b'0');
                at += len;
            }
            _ => {
                out.push(b);
                at += 1;
            }
        }
    }
    out
}

/// Copies a string literal, surrogates replaced; returns where it ends.
fn string(text: &[u8], start: usize, out: &mut Vec<u8>) -> usize {
    out.push(b'"');
    let mut at = start + 1;
    while let Some(&b) = text.get(at) {
        match b {
            b'"' => {
                out.push(b'"');
                return at + 1;
            }
            b'\\' => {
                let surrogate = matches!(text.get(at + 1..at + 4), Some([b'u', b'd' | b'D', d]) if matches!(d, b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F'));
                if surrogate && text.len() >= at + 6 {
                    out.push(b'?');
                    at += 6;
                } else {
                    out.push(b);
                    out.extend(text.get(at + 1));
                    at += 2;
                }
            }
            // Python reads control characters with `strict=False`.
            0..=0x1f => {
                out.push(b' ');
                at += 1;
            }
            _ => {
                out.push(b);
                at += 1;
            }
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::strict;

    fn parse(text: &str) -> Option<serde_json::Value> {
        serde_json::from_slice(&strict(text.as_bytes())).ok()
    }

    #[test]
    fn what_python_takes_becomes_json() {
        for text in [
            "{\"a\": NaN}",
            "[-Infinity, Infinity, 1e999, 12]",
            r#"["\ud800 x", "\"q\""]"#,
            "{\"a\": [true, null]}",
        ] {
            assert!(serde_json::from_str::<serde_json::Value>(text).is_err() || !text.contains("NaN"));
            assert!(parse(text).is_some(), "{text}");
        }
        assert_eq!(parse(r#"{"NaN": "1 NaN"}"#), Some(serde_json::json!({"NaN": "1 NaN"})));
        assert_eq!(parse("{broken"), None);
    }
}
