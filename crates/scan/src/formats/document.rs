//! Text: prose, configuration, vocabularies, tables, source. Inert by itself; what a loader may make of it is
//! recorded as readings (a rule may join them with the file's name) and directives.

use super::pickle::text_imports;
use super::{Claim, Coverage, Format, Probe, source};
use crate::analyses::config::tree::{self, Builder};
use crate::analyses::directive::{self, Finding};
use crate::analyses::{
    instructions, java, jinja, keras, lenient_json, modelfile, mojo, secrets, spacy, torchserve, yaml,
};
use crate::cx::{Cx, Stop};
use serde::de::DeserializeSeed;
use std::io::BufReader;
use wb_blob::{Blob, Window};
use wb_verdict::{FactKind, escape};

/// Text of any kind.
pub struct Text;

/// JSON documents up to this size are held as a tree, in bytes; of larger ones only what matters.
const TREE_MAX: u64 = 6 << 20;
/// Text up to this size is looked over line by line.
const LINES_MAX: u64 = 16 << 20;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
}

fn control(b: u8) -> bool {
    b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b) || b == 0x7f
}

fn encoding(head: &[u8]) -> Option<Encoding> {
    match head {
        [0xff, 0xfe, rest @ ..] if plausible16(rest, 1) => return Some(Encoding::Utf16Le),
        [0xfe, 0xff, rest @ ..] if plausible16(rest, 0) => return Some(Encoding::Utf16Be),
        _ => {}
    }
    // Most binary data is told by this alone.
    if head.contains(&0) {
        return None;
    }
    let cut = match std::str::from_utf8(head) {
        Ok(_) => true,
        // A character cut in two by the end of the probe.
        Err(e) => e.error_len().is_none() && head.len() - e.valid_up_to() < 4,
    };
    // Vocabularies hold single control characters; binary data holds NULs or many.
    let controls = head.iter().filter(|b| control(**b)).count();
    let few = controls * 50 <= head.len();
    // Single-byte legacy text is text too, as long as it is mostly ASCII and has no control characters: a
    // protobuf around one long string has few.
    let ascii = head.iter().filter(|b| b.is_ascii()).count();
    let legacy = ascii * 10 >= head.len() * 9 && controls == 0;
    ((cut || legacy) && few).then_some(Encoding::Utf8)
}

fn plausible16(rest: &[u8], high: usize) -> bool {
    let units = rest.len() / 2;
    let zero = rest.chunks_exact(2).filter(|c| c[high] == 0).count();
    units > 0 && zero * 2 > units
}

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "Text, JSON, YAML, XML and other documents",
    ids: &[],
    loaders: "every reader of text",
    judged: "readings as Python, pickle, JSON, YAML, XML and template; names decide which counts",
    blind: "prose; UTF-16 over 16 MiB is a gap",
    corpus: &["document"],
};

impl Format for Text {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "text"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if encoding(&probe.head).is_some() { Claim::Weak } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        read(blob, cx)
    }
}

/// Records the readings of a text.
pub(super) fn read(blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    if blob.is_empty() {
        reading("text", cx);
        return Ok(());
    }
    match encoding(&blob.head(4096)?) {
        Some(e @ (Encoding::Utf16Le | Encoding::Utf16Be)) => {
            let bytes = blob.head(LINES_MAX as usize)?;
            let units = bytes.get(2..).unwrap_or_default().chunks_exact(2);
            let units: Vec<u16> = units
                .map(|c| {
                    if e == Encoding::Utf16Le {
                        u16::from_le_bytes([c[0], c[1]])
                    } else {
                        u16::from_be_bytes([c[0], c[1]])
                    }
                })
                .collect();
            let text = String::from_utf16_lossy(&units);
            reading("text", cx);
            reading("not-python", cx);
            if !cx.keras_judged
                && text.trim_start().starts_with('{')
                && keras::may_be(text.as_bytes())
                && keras::config(text.as_bytes(), keras::Expect::Any, cx)
            {
                cx.refine("keras-json");
            }
            lines(&text, false, cx);
            if blob.len() > LINES_MAX {
                return Err(Stop::Unsupported("UTF-16 text of this size".into()));
            }
            Ok(())
        }
        _ => utf8(blob, cx),
    }
}

fn reading(code: &str, cx: &mut Cx<'_>) {
    cx.fact(None, FactKind::Reading { code: code.into() });
}

