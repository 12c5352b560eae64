//! XML as a stream of tags, for model formats kept in it. Nothing is resolved or expanded; what a parser would resolve is
//! told.
//!
//! <https://www.w3.org/TR/xml/>. UTF-8 and its subsets are read in place, UTF-16 is turned into UTF-8 first. Long texts
//! are skipped, so that memory does not grow with the file.

use crate::analyses::directive;
use crate::cx::{Cx, Stop};
use wb_blob::{Blob, Window};
use wb_verdict::{FactKind, escape};

/// A tag longer than this is no tag of a model (bytes).
const LONGEST_TAG: usize = 1 << 20;
/// Texts come in pieces of this size (bytes).
const PIECE: u64 = 64 << 10;
/// Elements nested deeper than this exhaust parsers that recurse.
const DEEPEST: usize = 1000;

/// One part of a document.
pub(super) enum Token {
    Open {
        name: String,
        attributes: Vec<(String, String)>,
    },
    Close,
    /// Text or CDATA, long ones in pieces that overlap.
    Text(String),
}

/// A document being read.
pub(super) struct Xml {
    window: Window,
    len: u64,
    at: u64,
    depth: usize,
    /// The rest of a long text, which comes piece by piece.
    rest: Option<(u64, u64)>,
}

/// Does an element of this name begin the document? Declarations, comments and a DOCTYPE may stand before it.
pub(super) fn root_is(head: &[u8], root: &str) -> bool {
    let Some(text) = utf8_head(head) else { return false };
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    if !rest.starts_with('<') {
        return false;
    }
    loop {
        let Some(after) = rest.strip_prefix('<') else { return false };
        if let Some(comment) = after.strip_prefix("!--") {
            let Some((_, behind)) = comment.split_once("-->") else {
                return text.contains(&format!("<{root}"));
            };
            rest = behind.trim_start();
        } else if let Some(instruction) = after.strip_prefix('?') {
            let Some((_, behind)) = instruction.split_once("?>") else { return false };
            rest = behind.trim_start();
        } else if after.starts_with('!') {
            // A DOCTYPE names its root.
            let declared = after.get(8..).map(str::trim_start).is_some_and(|d| local(d).starts_with(root));
            return declared || text.contains(&format!("<{root}"));
        } else {
            let name: String =
                after.chars().take_while(|c| !c.is_whitespace() && !matches!(c, '>' | '/')).collect();
            return local(&name) == root;
        }
    }
}

/// A name without its prefix.
pub(super) fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// The beginning of a document as text, whatever its encoding.
fn utf8_head(head: &[u8]) -> Option<String> {
    let wide = |high: usize| {
        let units: Vec<u16> =
            head.chunks_exact(2).map(|c| u16::from(c[high]) << 8 | u16::from(c[1 - high])).collect();
        String::from_utf16_lossy(&units)
    };
    match head {
        [0xff, 0xfe, ..] | [b'<', 0, ..] => Some(wide(1)),
        [0xfe, 0xff, ..] | [0, b'<', ..] => Some(wide(0)),
        _ => {
            // Every file is asked: what cannot be markup is told by its first byte. Beyond ASCII these begin a BOM or a space.
            let first = head.iter().find(|b| !matches!(b, b'\t'..=b'\r' | b' '))?;
            if !matches!(first, b'<' | 0xc2 | 0xe1..=0xe3 | 0xef) {
                return None;
            }
            let text = String::from_utf8_lossy(head);
            text.trim_start_matches('\u{feff}').trim_start().starts_with('<').then(|| text.into_owned())
        }
    }
}

impl Xml {
    /// Opens a document; UTF-16 is turned into UTF-8.
    pub(super) fn new(blob: &Blob, cx: &mut Cx<'_>) -> Result<Self, Stop> {
        const MOST_WIDE: u64 = 24 << 20;
        let head = blob.head(4)?;
        let high = match head.as_slice() {
            [0xff, 0xfe, ..] | [b'<', 0, ..] => Some(1),
            [0xfe, 0xff, ..] | [0, b'<', ..] => Some(0),
            _ => None,
        };
        let blob = match high {
            None => blob.clone(),
            Some(_) if blob.len() > MOST_WIDE => {
                return Err(Stop::Unsupported("UTF-16 XML of this size".into()));
            }
            Some(high) => {
                cx.budget.memory(blob.len() * 4)?;
                let bytes = blob.read_range(0..blob.len())?;
                let units: Vec<u16> =
                    bytes.chunks_exact(2).map(|c| u16::from(c[high]) << 8 | u16::from(c[1 - high])).collect();
                Blob::from_vec(String::from_utf16_lossy(&units).into_bytes())
            }
        };
        let at = if blob.head(3)? == b"\xef\xbb\xbf" { 3 } else { 0 };
        Ok(Self {
            window: Window::new(blob.clone(), Window::CHUNK),
            len: blob.len(),
            at,
            depth: 0,
            rest: None,
        })
    }

