//! Programs: `ProgramDesc` as protobuf, and PIR as JSON.

use super::super::protobuf::{Field, LEN, Span, VARINT, Wire};
use super::super::{Claim, Coverage, Format, Probe};
use super::operators;
use crate::analyses::keras::json::{self, Fail, Json};
use crate::analyses::keras::{MAX, decode, spells_letters};
use crate::cx::{Cx, Stop};
use wb_blob::Blob;
use wb_verdict::GapReason;

/// Programs as protobuf.
pub struct Program;
/// Programs as JSON.
pub struct Pir;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "Paddle programs",
    ids: &[],
    loaders: "Paddle Inference, `paddle.jit.load`, `paddle.static.load_inference_model`",
    judged: "every operator of every block and region against the registry of 3.3.1; files, addresses, Python, engines",
    blind: "what an engine holds; PIR over 16 MiB; operators of later releases are suspicious",
    corpus: &["paddle"],
};

/// Longest name of an operator or file that is read.
const NAME: usize = 1024;

impl Format for Program {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "paddle"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if is_program(&probe.blob, &probe.head).unwrap_or(false) { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut wire = Wire::new(blob);
        program(&mut wire, cx).inspect_err(|stop| {
            if let Stop::Malformed { at, what } = stop {
                cx.structure(*at, "paddle-malformed", what.clone());
            }
        })
    }
}

/// The first block has a number, a parent and a variable or an operator.
fn is_program(blob: &Blob, head: &[u8]) -> Result<bool, Stop> {
    const LOOKED_AT: u32 = 2000;
    if !matches!(head.first(), Some(0x0a | 0x22 | 0x2a)) {
        return Ok(false);
    }
    let mut wire = Wire::new(blob);
    let mut span = Span { at: 0, end: blob.len() };
    for _ in 0..LOOKED_AT {
        let Some(f) = wire.field(&mut span)? else { break };
        match (f.number, f.wire) {
            (1, LEN) if is_block(&mut wire, &f)? => return Ok(true),
            (1 | 4 | 5, LEN) => {}
            _ => return Ok(false),
        }
    }
    Ok(false)
}

fn is_block(wire: &mut Wire, block: &Field) -> Result<bool, Stop> {
    const LOOKED_AT: u32 = 2000;
    let mut span = block.span();
    let (mut index, mut parent, mut named, mut more) = (false, false, false, true);
    for _ in 0..LOOKED_AT {
        let Some(f) = wire.field(&mut span)? else {
            more = false;
            break;
        };
        match (f.number, f.wire) {
            (1, VARINT) => index = true,
            (2, VARINT) => parent = true,
            (5, VARINT) => {}
            (3, LEN) => named |= has_name(wire, &f, 1)?,
            (4, LEN) => named |= has_name(wire, &f, 3)?,
            _ => return Ok(false),
        }
    }
    // Fields may stand in any order.
    Ok(named && (index && parent || more))
}

fn has_name(wire: &mut Wire, outer: &Field, number: u32) -> Result<bool, Stop> {
    let mut span = outer.span();
    while let Some(f) = wire.field(&mut span)? {
        if (f.number, f.wire) == (number, LEN) {
            let name = wire.bytes(&f, 64)?;
            return Ok(!name.is_empty() && name.iter().all(u8::is_ascii_graphic));
        }
    }
    Ok(false)
}

fn program(wire: &mut Wire, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let mut span = wire.all();
    while let Some(f) = wire.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (1, LEN) => block(wire, &f, cx)?,
            // Versions of the program and of its operators.
            (4 | 5, LEN) => {}
            _ => wire.unknown(&f, "ProgramDesc", cx)?,
        }
    }
    Ok(())
}

fn block(wire: &mut Wire, block: &Field, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let mut span = block.span();
    while let Some(f) = wire.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (1 | 2 | 5, VARINT) => {}
            (3, LEN) => {}
            (4, LEN) => operator(wire, &f, cx)?,
            _ => wire.unknown(&f, "BlockDesc", cx)?,
        }
    }
    Ok(())
}

fn operator(wire: &mut Wire, op: &Field, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let mut span = op.span();
    let (mut names, mut given) = (Vec::new(), String::new());
    while let Some(f) = wire.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (1 | 2, LEN) | (5, VARINT) => {}
            // Parsers keep the last of two; each is judged.
            (3, LEN) => names.push(wire.text(&f, NAME)?),
            (4, LEN) => attribute(wire, &f, &mut given, cx)?,
            _ => wire.unknown(&f, "OpDesc", cx)?,
        }
    }
    if names.is_empty() {
        return Err(Stop::malformed(op.at, "an operator without a type"));
    }
    for name in names {
        operators::judge(&name, Some(op.at), &given, cx);
    }
    Ok(())
}

