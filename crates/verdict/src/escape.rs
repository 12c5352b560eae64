//! Everything an attacker can name is bytes, and is escaped in every output.

/// `text` with control, bidirectional and other invisible characters written as escapes.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape_to(&mut out, text, None);
    out
}

/// Appends `text` as [`escape`] writes it, with a backslash before each `quote`.
pub fn escape_to(out: &mut String, text: &str, quote: Option<char>) {
    let special = |c: char| !(' '..='~').contains(&c) || c == '\\' || Some(c) == quote;
    let mut rest = text;
    // Most text needs no escapes: it is copied in stretches.
    while let Some(at) = rest.find(special) {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = tail.chars();
        match chars.next() {
            Some(c) if Some(c) == quote => out.extend(['\\', c]),
            Some(c) => push(out, c),
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
}

/// `bytes` read as UTF-8 where possible; other bytes as `\xNN`.
pub fn escape_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push(&mut out, c);
        }
        for b in chunk.invalid() {
            out.push_str(&format!("\\x{b:02x}"));
        }
    }
    out
}

fn push(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\\' => out.push_str("\\\\"),
        c if c.is_ascii() && !c.is_ascii_control() => out.push(c),
        c if c.is_alphanumeric() => out.push(c),
        c if (c as u32) < 0x100 => out.push_str(&format!("\\x{:02x}", c as u32)),
        c => out.push_str(&format!("\\u{{{:x}}}", c as u32)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_escaped_where_asked() {
        let mut out = String::from("x");
        escape_to(&mut out, "it's\n\\é'", Some('\''));
        assert_eq!(out, "xit\\'s\\n\\\\é\\'");
    }

    #[test]
    fn terminal_escapes_and_bidi_marks_are_shown_not_sent() {
        assert_eq!(escape("a\u{1b}[31mb\u{202e}c é"), "a\\x1b[31mb\\u{202e}c é");
        assert_eq!(escape_bytes(b"ok\xff\n"), "ok\\xff\\n");
    }
}