fn utf8(blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    if let Some(pos) = binary_from(blob)? {
        // Binary behind a text beginning: what it is, is looked for from there.
        cx.structure(pos, "text-with-binary", "text that goes on as binary");
        cx.member(format!("(bytes at {pos:#x})").as_bytes(), &blob.sub(pos..blob.len()));
    }
    reading("text", cx);
    credentials(blob, cx)?;
    if text_imports(blob) {
        reading("pickle", cx);
    }
    if json(blob, cx)? {
        return Ok(());
    }
    if blob.len() <= LINES_MAX {
        let bytes = blob.read_range(0..blob.len())?;
        let text = String::from_utf8_lossy(&bytes);
        let python = source::read(&bytes, looks_like_python(&text), cx);
        lines(&text, python, cx);
        return Ok(());
    }
    reading("not-python", cx);
    // Piece by piece, each up to its last line end.
    let mut at = 0;
    while at < blob.len() {
        let bytes = blob.read_range(at..at + LINES_MAX / 4)?;
        let whole = memchr::memrchr(b'\n', &bytes).map_or(bytes.len(), |n| n + 1);
        lines(&String::from_utf8_lossy(&bytes[..whole]), false, cx);
        at += whole as u64;
    }
    Ok(())
}

/// Credentials left in a text, as far as is looked: what follows behind that is data.
fn credentials(blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    const FAR: u64 = 64 << 20;
    const PIECE: u64 = 4 << 20;
    // The longest credential, and the beginning of a key.
    const OVERLAP: u64 = 1 << 10;
    let mut at = 0;
    while at < blob.len().min(FAR) {
        let bytes = blob.read_range(at..blob.len().min(at + PIECE + OVERLAP))?;
        let own = |s: &secrets::Secret| s.at as u64 <= PIECE;
        secrets::find(&bytes).into_iter().filter(own).for_each(|s| secrets::fact(s, at, "", cx));
        at += PIECE;
    }
    Ok(())
}

/// Where a text stops being one: the first byte that is no UTF-8, if a NUL follows anywhere.
fn binary_from(blob: &Blob) -> Result<Option<u64>, Stop> {
    let mut window = Window::new(blob.clone(), Window::CHUNK);
    let mut at = 0;
    let mut odd = None;
    while at < blob.len() {
        let v = window.view(at, 1)?;
        if odd.is_none()
            && let Err(e) = std::str::from_utf8(v)
            && (e.error_len().is_some() || at + v.len() as u64 == blob.len())
        {
            odd = Some(at + e.valid_up_to() as u64);
        }
        if let Some(n) = memchr::memchr(0, v) {
            let nul = at + n as u64;
            return Ok(Some(odd.map_or(nul, |o| o.min(nul))));
        }
        // A character cut in two by the window begins the next one.
        let cut = std::str::from_utf8(v).err().filter(|e| e.error_len().is_none() && e.valid_up_to() > 0);
        at += cut.map_or(v.len(), |e| e.valid_up_to()) as u64;
    }
    Ok(None)
}

fn lines(text: &str, python: bool, cx: &mut Cx<'_>) {
    configuration(text, python, cx);
    let start = text.trim_start_matches('\u{feff}').trim_start();
    template(text, start, cx);
    if keras::yaml(text) {
        cx.refine("keras-yaml");
        let detail =
            "a model as YAML, which Keras before 2.6 read with a loader that makes any object".to_string();
        cx.fact(None, FactKind::Unsupported { format: "keras-yaml".into(), detail });
    }
    if start.starts_with('<') {
        markup(text, cx);
    }
    if spacy::is_config(text) {
        cx.refine("spacy-config");
        spacy::judge(text, &mut |f| cx.fact(None, f));
    }
    if mojo::is_ini(text) {
        cx.refine("h2o-mojo");
        mojo::judge(text, &mut |f| cx.fact(None, f));
    }
    if java::is_pojo(text) {
        cx.refine("h2o-pojo");
        pojo(text, cx);
    }
    if modelfile::is_modelfile(text) {
        cx.refine("ollama-modelfile");
        modelfile::judge(text, &mut |f| cx.fact(None, f));
    }
}

/// YAML, and what a text that is none says line by line: a reader may be more lenient.
fn configuration(text: &str, python: bool, cx: &mut Cx<'_>) {
    let read = yaml::read(text.trim_start_matches('\u{feff}'));
    for value in read.values.iter().filter(|v| v.is_object() || v.is_array()) {
        directive::in_json(value, "", &mut |f| record(f, "", cx));
        yaml::resolvers(value, &mut |f| record(f, "", cx));
        instructions::mlmodel(value, &mut |f| cx.fact(None, f));
    }
    for (tag, at) in &read.tags {
        yaml::tag(tag, at, &mut |f| record(f, "", cx));
    }
    match read.unread {
        None | Some(yaml::Unread::Plain) => return,
        Some(yaml::Unread::Grown) => {
            let detail = "yaml whose aliases grow beyond what is followed".to_string();
            cx.fact(None, FactKind::Resource { code: "yaml-aliases".into(), detail });
        }
        Some(yaml::Unread::Broken | yaml::Unread::TooMuch) => {}
    }
    reading("yaml-unread", cx);
    if !python {
        directive::in_yaml(text, &mut |f| {
            // Prose and templates quote configurations; nothing loads them.
            let kept = match &f {
                Finding::Directive(code, _) => matches!(*code, "hydra-target-dangerous" | "yaml-python-tag"),
                _ => false,
            };
            if kept {
                record(f, "", cx);
            }
        });
    }
}