/// Texts that an operator is given: names of files, addresses, engines.
fn attribute(wire: &mut Wire, attribute: &Field, given: &mut String, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let mut span = attribute.span();
    let (mut name, mut texts) = (String::new(), Vec::new());
    while let Some(f) = wire.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (1, LEN) => name = wire.text(&f, 100)?,
            (5 | 8, LEN) => {
                // Engines and whole models are kept as texts.
                wire.opaque(&f, "a text of an operator", cx)?;
                texts.push(wire.text(&f, 100)?);
            }
            _ => {}
        }
    }
    // What every operator keeps of the place where it was written.
    let noise = matches!(
        name.as_str(),
        "op_callstack" | "op_device" | "op_namescope" | "op_role_var" | "struct_name"
    );
    if !noise && !texts.is_empty() && given.len() < NAME {
        given.push_str(&format!("{name} = {} ", texts.join(", ")));
    }
    Ok(())
}

impl Format for Pir {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "paddle-pir"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        // It is JSON besides.
        if is_pir(&probe.blob, &probe.head) { Claim::Weak } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let text = decode(&blob.head(MAX + 1)?);
        if blob.len() > MAX as u64 {
            let detail = "a program too large to be held at once";
            cx.gap(GapReason::Limit("memory-limit".into()), Some(0), Some(blob.len()), detail);
            return Ok(());
        }
        let (documents, fail) = json::documents(&text);
        match fail {
            Some(Fail::Syntax(at)) => {
                cx.gap(GapReason::Malformed, Some(at as u64), None, "the program is no JSON from here on");
            }
            Some(_) => {
                cx.gap(GapReason::Limit("memory-limit".into()), Some(0), None, "a program of too many values")
            }
            None => {}
        }
        for document in documents.iter().filter(|d| d.has("program") || d.has("base_code")) {
            pir(document, cx)?;
        }
        Ok(())
    }
}

/// Keys can stand in any order, and be spelled with escapes.
fn is_pir(blob: &Blob, head: &[u8]) -> bool {
    const LOOKED_AT: usize = 64 << 20;
    if head.trim_ascii_start().first() != Some(&b'{') && !head.starts_with(b"\xef\xbb\xbf{") {
        return false;
    }
    let Ok(text) = blob.head(LOOKED_AT) else { return false };
    let has = |needle: &[u8]| memchr::memmem::find(&text, needle).is_some();
    if spells_letters(&text) && text.len() <= MAX {
        let (documents, _) = json::documents(&text);
        return documents.iter().any(|d| d.has("program") && d.has("base_code"));
    }
    has(b"\"base_code\"") && has(b"\"program\"") && has(b"\"regions\"")
}

/// Every operation of every block, however deep.
fn pir(document: &Json, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let mut todo = vec![document];
    let mut duplicate = false;
    while let Some(value) = todo.pop() {
        cx.budget.steps(1)?;
        match value {
            Json::List(items) => todo.extend(items),
            Json::Map(pairs) => {
                for (n, (key, inner)) in pairs.iter().enumerate() {
                    duplicate |= pairs.get(..n).is_some_and(|p| n < 32 && p.iter().any(|(k, _)| k == key));
                    if key == "ops" {
                        operations(inner, cx)?;
                    }
                    todo.push(inner);
                }
            }
            _ => {}
        }
    }
    if duplicate {
        cx.structure(0, "json-duplicate-key", "a key of the program stands twice");
    }
    Ok(())
}

fn operations(ops: &Json, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let Json::List(ops) = ops else { return Err(Stop::malformed(0, "operations that are no list")) };
    for op in ops {
        let mut names = op.all("#").filter_map(Json::text).peekable();
        if names.peek().is_none() {
            cx.gap(GapReason::Malformed, None, None, "an operation without a name");
        }
        for name in names {
            // `1.matmul`: the number stands for a dialect; `p` is a parameter.
            let (dialect, short) = name.split_once('.').unwrap_or(("0", name));
            let custom = !matches!(dialect, "0" | "1" | "2" | "builtin" | "pd_op" | "cf");
            let short = if custom { name } else { short };
            operators::judge(short, None, &texts(op), cx);
        }
    }
    Ok(())
}

/// Texts among the attributes of an operation.
fn texts(op: &Json) -> String {
    let mut out = String::new();
    for attributes in op.all("A") {
        let Json::List(items) = attributes else { continue };
        for item in items {
            let name = item.all("N").find_map(Json::text).unwrap_or_default();
            let text = item.all("AT").flat_map(|a| a.all("D")).find_map(Json::text);
            if let Some(text) = text.filter(|_| out.len() < NAME && name != "struct_name") {
                out.push_str(&format!("{name} = {} ", text.chars().take(100).collect::<String>()));
            }
        }
    }
    out
}
