//! What loading would do, in order: imports and calls as pseudo-Python, with offsets.

use crate::heap::Callee;
use crate::observer::{Nested, Observer, PendingCall};
use hashbrown::HashSet;
use wb_verdict::escape;

/// One line of an explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Offset of the opcode.
    pub offset: u64,
    /// Readable, escaped, bounded text.
    pub text: String,
}

/// Collects lines; pass it to [`crate::Machine::run`]. Equal lines in a row are counted.
pub struct Explainer {
    lines: Vec<Line>,
    imported: HashSet<String>,
    repeated: u64,
    last: String,
    max: usize,
    /// True once lines were left out.
    pub truncated: bool,
}

impl Explainer {
    /// Keeps at most `max` lines.
    pub fn new(max: usize) -> Self {
        Self {
            lines: Vec::new(),
            imported: HashSet::new(),
            repeated: 0,
            last: String::new(),
            max,
            truncated: false,
        }
    }

    fn line(&mut self, offset: u64, text: String) {
        if text == self.last {
            self.repeated += 1;
            return;
        }
        self.flush();
        if self.lines.len() >= self.max {
            self.truncated = true;
            return;
        }
        self.last.clone_from(&text);
        self.lines.push(Line { offset, text });
    }

    fn flush(&mut self) {
        if self.repeated > 0
            && let Some(line) = self.lines.last_mut()
        {
            line.text.push_str(&format!("  # {} times", self.repeated + 1));
        }
        self.repeated = 0;
    }

    /// Notes an import.
    pub fn import(&mut self, offset: u64, callee: &Callee) {
        if self.imported.len() < self.max && self.imported.insert(callee.rendering.clone()) {
            let text = match (callee.module.as_str(), callee.name.as_str()) {
                ("", _) => format!("# reaches {}", escape(&callee.rendering)),
                (module, "") => format!("import {}", escape(module)),
                (module, name) => format!("from {} import {}", escape(module), escape(name)),
            };
            self.line(offset, text);
        }
    }

    /// Notes a call, rendered by [`crate::Decoded::rendering`].
    pub fn call(&mut self, offset: u64, rendering: String) {
        self.line(offset, rendering);
    }

    /// Notes anything else.
    pub fn note(&mut self, offset: u64, text: &str) {
        self.line(offset, format!("# {}", escape(text)));
    }

    /// True if further lines will be left out.
    pub fn is_full(&self) -> bool {
        self.lines.len() >= self.max
    }

    /// The lines, in the order in which a loader would act.
    pub fn finish(mut self) -> Vec<Line> {
        self.flush();
        self.lines
    }
}

impl Observer for Explainer {
    fn import(&mut self, offset: u64, _: u32, callee: &Callee) {
        Explainer::import(self, offset, callee);
    }

    fn call(&mut self, call: &PendingCall<'_>) {
        if self.is_full() {
            self.truncated = true;
            return;
        }
        Explainer::call(self, call.offset, call.decode().rendering());
    }

    fn structure(&mut self, offset: u64, code: &'static str, detail: &str) {
        self.note(offset, &format!("{code}: {detail}"));
    }

    fn resource(&mut self, offset: u64, code: &'static str, detail: &str) {
        self.note(offset, &format!("{code}: {detail}"));
    }

    fn nested(&mut self, offset: u64, by: &str, bytes: Nested) {
        let len = match &bytes {
            Nested::Range(r) => r.end.saturating_sub(r.start),
            Nested::Bytes(b) => b.len() as u64,
        };
        self.note(offset, &format!("{by} gets {len} bytes that are read as a pickle of their own"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Machine;
    use wb_blob::{Blob, Budget, Limits};

    #[test]
    fn lines_in_order_and_bounded() {
        let bytes =
            b"\x80\x04cposix\nsystem\n\x94X\x02\0\0\0id\x94\x85R0h\x00h\x01\x85R0cm\nC\n)\x81.".to_vec();
        let run = |max| {
            let mut e = Explainer::new(max);
            Machine::new(&Blob::from_vec(bytes.clone()), 0, &Budget::new(Limits::default())).run(&mut e);
            let cut = e.truncated;
            (e.finish().into_iter().map(|l| format!("{:#x} {}", l.offset, l.text)).collect::<Vec<_>>(), cut)
        };
        let (lines, cut) = run(100);
        assert_eq!(
            lines,
            [
                "0x2 from posix import system",
                "0x1a posix.system('id')  # 2 times",
                "0x23 from m import C",
                "0x29 m.C.__new__(m.C)"
            ]
        );
        assert!(!cut);
        assert!(run(2).1);
    }
}
