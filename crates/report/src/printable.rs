//! Text that is safe to print.

/// `text` with every control, bidirectional and invisible character written as an escape. Unlike
/// [`wb_verdict::escape`] it leaves backslashes alone, so text that is escaped already stays as it is.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if (c.is_ascii() && !c.is_ascii_control()) || c.is_alphanumeric() {
            out.push(c);
        } else {
            out.push_str(&wb_verdict::escape(c.encode_utf8(&mut [0; 4])));
        }
    }
    out
}

/// At most `max` characters of [`printable`] text; what is cut off is said.
pub(crate) fn shortened(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => {
            let left = text.chars().count() - max;
            format!("{} … (and {left} characters more)", printable(text.get(..end).unwrap_or_default()))
        }
        None => printable(text),
    }
}

/// A size in bytes for people: `1.5 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS.get(unit).copied().unwrap_or("PiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_text_stays_and_raw_controls_do_not() {
        assert_eq!(printable("a\\x1b[31m é"), "a\\x1b[31m é");
        assert_eq!(printable("a\u{1b}[31m\u{202e}\n"), "a\\x1b[31m\\u{202e}\\n");
    }

    #[test]
    fn cutting_says_so() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüx", 3), "äöü … (and 1 characters more)");
    }

    #[test]
    fn sizes() {
        assert_eq!(size(1023), "1023 bytes");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(u64::MAX), "16384.0 PiB");
    }
}
