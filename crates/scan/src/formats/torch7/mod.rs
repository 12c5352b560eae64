//! Torch7's serialised objects (`torch.save` of Lua, `.t7`, `.net`), binary and text.
//!
//! Numbers, texts, tables and objects of named classes. Functions are code: `string.dump` on writing, `loadstring` on
//! reading, which takes source as well as bytecode. They run when somebody calls them: a table with a `forward` of its own is
//! called by whoever uses the model. What a function is cannot be proved from its texts; they can only show that it is worse.
//!
//! Source: `File.lua`, `DiskFile.c`, `generic/Tensor.c` and `generic/Storage.c` of torch/torch7.

mod input;

use super::{Claim, Coverage, Format, Probe, leftover};
use crate::analyses::{directive, marshal};
use crate::cx::{Cx, Stop};
use input::Input;
use std::collections::HashSet;
use wb_blob::{Blob, Budget, Limits};
use wb_verdict::{FactKind, escape};

/// Objects of Torch7.
pub struct Torch7;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "Torch7 objects",
    ids: &[],
    loaders: "`torch.load` of Lua, binary and text",
    judged: "functions by names and texts, tables, tensors and storages by their sizes, what follows the object",
    blind: "classes with a reader of their own end in a gap; what a function does beyond its names",
    corpus: &["torch7"],
};

/// Nesting that is followed.
const DEEPEST: u32 = 250;
/// Bytes of a function that are looked at.
const MAX_FUNCTION: u64 = 8 << 20;

/// What a walk over a file has met.
#[derive(Default)]
struct Seen {
    /// Values of the outermost object and inside.
    values: u64,
    /// A function, an object of a class, or a text: no list of numbers.
    telling: bool,
    /// A function.
    function: bool,
    /// An object of a class.
    object: bool,
}

/// Reads objects; tells of functions if it is given somebody to tell.
struct Walk<'w, 'c> {
    input: Input,
    budget: Budget,
    cx: Option<&'w mut Cx<'c>>,
    /// Objects that were read, by their index.
    known: HashSet<i64>,
    seen: Seen,
    /// Values that may be read; claims look at the beginning only.
    left: u64,
    told: u32,
}

/// Why a walk ends early without the file being wrong.
const LOOKED_ENOUGH: &str = "looked enough";

impl Walk<'_, '_> {
    fn object(&mut self, depth: u32) -> Result<(), Stop> {
        self.budget.steps(2)?;
        if depth > DEEPEST {
            return Err(Stop::Unsupported("a Torch7 object nested deeper than is followed".into()));
        }
        let at = self.input.at;
        let kind = self.input.int()?;
        self.seen.values += 1;
        self.left = self.left.checked_sub(1).ok_or_else(|| Stop::Unsupported(LOOKED_ENOUGH.into()))?;
        match kind {
            0 => {}
            1 => self.input.double()?,
            2 => {
                let n = self.length()?;
                self.input.bytes(n, 0)?;
                self.seen.telling |= n > 0;
            }
            5 => {
                self.input.int()?;
            }
            6 => self.function(at, depth)?,
            3 | 4 | 7 | 8 => {
                let index = self.input.int()?;
                if kind == 7 || kind == 8 {
                    // What is behind a known index is not read again.
                    if self.known.insert(index) {
                        self.function(at, depth)?;
                    }
                } else if self.known.insert(index) {
                    self.budget.memory(self.known.len() as u64 * 24)?;
                    if kind == 3 { self.table(depth)? } else { self.class(depth)? }
                }
            }
            other => return Err(Stop::malformed(at, format!("Torch7 has no type {other}"))),
        }
        Ok(())
    }

    /// A length, which is never more than what is left.
    fn length(&mut self) -> Result<u64, Stop> {
        let at = self.input.at;
        let n = self.input.int()?;
        match u64::try_from(n) {
            Ok(n) if n <= self.input.left() => Ok(n),
            _ => Err(Stop::malformed(at, format!("a length of {n}, {} bytes are left", self.input.left()))),
        }
    }

    fn table(&mut self, depth: u32) -> Result<(), Stop> {
        let at = self.input.at;
        let n = self.input.int()?;
        if n < 0 || n as u64 > self.input.left() {
            return Err(Stop::malformed(
                at,
                format!("a table of {n} items, {} bytes are left", self.input.left()),
            ));
        }
        for _ in 0..n {
            self.object(depth + 1)?;
            self.object(depth + 1)?;
        }
        Ok(())
    }