    /// The next part and its offset. Declarations that parsers act on are recorded.
    pub(super) fn next(&mut self, cx: &mut Cx<'_>) -> Result<Option<(u64, Token)>, Stop> {
        loop {
            cx.budget.steps(1)?;
            if let Some((from, to)) = self.rest.take() {
                return Ok(Some((from, self.piece(from, to)?)));
            }
            if self.at >= self.len {
                if self.depth > 0 {
                    return Err(Stop::malformed(self.at, "the document ends inside an element"));
                }
                return Ok(None);
            }
            let at = self.at;
            let v = self.window.view(at, 16)?;
            if v.first() != Some(&b'<') {
                return Ok(Some((at, self.text()?)));
            }
            if v.starts_with(b"<!--") {
                self.at = self.find(at + 4, b"-->")?;
            } else if v.starts_with(b"<![CDATA[") {
                let end = self.find(at + 9, b"]]>")?;
                self.at = end;
                self.rest = Some((at + 9, end - 3));
            } else if v.starts_with(b"<?") {
                let end = self.find(at + 2, b"?>")?;
                let text = self.take(at + 2, end - 2)?;
                self.at = end;
                instruction(at, &text, cx);
            } else if v.starts_with(b"<!") {
                self.doctype(cx)?;
            } else {
                return self.tag(cx).map(Some);
            }
        }
    }

    /// Where `needle` ends, from `from` on.
    fn find(&mut self, from: u64, needle: &[u8]) -> Result<u64, Stop> {
        let mut at = from;
        while at < self.len {
            let v = self.window.view(at, needle.len())?;
            if let Some(n) = memchr::memmem::find(v, needle) {
                return Ok(at + (n + needle.len()) as u64);
            }
            // The needle may be cut in two by the window.
            at += (v.len().saturating_sub(needle.len() - 1)).max(1) as u64;
        }
        Err(Stop::malformed(from, format!("no {} follows", escape(&String::from_utf8_lossy(needle)))))
    }

    /// The beginning of a range as text.
    fn take(&mut self, from: u64, to: u64) -> Result<String, Stop> {
        let n = to.saturating_sub(from).min(PIECE) as usize;
        let v = self.window.view(from, n)?;
        Ok(String::from_utf8_lossy(&v[..v.len().min(n)]).into_owned())
    }

    /// What stands from `start` to before the end that `end` finds; `None` if that is further off than a tag may be.
    fn until(&mut self, start: u64, end: fn(&[u8]) -> Option<usize>) -> Result<Option<Vec<u8>>, Stop> {
        for most in [256, 8 << 10, LONGEST_TAG] {
            let v = self.window.view(start, most)?;
            let v = &v[..v.len().min(most)];
            if let Some(n) = end(v) {
                return Ok(Some(v[..n].to_vec()));
            }
        }
        Ok(None)
    }

    fn text(&mut self) -> Result<Token, Stop> {
        let start = self.at;
        let mut at = start;
        while at < self.len {
            let v = self.window.view(at, 1)?;
            match memchr::memchr(b'<', v) {
                Some(n) => {
                    at += n as u64;
                    break;
                }
                None => at += v.len() as u64,
            }
        }
        self.at = at;
        self.piece(start, at)
    }

    /// The beginning of a text; what is left of it comes next.
    fn piece(&mut self, from: u64, to: u64) -> Result<Token, Stop> {
        const OVERLAP: u64 = 256;
        if to - from > PIECE {
            self.rest = Some((from + PIECE - OVERLAP, to));
        }
        Ok(Token::Text(unescaped(&self.take(from, to)?)))
    }

