//! What the arguments of a call hold, and what they make it allocate.

use crate::observer::{Args, Observer, PendingCall};
use crate::state::State;
use crate::val::{Tag, Val};
use crate::value::{Held, Value};
use hashbrown::HashSet;

/// `numpy.dtype` objects without state that are remembered; one in a stream of more counts as used early.
const MAX_FRESH: usize = 10_000;

impl PendingCall<'_> {
    /// See [`crate::Call::holds`].
    pub(crate) fn holds(&self) -> Vec<Held> {
        let mut roots: Vec<Val> = match self.args {
            Args::Packed(v) => vec![v],
            Args::Items(items) => items.to_vec(),
        };
        roots.extend(self.kwargs);
        self.state.held_in(roots)
    }
}

/// True for what hands its arguments on: they count as held themselves.
fn passes_on(module: &str, name: &str) -> bool {
    matches!(module, "builtins" | "collections") || name == "scalar"
}

impl State {
    /// One object, import or unknown value.
    pub(crate) fn held_one(&self, v: Val) -> Held {
        let (id, made) = match (v.tag(), self.heap.get_object(v)) {
            (Tag::Object, Some(o)) => (o.callee, true),
            (Tag::Global, _) => (v.payload() as u32, false),
            _ => return Held::Unknown,
        };
        let c = self.heap.callee(id);
        let (module, name) = (c.module.clone(), c.name.clone());
        match made {
            _ if module.is_empty() => Held::Unknown,
            true => Held::Object { module, name },
            false => Held::Import { module, name },
        }
    }

    fn held_in(&self, roots: Vec<Val>) -> Vec<Held> {
        /// Values looked at; what holds more is not known.
        const MAX: usize = 1_000_000;
        let mut out = Vec::new();
        let mut seen: HashSet<Val> = HashSet::new();
        let mut callees: HashSet<(u32, bool)> = HashSet::new();
        let mut todo = roots;
        let mut looked = 0;
        while let Some(v) = todo.pop() {
            match v.tag() {
                Tag::Node => {
                    let Some(s) = self.heap.get_seq(v) else { continue };
                    if s.plain || !seen.insert(v) {
                        continue;
                    }
                    looked += s.items.len();
                    if s.dropped || looked > MAX {
                        out.push(Held::Unknown);
                        break;
                    }
                    todo.extend(s.items.iter().copied().filter(|v| !v.is_literal()));
                }
                Tag::Object => {
                    let Some(o) = self.heap.get_object(v) else { continue };
                    let c = self.heap.callee(o.callee);
                    if passes_on(&c.module, &c.name) && seen.insert(v) {
                        todo.push(o.args);
                    }
                    if callees.insert((o.callee, true)) {
                        out.push(self.held_one(v));
                    }
                }
                Tag::Global if callees.insert((v.payload() as u32, false)) => out.push(self.held_one(v)),
                Tag::Persistent | Tag::Opaque => out.push(Held::Unknown),
                _ => {}
            }
        }
        out
    }

    /// Remembers when a `numpy.dtype` was made.
    pub(crate) fn note_fresh(&mut self, made: Val) {
        if self.fresh.len() < MAX_FRESH || self.fresh.contains_key(&made) {
            self.fresh.insert(made, self.others);
        }
    }

    /// A constructor told by a number to take more memory or time than the stream that asks for it explains.
    pub(crate) fn check_allocation(&mut self, id: u32, args: Val, at: u64, obs: &mut dyn Observer) {
        /// Bytes or items; a file of some size may ask for more.
        const MAX: u128 = 1 << 28;
        let Some(items) = self.items(args) else { return };
        let name = self.heap.callee(id).name.clone();
        let size = match name.as_str() {
            // `Fraction("1e999999999")` works the power of ten out.
            "Fraction" => items.iter().filter_map(|&v| exponent(&self.value(v))).max(),
            "_reconstruct" | "_mareconstruct" => {
                items.iter().filter_map(|&v| self.items(v)).map(|dims| self.product(&dims)).max()
            }
            _ => items.iter().filter_map(|&v| self.announced(v, &name)).max(),
        };
        if let Some(size) = size.filter(|&n| n > MAX && n > 64 * u128::from(self.len)) {
            let detail =
                format!("{} is asked for {size} elements by a number", self.heap.callee(id).rendering);
            self.resource(obs, at, "pickle-huge-allocation", &detail);
        }
    }

    /// `bytes(n)`, and anything made of a `range`.
    fn announced(&self, v: Val, made: &str) -> Option<u128> {
        if v.is_literal() {
            if !matches!(made, "bytes" | "bytearray") {
                return None;
            }
            return magnitude(&self.value(v));
        }
        let o = self.heap.get_object(v)?;
        let c = self.heap.callee(o.callee);
        if c.module != "builtins" || c.name != "range" {
            return None;
        }
        let bounds: Vec<Value> = self.items(o.args)?.into_iter().map(|v| self.value(v)).collect();
        if bounds.iter().any(|b| matches!(b, Value::BigInt { .. })) {
            return Some(u128::MAX);
        }
        let bounds: Vec<i128> = bounds.iter().filter_map(Value::as_int).map(i128::from).collect();
        let (start, stop, step) = match bounds[..] {
            [stop] => (0, stop, 1),
            [start, stop] => (start, stop, 1),
            [start, stop, step] if step != 0 => (start, stop, step),
            _ => return None,
        };
        let span = if step > 0 { stop - start } else { start - stop };
        Some((span.max(0) as u128).div_ceil(step.unsigned_abs()))
    }

    fn product(&self, dims: &[Val]) -> u128 {
        dims.iter().filter_map(|&d| magnitude(&self.value(d))).fold(1u128, |n, d| n.saturating_mul(d))
    }
}

fn magnitude(v: &Value) -> Option<u128> {
    match v {
        Value::Int(n) => u128::try_from(*n).ok(),
        Value::BigInt { .. } => Some(u128::MAX),
        _ => None,
    }
}

/// The exponent of a number in text form; of texts that are cut off, the largest.
fn exponent(v: &Value) -> Option<u128> {
    let Value::Str { text, cut, .. } = v else { return None };
    if *cut {
        return Some(u128::MAX);
    }
    let (_, exponent) = text.trim().rsplit_once(['e', 'E'])?;
    let digits: String = exponent.chars().filter(char::is_ascii_digit).collect();
    // A thousand digits of power are honest, a hundred million bytes are not.
    Some(digits.parse::<u128>().unwrap_or(u128::MAX).saturating_mul(1 << 14))
}