/// Cheap signs of Python source at line starts.
fn looks_like_python(text: &str) -> bool {
    text.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().take(4).collect();
        match words.as_slice() {
            ["import", name, ..] => name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | ',')),
            ["from", _, "import", ..] | ["async", "def", ..] => true,
            ["def", rest, ..] => rest.contains('('),
            ["class", rest, ..] => {
                line.trim_end().ends_with(':') && rest.chars().next().is_some_and(char::is_alphabetic)
            }
            [first, ..] => {
                let called = first.split('(').next().unwrap_or("");
                first.contains('(')
                    && matches!(
                        called,
                        "print"
                            | "exec"
                            | "eval"
                            | "__import__"
                            | "open"
                            | "compile"
                            | "getattr"
                            | "os.system"
                    )
            }
            [] => false,
        }
    })
}

/// Templates that stand alone (`chat_template.jinja`). Prose that quotes one is none, unless what it quotes is
/// dangerous.
fn template(text: &str, start: &str, cx: &mut Cx<'_>) {
    if !text.contains("{{") && !text.contains("{%") {
        return;
    }
    let whole = (start.starts_with("{%") || start.starts_with("{{") || start.starts_with("{#"))
        // Templates of web pages and reports are markup and know no messages.
        && (text.contains("messages") || text.contains("bos_token") || !text.contains('<'));
    let verdict = jinja::analyse(text);
    if whole || matches!(verdict, jinja::Template::Dangerous(_)) {
        cx.fact(None, verdict.into_fact());
    }
}

/// XML and HTML: entities are resolved by loaders, scripts by viewers.
fn markup(text: &str, cx: &mut Cx<'_>) {
    let upper = |s: &str| s.to_ascii_uppercase();
    for (at, _) in text.match_indices("<!") {
        let rest: String = text[at..].chars().take(200).collect();
        let up = upper(&rest);
        if up.starts_with("<!ENTITY") {
            let external = up.contains(" SYSTEM ") || up.contains(" PUBLIC ");
            let code = if external { "xml-external-entity" } else { "xml-entity" };
            let detail = escape(rest.lines().next().unwrap_or(&rest));
            return cx.fact(Some(at as u64), FactKind::Directive { code: code.into(), detail });
        }
    }
    let start = text.trim_start_matches('\u{feff}').trim_start();
    let svg = start.starts_with("<svg") || (start.starts_with("<?xml") && text.contains("<svg"));
    if svg && let Some(at) = text.find("<script") {
        let detail = escape(&text[at..].chars().take(120).collect::<String>());
        cx.fact(Some(at as u64), FactKind::Directive { code: "svg-script".into(), detail });
    }
}

/// A model as Java source: what it does beyond arithmetic.
fn pojo(text: &str, cx: &mut Cx<'_>) {
    cx.fact(None, FactKind::Directive { code: "java-model".into(), detail: "extends GenModel".into() });
    for (name, effect, line) in java::effects(text) {
        let shown = text.lines().nth(line - 1).unwrap_or_default().trim();
        let detail = format!("{name} ({effect}), line {line}: {}", directive::bounded(shown));
        cx.fact(None, FactKind::Directive { code: "java-effect".into(), detail });
    }
}

/// Turns a finding into a fact. `place` is put in front of its key path.
pub(super) fn record(f: Finding<'_>, place: &str, cx: &mut Cx<'_>) {
    let at = |detail: String| if place.is_empty() { detail } else { format!("{place}: {detail}") };
    match f {
        Finding::Directive(code, detail) => {
            cx.fact(None, FactKind::Directive { code: code.into(), detail: at(detail) });
        }
        Finding::Own { code, module, name, detail } => cx.fact(
            None,
            FactKind::Names {
                code: code.into(),
                module: escape(&module),
                name: escape(&name),
                detail: at(detail),
            },
        ),
        Finding::Template(text, path) => {
            let verdict = jinja::analyse(text).into_fact();
            cx.enter(at(path).as_bytes(), |cx| cx.fact(None, verdict));
        }
        Finding::UnsafePath(code, detail) => {
            cx.fact(None, FactKind::UnsafePath { code: code.into(), detail: at(detail) });
        }
        Finding::Opens { code, repo, path } => {
            cx.fact(
                None,
                FactKind::Opens { code: code.into(), repo: escape(&repo), path: escape(&path), length: 0 },
            );
        }
    }
}

