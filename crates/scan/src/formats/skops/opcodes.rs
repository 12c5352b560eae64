//! Writes opcodes of a pickle, and remembers which part of the schema each belongs to.

use crate::analyses::keras::json::Json;

/// A step from a node to one inside it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'j> {
    /// Under a key.
    Key(&'j str),
    /// An item of a list.
    Item(usize),
}

/// Which part of the schema an opcode belongs to.
#[derive(Default)]
pub(super) struct Places<'j> {
    /// Where another part begins: offset and index into `steps`.
    marks: Vec<(u64, usize)>,
    /// Index of the part around it, and the step from there.
    steps: Vec<(usize, Step<'j>)>,
}

impl Places<'_> {
    /// The place of the opcode at `offset`, as a JSON pointer (RFC 6901).
    pub(super) fn of(&self, offset: u64) -> String {
        let at = self.marks.partition_point(|(o, _)| *o <= offset);
        let mut part = at.checked_sub(1).and_then(|i| self.marks.get(i)).map_or(0, |(_, part)| *part);
        let mut keys = Vec::new();
        // Index 0 is the whole.
        while let Some((outer, step)) = part.checked_sub(1).and_then(|i| self.steps.get(i)) {
            keys.push(match step {
                Step::Key(key) => key.chars().take(60).collect::<String>().replace('~', "~0"),
                Step::Item(n) => n.to_string(),
            });
            part = *outer;
        }
        keys.iter().rev().map(|key| format!("/{key}")).collect()
    }
}

/// The stream under way.
pub(super) struct Opcodes<'j> {
    pub out: Vec<u8>,
    pub places: Places<'j>,
    part: usize,
}

impl<'j> Opcodes<'j> {
    pub(super) fn new() -> Self {
        Self { out: b"\x80\x04".to_vec(), places: Places::default(), part: 0 }
    }

    /// Writes what `f` writes as a part of the present part.
    pub(super) fn enter(&mut self, step: Step<'j>) -> usize {
        let outer = self.part;
        self.places.steps.push((outer, step));
        self.go(self.places.steps.len());
        outer
    }

    /// Back to the part around.
    pub(super) fn go(&mut self, part: usize) {
        self.part = part;
        self.places.marks.push((self.out.len() as u64, part));
    }

    pub(super) fn op(&mut self, code: u8) {
        self.out.push(code);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.out.push(b'X');
        self.out.extend((text.len() as u32).to_le_bytes());
        self.out.extend(text.as_bytes());
    }

    pub(super) fn int(&mut self, n: i64) {
        match i32::try_from(n) {
            Ok(n) => {
                self.out.push(b'J');
                self.out.extend(n.to_le_bytes());
            }
            Err(_) => {
                self.out.extend([0x8a, 8]);
                self.out.extend(n.to_le_bytes());
            }
        }
    }

    /// STACK_GLOBAL.
    pub(super) fn import(&mut self, module: &str, name: &str) {
        self.text(module);
        self.text(name);
        self.op(0x93);
    }

    /// LONG_BINPUT, LONG_BINGET.
    pub(super) fn memo(&mut self, code: u8, slot: u32) {
        self.op(code);
        self.out.extend(slot.to_le_bytes());
    }

    /// `names(module.name)` of no arguments.
    pub(super) fn make(&mut self, module: &str, name: &str) {
        self.import(module, name);
        self.op(b')');
        self.op(b'R');
    }

    /// An array of numbers: its bytes lie in a member of their own, which is judged there.
    pub(super) fn array(&mut self) {
        self.import("numpy.core.multiarray", "_reconstruct");
        self.import("numpy", "ndarray");
        self.int(0);
        self.op(0x85);
        self.out.extend(b"C\x01b\x87R");
    }

    /// What `json.loads` makes.
    pub(super) fn literal(&mut self, value: &Json) {
        match value {
            Json::Null => self.op(b'N'),
            Json::Plain => self.op(0x88),
            Json::Number(n) if n.fract() == 0.0 && n.abs() < 9e18 => self.int(*n as i64),
            Json::Number(n) => {
                self.op(b'G');
                self.out.extend(n.to_be_bytes());
            }
            Json::Text(t) => self.text(t),
            Json::List(items) => {
                self.op(b'(');
                items.iter().for_each(|i| self.literal(i));
                self.op(b'l');
            }
            Json::Map(pairs) => {
                self.op(b'(');
                for (key, value) in pairs {
                    self.text(key);
                    self.literal(value);
                }
                self.op(b'd');
            }
        }
    }
}
