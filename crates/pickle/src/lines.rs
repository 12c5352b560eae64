//! Text opcodes, and the checks for absurd memo indices and expansions.

use crate::literal::int_text_is_odd;
use crate::observer::Observer;
use crate::opcode as op;
use crate::state::{Flow, State, UNDERFLOW};
use crate::val::{Tag, Val};

/// The index of a GET or PUT line as `int(line)` reads it. The Python reader takes indices of any size: those beyond
/// 64 bits share what is left of the number space by their digits.
fn memo_index(line: &[u8]) -> Option<u64> {
    // The C reader hands the line to a function that takes a NUL for the end; the Python reader fails.
    let line = line.split(|&b| b == 0).next().unwrap_or(line);
    let text = std::str::from_utf8(line).ok()?.trim().replace('_', "");
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    if negative {
        return digits.is_empty().then_some(0);
    }
    let huge = |d: &str| {
        let hash =
            d.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        hash | 1 << 63
    };
    Some(if digits.is_empty() { 0 } else { digits.parse().unwrap_or_else(|_| huge(digits)) })
}

impl State {
    /// Executes the text opcode at `at` whose newline is at `newline`, reading its line from the source.
    pub(crate) fn line_opcode(&mut self, at: u64, newline: u64, obs: &mut dyn Observer) -> Flow {
        let code = match self.source.patches.get(&at) {
            Some(&code) => code,
            None => match self.source.blob.read_range(at..at + 1) {
                Ok(b) if !b.is_empty() => b[0],
                _ => return Flow::Error { at, what: "stream ends without STOP" },
            },
        };
        // Numbers longer than this are no memo index: `int` refuses them in every supported Python.
        const MAX: u64 = 8 << 10;
        let line = self.source.blob.read_range(at + 1..newline.min(at + 1 + MAX)).unwrap_or_default();
        self.line(code, at, &line, newline, obs)
    }

    /// A text opcode; `line` holds at least the first 8 KiB of its line.
    pub(crate) fn line(
        &mut self,
        code: u8,
        at: u64,
        line: &[u8],
        newline: u64,
        obs: &mut dyn Observer,
    ) -> Flow {
        let tag = match code {
            op::INT | op::LONG => {
                const MAX_DIGITS: u64 = 100_000;
                if newline.saturating_sub(at) > MAX_DIGITS {
                    let detail = "an integer of more than 100000 digits: reading it takes quadratic time";
                    self.resource(obs, at, "pickle-huge-integer", detail);
                }
                if line.len() < 64 && int_text_is_odd(line, code == op::LONG) {
                    self.structure(
                        obs,
                        at,
                        "pickle-int-base",
                        "an integer text that readers take for different numbers",
                    );
                }
                Tag::Num
            }
            op::FLOAT => Tag::Num,
            op::STRING => match line.get(1..3) {
                // An escape can stand for an underscore.
                Some(b) if b != b"__" && !b.contains(&b'\\') => Tag::Str,
                _ => Tag::Dunder,
            },
            op::UNICODE => match line.get(..2) {
                Some(b) if b != b"__" && !b.contains(&b'\\') => Tag::Str,
                _ => Tag::Dunder,
            },
            op::PERSID => {
                let v = Val::new(Tag::Str, at);
                self.clean_since = newline + 1;
                self.persistent(v, at, obs);
                return Flow::Jump(newline + 1);
            }
            _ => {
                let Some(i) = memo_index(line) else {
                    return Flow::Error { at, what: "memo index is no number" };
                };
                if code == op::PUT {
                    let Some(&v) = self.stack.last() else { return Flow::Error { at, what: UNDERFLOW } };
                    self.check_jump(i, at, obs);
                    self.memo.put(i, v);
                } else {
                    let Some(v) = self.memo.get(i) else {
                        return Flow::Error { at, what: "memo entry does not exist" };
                    };
                    self.stack.push(v);
                    self.clean_since = newline + 1;
                }
                return Flow::Jump(newline + 1);
            }
        };
        if code == op::STRING && !matches!(line.first(), Some(b'\'' | b'"')) {
            return Flow::Error { at, what: "a STRING opcode needs quotes" };
        }
        self.stack.push(Val::new(tag, at));
        Flow::Jump(newline + 1)
    }

    /// An index no writer can reach makes the C unpickler allocate gigabytes.
    pub(crate) fn check_jump(&mut self, index: u64, at: u64, obs: &mut dyn Observer) {
        if index > (1 << 20).max(at) {
            let detail = format!("memo index {index} after {} entries", self.memo.len());
            self.resource(obs, at, "pickle-memo-jump", &detail);
        }
    }

    #[inline(always)]
    pub(crate) fn check_top(&mut self, at: u64, obs: &mut dyn Observer) {
        if let Some(&v) = self.stack.last()
            && v.tag() == Tag::Node
        {
            self.check_size(v, at, obs);
        }
    }

    /// A tree that sharing hides and that grows exponentially.
    pub(crate) fn check_size(&mut self, v: Val, at: u64, obs: &mut dyn Observer) {
        const FLOOR: u64 = 50_000_000;
        let size = self.heap.get_seq(v).map_or(0, |s| s.size);
        if size > FLOOR && size / 1000 > at {
            let detail = format!("shared containers that unfold to {size} items within {at} bytes");
            self.resource(obs, at, "pickle-expansion", &detail);
        }
    }
}