/// JSON, or JSON documents one after the other (JSON lines). False if it is something else.
fn json(blob: &Blob, cx: &mut Cx<'_>) -> Result<bool, Stop> {
    let head = blob.head(4096)?;
    let start = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head);
    let skipped = (head.len() - start.len()) as u64;
    if !matches!(start.trim_ascii_start().first(), Some(b'{' | b'[')) {
        return Ok(false);
    }
    let body = blob.sub(skipped..blob.len());
    // First the structure alone: nothing is recorded of what turns out to be no JSON.
    let sound = |body: &Blob| {
        let check = serde_json::Deserializer::from_reader(BufReader::new(body.reader()));
        check.into_iter::<serde::de::IgnoredAny>().all(|value| value.is_ok())
    };
    let mut body = body;
    if !sound(&body) {
        if body.len() > LINES_MAX {
            return Ok(false);
        }
        let bytes = body.read_range(0..body.len())?;
        body = Blob::from_vec(lenient_json::strict(String::from_utf8_lossy(&bytes).as_bytes()));
        if !sound(&body) {
            if memchr::memmem::find(&bytes, b"\"chat_template\"").is_some() {
                let why = jinja::Template::Unproved("a chat_template in what is not quite JSON".into());
                cx.fact(None, why.into_fact());
            }
            return Ok(false);
        }
    }
    reading("json", cx);
    keras_config(&body, cx)?;
    let mut from = serde_json::Deserializer::from_reader(BufReader::new(body.reader()));
    loop {
        let mut builder = Builder::new(body.len() > TREE_MAX);
        match builder.deserialize(&mut from) {
            Ok(value) => {
                directive::in_json(&value, "", &mut |f| record(f, "", cx));
                for earlier in builder.shadowed {
                    let earlier = serde_json::Value::Object(earlier);
                    directive::in_json(&earlier, "", &mut |f| record(f, "a key given twice", cx));
                }
                instructions::mlmodel(&value, &mut |f| cx.fact(None, f));
                torchserve::manifest(&value, &mut |f| cx.fact(None, f));
                source::notebook(&value, cx);
            }
            Err(e) if e.is_eof() => break,
            // The structure was checked above: what fails here is too deep or too large for this reader.
            Err(e) => {
                not_read(&e, cx);
                break;
            }
        }
    }
    Ok(true)
}

/// Configurations of Keras are told by what they hold, whatever they are called.
fn keras_config(body: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    if cx.keras_judged {
        return Ok(());
    }
    let mut window = Window::new(body.clone(), Window::CHUNK);
    let mut at = 0;
    while at < body.len() {
        let v = window.view(at, 1)?;
        if keras::may_be(v) {
            // Larger ones are a gap, which a byte more than the limit shows.
            let text = body.head(keras::MAX + 1)?;
            if keras::config(&text, keras::Expect::Any, cx) {
                cx.refine("keras-json");
            }
            return Ok(());
        }
        // A name cut in two by the window begins the next one.
        let step = (v.len() as u64).saturating_sub(32).max(1);
        at += if at + v.len() as u64 == body.len() { v.len() as u64 } else { step };
    }
    Ok(())
}

/// Sound JSON that stays partly unread: nothing is known of what follows.
fn not_read(e: &serde_json::Error, cx: &mut Cx<'_>) {
    if e.to_string().contains("recursion limit") {
        let detail = "JSON nested deeper than readers go".to_string();
        cx.fact(None, FactKind::Resource { code: "json-too-deep".into(), detail });
    } else if e.to_string().contains(tree::TOO_LARGE) {
        cx.stop(Stop::Unsupported(tree::TOO_LARGE.into()));
    } else {
        cx.stop(Stop::malformed(0, "JSON that cannot be read to its end"));
    }
}

#[cfg(test)]
mod tests {
    use super::encoding;

    #[test]
    fn a_protobuf_around_a_long_string_is_no_text() {
        let mut message = vec![0x0a, 0xdb, 0x02, 0x10, 0x01];
        message.extend_from_slice(&[b'a'; 400]);
        assert!(encoding(&message).is_none());
        // The same length as Latin-1 prose.
        let mut prose = b"na\xefve caf\xe9 ".to_vec();
        prose.extend_from_slice(&[b'a'; 400]);
        assert!(encoding(&prose).is_some());
    }
}
