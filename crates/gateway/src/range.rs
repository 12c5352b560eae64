//! `Range` and `If-None-Match` (RFC 9110, 13 and 14), as far as model clients use them.

/// What part of a file is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it (200).
    Whole,
    /// Bytes `start..end` (206); never empty.
    Bytes {
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
    },
    /// Nothing of it exists (416).
    Unsatisfiable,
}

/// Reads a `Range` header against a file of `size` bytes.
///
/// Several ranges, other units and malformed values are ignored, as the RFC allows: the answer is whole.
pub fn part(header: Option<&str>, size: u64) -> Part {
    let Some(spec) = header.and_then(|h| h.trim().strip_prefix("bytes=")) else { return Part::Whole };
    let Some((from, to)) = spec.trim().split_once('-') else { return Part::Whole };
    let digits = |s: &str| s.len() <= 19 && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(from) || !digits(to) {
        return Part::Whole;
    }
    match (from.parse::<u64>(), to.parse::<u64>()) {
        (Ok(a), Ok(b)) if a > b => Part::Whole,
        (Ok(a), _) if a >= size => Part::Unsatisfiable,
        (Ok(a), Ok(b)) => Part::Bytes { start: a, end: b.min(size - 1) + 1 },
        (Ok(a), Err(_)) => Part::Bytes { start: a, end: size },
        (Err(_), Ok(0)) => Part::Unsatisfiable,
        (Err(_), Ok(_)) if size == 0 => Part::Unsatisfiable,
        (Err(_), Ok(n)) => Part::Bytes { start: size.saturating_sub(n), end: size },
        (Err(_), Err(_)) => Part::Whole,
    }
}

/// True if an `If-None-Match` header names `etag` (given without quotes). Comparison is weak.
pub fn none_match(header: Option<&str>, etag: &str) -> bool {
    header.is_some_and(|h| {
        h.split(',')
            .map(str::trim)
            .any(|t| t == "*" || t.strip_prefix("W/").unwrap_or(t).trim_matches('"') == etag)
    })
}

/// True if an `If-Range` header allows a part to be sent: absent or a strong match.
pub fn if_range(header: Option<&str>, etag: &str) -> bool {
    header.is_none_or(|h| h.trim().strip_prefix('"').and_then(|t| t.strip_suffix('"')) == Some(etag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let b = |start, end| Part::Bytes { start, end };
        for (header, want) in [
            ("bytes=0-0", b(0, 1)),
            ("bytes=2-5", b(2, 6)),
            ("bytes=2-", b(2, 10)),
            ("bytes=-3", b(7, 10)),
            ("bytes=-99", b(0, 10)),
            ("bytes=5-99", b(5, 10)),
            ("bytes=10-", Part::Unsatisfiable),
            ("bytes=10-12", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=5-2", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("items=0-1", Part::Whole),
            ("bytes=99999999999999999999-", Part::Whole),
        ] {
            assert_eq!(part(Some(header), 10), want, "{header}");
        }
        assert_eq!(part(None, 10), Part::Whole);
        assert_eq!(part(Some("bytes=0-"), 0), Part::Unsatisfiable);
        assert_eq!(part(Some("bytes=-5"), 0), Part::Unsatisfiable);
        assert_eq!(part(Some("bytes=0-18446744073709551615"), 10), Part::Whole);
    }

    #[test]
    fn etags() {
        assert!(none_match(Some("\"abc\""), "abc"));
        assert!(none_match(Some("W/\"x\", \"abc\""), "abc"));
        assert!(none_match(Some("*"), "abc"));
        assert!(!none_match(Some("\"ab\""), "abc"));
        assert!(!none_match(None, "abc"));
        assert!(if_range(None, "abc") && if_range(Some("\"abc\""), "abc"));
        assert!(!if_range(Some("W/\"abc\""), "abc") && !if_range(Some("Mon, 01 Jan 2024"), "abc"));
    }
}