    fn tag(&mut self, cx: &mut Cx<'_>) -> Result<(u64, Token), Stop> {
        let start = self.at;
        let Some(inside) = self.until(start, tag_end)? else {
            let detail = format!("a tag at {start} does not end within {LONGEST_TAG} bytes");
            if self.len - start > LONGEST_TAG as u64 {
                cx.fact(
                    Some(start),
                    FactKind::Resource { code: "xml-tag-length".into(), detail: detail.clone() },
                );
            }
            return Err(Stop::malformed(start, detail));
        };
        let end = inside.len();
        let inside = String::from_utf8_lossy(&inside[1..]).into_owned();
        self.at = start + end as u64 + 1;
        if inside.starts_with('/') {
            self.depth = self
                .depth
                .checked_sub(1)
                .ok_or_else(|| Stop::malformed(start, "an element ends that did not begin"))?;
            return Ok((start, Token::Close));
        }
        let empty = inside.ends_with('/');
        let inside = inside.trim_end_matches('/');
        let name: String = inside.chars().take_while(|c| !c.is_whitespace()).collect();
        if name.is_empty() {
            return Err(Stop::malformed(start, "a tag without a name"));
        }
        let attributes = attributes(&inside[name.len()..]);
        if !empty {
            self.depth += 1;
            if self.depth > DEEPEST {
                let detail = format!("elements nested deeper than {DEEPEST}");
                cx.fact(
                    Some(start),
                    FactKind::Resource { code: "xml-deep-nesting".into(), detail: detail.clone() },
                );
                return Err(Stop::malformed(start, detail));
            }
        }
        include(start, &name, &attributes, cx);
        Ok((start, Token::Open { name, attributes }))
    }

    /// A document type: entities and external subsets are what parsers resolve.
    fn doctype(&mut self, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let start = self.at;
        let Some(text) = self.until(start, doctype_end)? else {
            let code = "xml-entity".to_string();
            let detail = format!("a document type that does not end within {LONGEST_TAG} bytes");
            cx.fact(Some(start), FactKind::Directive { code, detail: detail.clone() });
            return Err(Stop::malformed(start, detail));
        };
        self.at = start + text.len() as u64 + 1;
        let text = String::from_utf8_lossy(&text).into_owned();
        let upper = text.to_ascii_uppercase();
        let entity = upper.contains("<!ENTITY");
        let words: Vec<&str> = upper.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        let external = words.contains(&"SYSTEM") || words.contains(&"PUBLIC");
        if entity || external {
            let code = if external { "xml-external-entity" } else { "xml-entity" };
            let shown: String = text.chars().take(200).collect();
            cx.fact(Some(start), FactKind::Directive { code: code.into(), detail: escape(&shown) });
        }
        Ok(())
    }
}

/// Where the tag ends that begins `v`; a `>` in a value does not end it.
fn tag_end(v: &[u8]) -> Option<usize> {
    let mut quote = 0;
    for (i, b) in v.iter().enumerate() {
        match *b {
            q @ (b'"' | b'\'') if quote == 0 => quote = q,
            q if q == quote => quote = 0,
            b'>' if quote == 0 => return Some(i),
            _ => {}
        }
    }
    None
}

fn doctype_end(v: &[u8]) -> Option<usize> {
    let (mut quote, mut brackets) = (0, 0u32);
    for (i, b) in v.iter().enumerate() {
        match *b {
            q @ (b'"' | b'\'') if quote == 0 => quote = q,
            q if q == quote => quote = 0,
            _ if quote != 0 => {}
            b'[' => brackets += 1,
            b']' => brackets = brackets.saturating_sub(1),
            b'>' if brackets == 0 => return Some(i),
            _ => {}
        }
    }
    None
}

fn attributes(text: &str) -> Vec<(String, String)> {
    const MOST: usize = 1000;
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let Some(quote) = after.chars().next().filter(|c| matches!(c, '"' | '\'')) else { break };
        let Some((value, behind)) = after[1..].split_once(quote) else { break };
        if out.len() < MOST {
            out.push((name.trim().to_string(), unescaped(value)));
        }
        rest = behind;
    }
    out
}

