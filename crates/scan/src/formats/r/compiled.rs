//! Bytecode (`ReadBC` of `serialize.c`), and vectors that a class makes of a state (ALTREP, `altrep.c`).

use super::code::Node;
use super::item::{DEEPEST, MAX_ARGS, Reader};
use crate::cx::Stop;

impl Reader<'_, '_> {
    /// `ReadBC`: the instructions, and the constants that they name everything by.
    pub(super) fn bytecode(&mut self, depth: u32) -> Result<Node, Stop> {
        self.input.int()?;
        self.bytecode_part(depth)?;
        Ok(Node::Other("<bytecode>"))
    }

    fn bytecode_part(&mut self, depth: u32) -> Result<(), Stop> {
        if depth > DEEPEST {
            return Err(Stop::Unsupported("an R object nested deeper than is followed".into()));
        }
        self.item(depth + 1)?;
        let n = self.input.length()?;
        if n > self.input.left() {
            return Err(Stop::malformed(self.input.at, "more constants than the file holds"));
        }
        for _ in 0..n {
            match self.input.int()? {
                21 => self.bytecode_part(depth + 1)?,
                kind @ (2 | 6 | 239 | 240 | 243 | 244) => {
                    self.bytecode_lang(kind, depth + 1)?;
                }
                _ => {
                    self.item(depth + 1)?;
                }
            }
        }
        Ok(())
    }

    fn bytecode_lang(&mut self, kind: i32, depth: u32) -> Result<Node, Stop> {
        self.cx.budget.steps(2)?;
        if depth > DEEPEST {
            return Err(Stop::Unsupported("an R object nested deeper than is followed".into()));
        }
        let mut kind = kind;
        let mut args = Vec::new();
        let mut head = None;
        // The rest of a list follows its first item: iteratively.
        loop {
            match kind {
                243 => {
                    self.input.int()?;
                    break;
                }
                2 | 6 | 239 | 240 | 244 => {
                    if kind == 244 {
                        self.input.int()?;
                        kind = self.input.int()?;
                    }
                    if matches!(kind, 239 | 240) {
                        self.aside(|r| r.item(depth + 1))?;
                    }
                    if !matches!(kind, 2 | 6 | 239 | 240) {
                        self.item(depth + 1)?;
                        break;
                    }
                    let call = matches!(kind, 6 | 240);
                    let tag = self.item(depth + 1)?;
                    let inner = self.input.int()?;
                    let car = self.bytecode_lang(inner, depth + 1)?;
                    if call && head.is_none() {
                        head = Some(car);
                    } else if args.len() < MAX_ARGS {
                        args.push((if let Node::Symbol(s) = tag { Some(s) } else { None }, car));
                    }
                    kind = self.input.int()?;
                }
                // Anything else is an item; as the rest of a list it is its end.
                _ => {
                    let node = self.item(depth + 1)?;
                    if head.is_none() && args.is_empty() {
                        return Ok(node);
                    }
                    break;
                }
            }
        }
        match head {
            Some(head) => Ok(self.called(head, args)),
            None => Ok(Node::Other("<pairs>")),
        }
    }

    /// ALTREP: a class of a package makes the vector of a state.
    pub(super) fn alternative(&mut self, at: u64, depth: u32) -> Result<Node, Stop> {
        const PLAIN: [&str; 10] = [
            "compact_intseq",
            "compact_realseq",
            "deferred_string",
            "wrap_integer",
            "wrap_real",
            "wrap_logical",
            "wrap_complex",
            "wrap_raw",
            "wrap_string",
            "wrap_list",
        ];
        let info = self.flags()?;
        let parts = match info.kind {
            2 => self.pair_list(info, depth)?,
            _ => {
                self.after_flags(info, depth + 1)?;
                Vec::new()
            }
        };
        let name = |n: usize| match parts.get(n) {
            Some((_, Node::Symbol(name))) => name.clone(),
            _ => "".into(),
        };
        let (class, package) = (name(0), name(1));
        if !(PLAIN.contains(&&*class) && &*package == "base") {
            let detail = format!("a vector of the class {package}::{class} makes itself");
            self.tell(at, "r-altrep", detail);
        }
        self.item(depth + 1)?;
        self.aside(|r| r.item(depth + 1))?;
        Ok(Node::Other("<vector>"))
    }
}