    fn class(&mut self, depth: u32) -> Result<(), Stop> {
        let at = self.input.at;
        let mut name = self.name()?;
        if name.starts_with("V ") {
            name = self.name()?;
        }
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Stop::malformed(at, "no name of a class"));
        }
        self.seen.telling = true;
        self.seen.object = true;
        let kind = name.strip_prefix("torch.").and_then(|rest| rest.strip_prefix("Cuda").or(Some(rest)));
        match kind {
            Some(kind) if kind.ends_with("Tensor") => self.tensor(depth),
            Some(kind) if kind.ends_with("Storage") => self.storage(kind.trim_end_matches("Storage")),
            // State of random numbers: raw in the file, in a form of each version's own.
            Some("Generator" | "Timer") => Err(Stop::Unsupported(format!("objects of {name}"))),
            // Objects made of a table. Classes that read something of their own end in a gap.
            _ => self.object(depth + 1),
        }
    }

    fn name(&mut self) -> Result<String, Stop> {
        const LONGEST: u64 = 256;
        let at = self.input.at;
        let n = self.length()?;
        if n > LONGEST {
            return Err(Stop::malformed(at, "a name longer than classes have"));
        }
        Ok(String::from_utf8_lossy(&self.input.bytes(n, LONGEST as usize)?).into_owned())
    }

    fn tensor(&mut self, depth: u32) -> Result<(), Stop> {
        let at = self.input.at;
        let dimensions = self.input.int()?;
        if !(0..=64).contains(&dimensions) {
            return Err(Stop::malformed(at, format!("a tensor of {dimensions} dimensions")));
        }
        for _ in 0..2 * dimensions + 1 {
            self.input.long()?;
        }
        self.object(depth + 1)
    }

    fn storage(&mut self, kind: &str) -> Result<(), Stop> {
        let at = self.input.at;
        let n = self.input.long()?;
        let size = match kind {
            "" | "Float" | "Int" => 4,
            "Double" | "Long" => 8,
            "Short" | "Half" => 2,
            "Char" | "Byte" => 1,
            other => return Err(Stop::Unsupported(format!("storages of {other}"))),
        };
        let count = u64::try_from(n).map_err(|_| Stop::malformed(at, "a storage of a negative size"))?;
        self.input.numbers(count, size)
    }

    fn function(&mut self, at: u64, depth: u32) -> Result<(), Stop> {
        // Told before what is in it is read: a reader compiles it before it finds the rest wrong.
        let n = match self.length() {
            Ok(n) => n,
            Err(stop) => {
                self.seen.function |= !self.input.text;
                self.tell(at, &[]);
                return Err(stop);
            }
        };
        let code = self.input.bytes(n, MAX_FUNCTION as usize)?;
        // Numbers in rows read as functions of digits.
        let letters = code.windows(3).any(|w| w.iter().all(u8::is_ascii_alphabetic));
        if !self.input.text || letters || code.starts_with(b"\x1b") {
            self.seen.telling = true;
            self.seen.function = true;
        }
        self.tell(at, &code);
        self.object(depth + 1)
    }

    fn tell(&mut self, at: u64, code: &[u8]) {
        const MAX_TOLD: u32 = 50;
        let Some(cx) = &mut self.cx else { return };
        let kind = match code {
            [0x1b, b'L', b'J', ..] => "LuaJIT bytecode",
            [0x1b, b'L', b'u', b'a', ..] => "Lua bytecode",
            [] => "of no length that fits",
            _ => "source",
        };
        let harm = dangerous(code);
        self.told += 1;
        if harm.is_none() && self.told > MAX_TOLD {
            return;
        }
        let words = marshal::words(code);
        let shown: Vec<String> = words.iter().filter(|w| w.len() > 2).take(8).map(|w| escape(w)).collect();
        let (code, what) = match harm {
            Some(what) => ("t7-function-dangerous", format!("{what}; ")),
            None => ("t7-function", String::new()),
        };
        let detail = format!(
            "{what}{kind} that names {}",
            if shown.is_empty() { "nothing".into() } else { shown.join(", ") }
        );
        cx.fact(Some(at), FactKind::Directive { code: code.into(), detail });
    }
}

