//! Where a tensor keeps its data outside the model: a file name that the loader opens.
//!
//! Loaders join it to the model's folder. Exporters write the plain name of a file beside the model; whatever else stands
//! there leads somewhere else: out of the folder (CVE-2022-25882, CVE-2024-27318), through a link that lies in it
//! (CVE-2026-27489, CVE-2026-34447), to an address, or into the process's own memory.

use crate::analyses::paths;

/// Keys that a tensor's external data may have; loaders set what else is there as attributes of their own objects.
pub(super) const KEYS: [&str; 5] = ["location", "offset", "length", "checksum", "basepath"];

/// Why a location is not the plain name of a file beside the model: a code for
/// [`FactKind::UnsafePath`](wb_verdict::FactKind::UnsafePath).
pub(super) fn unsafe_location(location: &str) -> Option<&'static str> {
    if location.contains("_ORT_MEM_ADDR_") {
        return Some("onnx-external-memory");
    }
    if address(location) {
        return Some("onnx-external-address");
    }
    let unescaped = decoded(location);
    for name in [location, &unescaped] {
        match paths::escape_of(name.as_bytes()) {
            Some("absolute") => return Some("onnx-external-absolute"),
            Some(_) => return Some("onnx-external-traversal"),
            None => {}
        }
    }
    if location.starts_with(['~', '$', '%']) || location.split(['/', '\\']).any(|p| p == "..") {
        return Some("onnx-external-traversal");
    }
    // `./weights.bin` is the same file.
    let plain = location.strip_prefix("./").unwrap_or(location);
    (plain.contains(['/', '\\']) || plain.chars().any(char::is_control) || matches!(plain, "" | "."))
        .then_some("onnx-external-folder")
}

/// `file://…`, `https://…`, `s3://…`.
fn address(location: &str) -> bool {
    location.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty()
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    }) || location.get(..5).is_some_and(|s| s.eq_ignore_ascii_case("file:"))
}

/// With the percent signs that some loaders decode.
fn decoded(location: &str) -> String {
    let mut out = location.to_string();
    for (from, to) in [("%2e", "."), ("%2E", "."), ("%2f", "/"), ("%2F", "/"), ("%5c", "\\"), ("%5C", "\\")] {
        out = out.replace(from, to);
    }
    out
}

/// A size or offset as loaders read it; `None` if no file can have it.
pub(super) fn size(text: &str) -> Option<u64> {
    let n: u64 = text.trim().parse().ok()?;
    i64::try_from(n).is_ok().then_some(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_name_is_honest() {
        for good in [
            "weights.bin",
            "model.onnx_data",
            "./model.onnx.data",
            "onnx__MatMul_12",
            "a..b",
            "layer.0.weight",
        ] {
            assert_eq!(unsafe_location(good), None, "{good}");
        }
        for (bad, code) in [
            ("/etc/passwd", "onnx-external-absolute"),
            ("C:\\x", "onnx-external-absolute"),
            ("\\\\host\\share\\x", "onnx-external-absolute"),
            ("../x", "onnx-external-traversal"),
            ("sub/../../x", "onnx-external-traversal"),
            ("sub/../x", "onnx-external-traversal"),
            ("..\\x", "onnx-external-traversal"),
            ("%2e%2e/x", "onnx-external-traversal"),
            ("~/.ssh/id_rsa", "onnx-external-traversal"),
            ("https://example.org/x", "onnx-external-address"),
            ("file:/etc/passwd", "onnx-external-address"),
            ("link/etc/passwd", "onnx-external-folder"),
            ("", "onnx-external-folder"),
            ("a\nb", "onnx-external-folder"),
            ("*/_ORT_MEM_ADDR_/*", "onnx-external-memory"),
        ] {
            assert_eq!(unsafe_location(bad), Some(code), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("16"), Some(16));
        assert_eq!(size("18446744073709551615"), None);
        assert_eq!(size("9223372036854775808"), None);
        assert_eq!(size("-1"), None);
        assert_eq!(size("0x10"), None);
    }
}
