//! What is changed in upstream metadata before a client sees it.
//!
//! Two things would lead a client around the gate: Xet (content fetched from another service by hashes that are
//! no content hashes) and absolute addresses of the upstream. Both are taken out of headers and of JSON.

use serde_json::Value;

/// Removes Xet hashes from the entries of `tree` and `paths-info` answers, and points addresses of the upstream at
/// the gate. Returns nothing if the bytes are not JSON.
pub fn json(body: &[u8], base: &str, upstream: &str) -> Option<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(body).ok()?;
    let origins = [upstream.trim_end_matches('/'), "https://huggingface.co"];
    clean(&mut value, base, &origins, 0);
    serde_json::to_vec(&value).ok()
}

fn clean(value: &mut Value, base: &str, origins: &[&str], depth: u32) {
    // serde_json itself stops at 128 levels; this recursion is bounded by that.
    match value {
        Value::Array(items) => items.iter_mut().for_each(|v| clean(v, base, origins, depth + 1)),
        Value::Object(map) => {
            map.retain(|k, _| !is_xet_key(k));
            map.values_mut().for_each(|v| clean(v, base, origins, depth + 1));
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
    matches!(key, "xetHash" | "xet_hash" | "xetEnabled" | "xetToken" | "casUrl")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "http://gate:8080/hf";
    const UP: &str = "https://hub.example";

    #[test]
    fn xet_hashes_leave_the_json() {
        let body = br#"[{"path":"a","xetHash":"00","lfs":{"oid":"1"}},{"url":"https://hub.example/a/b"}]"#;
        let out: Value = serde_json::from_slice(&json(body, BASE, UP).unwrap()).unwrap();
        assert_eq!(
            out,
            serde_json::json!([{"path":"a","lfs":{"oid":"1"}},{"url":"http://gate:8080/hf/a/b"}])
        );
        assert!(json(b"<html>", BASE, UP).is_none());
    }
}