/// Character references and the five entities that every parser knows.
fn unescaped(text: &str) -> String {
    if !text.contains('&') {
        return text.to_string();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(end) = rest.bytes().take(12).position(|b| b == b';') else {
            out.push('&');
            continue;
        };
        let name = &rest[..end];
        let c = match name {
            "lt" => Some('<'),
            "gt" => Some('>'),
            "amp" => Some('&'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => name.strip_prefix('#').and_then(|n| {
                let code = match n.strip_prefix(['x', 'X']) {
                    Some(hex) => u32::from_str_radix(hex, 16),
                    None => n.parse(),
                };
                code.ok().and_then(char::from_u32)
            }),
        };
        match c {
            Some(c) => {
                out.push(c);
                rest = &rest[end + 1..];
            }
            None => out.push('&'),
        }
    }
    out.push_str(rest);
    out
}

/// Encodings that are not read here, and style sheets that viewers run.
fn instruction(at: u64, text: &str, cx: &mut Cx<'_>) {
    let lower = text.to_ascii_lowercase();
    if lower.starts_with("xml-stylesheet") {
        let detail = escape(&text.chars().take(200).collect::<String>());
        cx.fact(Some(at), FactKind::Directive { code: "xml-stylesheet".into(), detail });
    } else if lower.starts_with("xml")
        && let Some((_, encoding)) = attributes(&text[3..]).into_iter().find(|(n, _)| n == "encoding")
    {
        const READ: &[&str] = &[
            "utf-8",
            "utf8",
            "us-ascii",
            "ascii",
            "iso-8859-1",
            "iso8859-1",
            "latin1",
            "latin-1",
            "windows-1252",
            "utf-16",
            "utf-16le",
            "utf-16be",
        ];
        if !READ.contains(&encoding.to_ascii_lowercase().as_str()) {
            let detail = format!("declared as {}", escape(&encoding));
            cx.structure(at, "xml-encoding", detail);
        }
    }
}

/// XInclude: parsers that follow it read other files.
fn include(at: u64, name: &str, attributes: &[(String, String)], cx: &mut Cx<'_>) {
    let named = local(name) == "include" && attributes.iter().any(|(n, _)| n == "href");
    let space = attributes.iter().any(|(n, v)| n.starts_with("xmlns") && v.contains("/XInclude"));
    if named || space {
        let href = attributes.iter().find(|(n, _)| n == "href").map_or("", |(_, v)| v);
        let detail = format!("{} {}", escape(name), escape(href));
        cx.fact(Some(at), FactKind::Directive { code: "xml-include".into(), detail });
    }
}

/// Texts that no evaluator of models needs: expressions and lookups that something evaluates.
pub(super) fn commands(at: u64, place: &str, text: &str, cx: &mut Cx<'_>) {
    const NEEDLES: &[&str] = &[
        "${jndi:",
        "Runtime.getRuntime(",
        "java.lang.Runtime",
        "ProcessBuilder(",
        "javax.script",
        "T(java.lang",
        "System.loadLibrary(",
        "ClassLoader(",
    ];
    if text.len() < 8 {
        return;
    }
    let found = directive::commands(text).or_else(|| {
        NEEDLES.iter().find(|n| text.contains(**n)).map(|n| {
            let at = text.find(n).unwrap_or(0);
            ("script-text", escape(&text[at..].chars().take(120).collect::<String>()))
        })
    });
    if let Some((code, detail)) = found {
        cx.fact(Some(at), FactKind::Directive { code: code.into(), detail: format!("{place}: {detail}") });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_found_behind_what_may_precede_it() {
        for good in [
            "<net name=\"a\"/>",
            "<?xml version=\"1.0\"?>\n<!-- a net -->\n<net/>",
            "\u{feff}<net\n>",
            " \r\n\u{b}<net/>",
            "\u{3000}\u{2028}\u{1680}\u{85}\u{a0}<net/>",
            "<!DOCTYPE net [<!ENTITY a \"b\">]><net/>",
            "<x:net xmlns:x=\"u\"/>",
        ] {
            assert!(root_is(good.as_bytes(), "net"), "{good}");
        }
        for bad in ["<network/>", "net", "<html><net/></html>", "<", "<?xml"] {
            assert!(!root_is(bad.as_bytes(), "net"), "{bad}");
        }
        let wide: Vec<u8> = "\u{feff}<net/>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(root_is(&wide, "net"));
    }

    #[test]
    fn attributes_and_references() {
        let all = attributes(" a=\"1\" b = '&lt;&#x41;&amp;' c=\"x=y\"");
        assert_eq!(all, [("a".into(), "1".into()), ("b".into(), "<A&".into()), ("c".into(), "x=y".into())]);
        assert_eq!(unescaped("a&b &unknown; &#1114112;"), "a&b &unknown; &#1114112;");
    }

    #[test]
    fn ends() {
        assert_eq!(tag_end(b"<a b=\">\">x"), Some(8));
        assert_eq!(doctype_end(b"<!DOCTYPE a [<!ENTITY b \"]>\">]>"), Some(30));
    }
}
