//! What is changed in upstream metadata before a client sees it.
//!
//! Two things would lead a client around the gate: Xet (content fetched from another service by hashes that are
//! no content hashes) and absolute addresses of the upstream. Both are taken out of headers and of JSON.

use bytes::Bytes;
use serde_json::Value;

/// Removes Xet hashes from the entries of `tree` and `paths-info` answers, and points addresses of the upstream at
/// the gate. Returns nothing if the bytes are not JSON.
pub fn json(body: &Bytes, base: &str, upstream: &str) -> Option<Bytes> {
    let origins = [upstream.trim_end_matches('/'), "https://huggingface.co"];
    if !needs_work(body, &origins) {
        return Some(body.clone());
    }
    let mut value: Value = serde_json::from_slice(body).ok()?;
    clean(&mut value, base, &origins);
    serde_json::to_vec(&value).ok().map(Bytes::from)
}

/// False if nothing in the text can be a Xet key or an address: long listings then pass without being taken apart.
/// Text with escapes is always taken apart, since an escape can spell anything.
fn needs_work(body: &[u8], origins: &[&str]) -> bool {
    let has = |needle: &str| !needle.is_empty() && memchr::memmem::find(body, needle.as_bytes()).is_some();
    let json = body.trim_ascii_start().first().is_some_and(|b| matches!(b, b'{' | b'['));
    !json || has("xet") || has("casUrl") || has("\\u") || has("\\/") || origins.iter().any(|o| has(o))
}

fn clean(value: &mut Value, base: &str, origins: &[&str]) {
    // serde_json itself stops at 128 levels; this recursion is bounded by that.
    match value {
        Value::Array(items) => items.iter_mut().for_each(|v| clean(v, base, origins)),
        Value::Object(map) => {
            map.retain(|k, _| !is_xet_key(k));
            map.values_mut().for_each(|v| clean(v, base, origins));
        }
        Value::String(s) => {
            for origin in origins {
                if let Some(rest) = s.strip_prefix(origin)
                    && rest.starts_with('/')
                    && !origin.is_empty()
                {
                    *s = format!("{base}{rest}");
                    break;
                }
            }
        }
        _ => {}
    }
}

fn is_xet_key(key: &str) -> bool {
    key.starts_with("xet") || key == "casUrl"
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "http://gate:8080/hf";
    const UP: &str = "https://hub.example";

    #[test]
    fn xet_hashes_leave_the_json() {
        let body = br#"[{"path":"a","xetHash":"00","lfs":{"oid":"1"}},{"url":"https://hub.example/a/b"}]"#;
        let out: Value = serde_json::from_slice(&json(&Bytes::from_static(body), BASE, UP).unwrap()).unwrap();
        assert_eq!(
            out,
            serde_json::json!([{"path":"a","lfs":{"oid":"1"}},{"url":"http://gate:8080/hf/a/b"}])
        );
        let escaped = Bytes::from_static(br#"[{"\u0078etHash":"00"}]"#);
        assert_eq!(json(&escaped, BASE, UP).unwrap(), "[{}]");
        let plain = Bytes::from_static(br#"{"siblings": [{"rfilename":"a"}]}"#);
        assert_eq!(json(&plain, BASE, UP).unwrap(), plain);
        assert!(json(&Bytes::from_static(b"<html>"), BASE, UP).is_none());
    }
}