/// Functions of Lua's libraries that start programs, load code or open files and connections; bytecode keeps the name of
/// the library and of the function as two texts.
fn dangerous(code: &[u8]) -> Option<String> {
    const PAIRS: &[(&str, &[&str])] = &[
        ("os", &["execute", "setenv"]),
        ("io", &["popen", "open"]),
        ("ffi", &["cdef", "load"]),
        ("package", &["loadlib", "loaders", "preload", "cpath"]),
        ("sys", &["execute", "fexecute"]),
        ("paths", &["dofile", "rmall"]),
    ];
    const ALONE: &[&str] = &["loadstring", "dofile", "loadfile", "popen", "loadlib", "setfenv", "getfenv"];
    let words = marshal::words(code);
    let parts: HashSet<&str> = words.iter().flat_map(|w| w.split('.')).collect();
    let has = |name: &str| parts.contains(name);
    if let Some((library, name)) = PAIRS
        .iter()
        .find_map(|(library, names)| names.iter().find(|n| has(library) && has(n)).map(|n| (library, n)))
    {
        return Some(format!("{library}.{name}"));
    }
    if let Some(name) = ALONE.iter().find(|n| has(n)) {
        return Some((*name).to_string());
    }
    let text = String::from_utf8_lossy(code);
    directive::commands(&text).map(|(_, what)| escape(&what))
}

fn walk<'w, 'c>(
    blob: &Blob,
    text: bool,
    budget: Budget,
    left: u64,
    cx: Option<&'w mut Cx<'c>>,
) -> Walk<'w, 'c> {
    Walk {
        input: Input::new(blob, text),
        budget,
        cx,
        known: HashSet::new(),
        seen: Seen::default(),
        left,
        told: 0,
    }
}

/// A number of a type that can hold code, and another number: as `fscanf` reads them, behind blanks, signs and zeros.
fn begins_as_text(head: &[u8]) -> bool {
    let head = head.trim_ascii_start();
    let head = head.strip_prefix(b"+").unwrap_or(head);
    let zeros = head.iter().take_while(|b| **b == b'0').count();
    let Some([b'3' | b'4' | b'6'..=b'8', rest @ ..]) = head.get(zeros..) else { return false };
    rest.first().is_some_and(u8::is_ascii_whitespace)
        && rest.trim_ascii_start().first().is_some_and(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+'))
}

/// Is this an object of Torch7, and is it text?
fn kind(probe: &Probe) -> Option<bool> {
    const LOOKED_AT: u64 = 2000;
    let text = match probe.head.get(..4)? {
        [3 | 4 | 6..=8, 0, 0, 0] => false,
        _ if begins_as_text(&probe.head) => true,
        _ => return None,
    };
    let mut w = walk(&probe.blob, text, Budget::new(Limits::default()), LOOKED_AT, None);
    let mut enough = false;
    let whole = match w.object(0) {
        Ok(()) => w.input.left() == 0 || w.input.at >= 16,
        Err(Stop::Unsupported(_)) => {
            // So many values in a row are no chance.
            enough = w.seen.values > LOOKED_AT / 10;
            true
        }
        // What is broken behind a function or an object was one up to there.
        Err(_) => w.seen.object || w.seen.function,
    };
    (whole && (w.seen.telling || enough)).then_some(text)
}

impl Format for Torch7 {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "torch7"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        match kind(probe) {
            Some(false) => Claim::Strong,
            Some(true) => Claim::Weak,
            None => Claim::No,
        }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let Some(text) = kind(&Probe::new(blob)?) else { return Ok(()) };
        let budget = cx.budget.clone();
        let mut w = walk(blob, text, budget, u64::MAX, Some(cx));
        let (done, mut at) = (w.object(0), w.input.at);
        match done {
            Ok(()) => {
                let rest = blob.sub(at..blob.len());
                if text && rest.len() < 16 && rest.head(16)?.iter().all(u8::is_ascii_whitespace) {
                    at = blob.len();
                }
                if at < blob.len() {
                    return leftover::record(
                        blob,
                        at,
                        "torch7-trailing-bytes",
                        "torch.load reads one object",
                        cx,
                    );
                }
                Ok(())
            }
            Err(stop) => {
                if let Stop::Malformed { at, what } = &stop {
                    cx.structure(*at, "torch7-malformed", what.clone());
                }
                Err(stop)
            }
        }
    }
}
