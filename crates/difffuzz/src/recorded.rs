//! What the recorder answers: events of one reader on one stream.

use wb_pickle::Value;

/// One event. Stand-ins are numbered in the order in which they were handed out.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// `find_class`, mapped as the reader maps; makes the next stand-in.
    Import {
        /// Module.
        module: Vec<u8>,
        /// Name.
        name: Vec<u8>,
    },
    /// `persistent_load`; makes the next stand-in.
    Persistent(Shown),
    /// `f(*args, **kwargs)`; makes the next stand-in.
    Call(usize, Shown, Shown),
    /// `cls.__new__(cls, *args, **kwargs)`; makes the next stand-in.
    New(usize, Shown, Shown),
    /// `x.__setstate__(state)`.
    SetState(usize, Shown),
    /// One item of `x.__dict__`, or `setattr`: name and value.
    Attribute(usize, Shown, Shown),
    /// `x.append(item)` or, as one list, `x.extend(items)`.
    Append(usize, Vec<Shown>),
    /// `x[key] = value`.
    SetItem(usize, Shown, Shown),
    /// `x.add(item)`.
    Add(usize, Shown),
    /// `hash(x)`.
    Hash(usize),
    /// `x == y`.
    Equal(usize),
    /// `memoryview(x)`.
    Buffer(usize),
    /// A method called on a value by the way: `__iter__`, `__bool__`, `items`, `keys`; in BUILD, on which object and
    /// with which state.
    ByTheWay(usize, Option<(Shown, Shown)>),
    /// STOP; where the file stands.
    Stop(u64),
}

/// A value as the recorder shows it.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    /// Left out.
    Any,
    /// `None`.
    None,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// The bits of a float.
    Float(u64),
    /// Text, UTF-8 with surrogates passed.
    Str(Vec<u8>),
    /// `bytes` or `bytearray`.
    Bytes(Vec<u8>),
    /// `T`, `L`, `D`, `X` or `Z`: tuple, list, dict (keys and values in turn), set, frozenset.
    Seq(char, Vec<Shown>),
    /// A stand-in.
    Object(usize),
}

/// What one reader did with a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// `c`, `f` or `p`.
    pub reader: char,
    /// `S`, or the type of the exception that ended it.
    pub outcome: String,
    /// Events, with the opcode under way where the reader tells it.
    pub events: Vec<(Option<u8>, Event)>,
}

impl Reading {
    /// The answer's text for one reader; none if it is not as agreed.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split('\n');
        let head = lines.next()?;
        let reader = head.chars().next()?;
        let outcome = head.get(1..)?.to_string();
        let events = lines.map(|l| event(reader, l)).collect::<Option<_>>()?;
        Some(Self { reader, outcome, events })
    }

    /// True if at least one pickle was loaded.
    pub fn stopped(&self) -> bool {
        self.events.iter().any(|(_, e)| matches!(e, Event::Stop(_)))
    }
}

fn event(reader: char, line: &str) -> Option<(Option<u8>, Event)> {
    let (op, line) = match reader {
        'p' if !line.starts_with('Z') => (Some(u8::from_str_radix(line.get(..2)?, 16).ok()?), line.get(2..)?),
        _ => (None, line),
    };
    let mut fields = line.split('\x1f');
    let letter = fields.next()?;
    let mut field = || fields.next();
    let event = match letter {
        "I" => Event::Import { module: unhex(field()?)?, name: unhex(field()?)? },
        "P" => Event::Persistent(shown(field()?)?),
        "C" => Event::Call(number(field()?)?, shown(field()?)?, shown(field()?)?),
        "W" => Event::New(number(field()?)?, shown(field()?)?, shown(field()?)?),
        "B" => Event::SetState(number(field()?)?, shown(field()?)?),
        "D" | "R" => Event::Attribute(number(field()?)?, shown(field()?)?, shown(field()?)?),
        "A" => Event::Append(number(field()?)?, vec![shown(field()?)?]),
        "E" => {
            let at = number(field()?)?;
            match shown(field()?)? {
                Shown::Seq(_, items) => Event::Append(at, items),
                other => Event::Append(at, vec![other]),
            }
        }
        "M" => Event::SetItem(number(field()?)?, shown(field()?)?, shown(field()?)?),
        "J" => Event::Add(number(field()?)?, shown(field()?)?),
        "H" => Event::Hash(number(field()?)?),
        "Q" => Event::Equal(number(field()?)?),
        "U" => Event::Buffer(number(field()?)?),
        "m" => {
            let on = number(field()?)?;
            field()?;
            let build = match (field(), field()) {
                (Some(object), Some(state)) => Some((shown(object)?, shown(state)?)),
                _ => None,
            };
            Event::ByTheWay(on, build)
        }
        "Z" => Event::Stop(number(field()?)? as u64),
        _ => return None,
    };
    Some((op, event))
}

fn number(s: &str) -> Option<usize> {
    s.parse().ok()
}

fn unhex(s: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
    s.as_bytes().chunks(2).map(|p| Some(digit(*p.first()?)? << 4 | digit(*p.get(1)?)?)).collect()
}

fn shown(s: &str) -> Option<Shown> {
    let (v, rest) = part(s)?;
    rest.is_empty().then_some(v)
}

fn part(s: &str) -> Option<(Shown, &str)> {
    let letter = s.chars().next()?;
    let rest = s.get(1..)?;
    if matches!(letter, 'T' | 'L' | 'D' | 'X' | 'Z') {
        let mut rest = rest.strip_prefix('(')?;
        let mut items = Vec::new();
        while !rest.starts_with(')') {
            let (v, after) = part(rest)?;
            items.push(v);
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        return Some((Shown::Seq(letter, items), rest.get(1..)?));
    }
    let end = rest.find([',', ')']).unwrap_or(rest.len());
    let (word, rest) = rest.split_at(end);
    let v = match letter {
        '?' => Shown::Any,
        'N' => Shown::None,
        'B' => Shown::Bool(word == "1"),
        'I' => Shown::Int(word.parse().ok()?),
        'F' => Shown::Float(u64::from_str_radix(word, 16).ok()?),
        'S' => Shown::Str(unhex(word)?),
        'Y' | 'A' => Shown::Bytes(unhex(word)?),
        '#' => Shown::Object(word.parse().ok()?),
        _ => return None,
    };
    Some((v, rest))
}

impl Shown {
    /// True if the machine's value can be this one: what either side left out fits everything.
    /// `object` decides for stand-ins.
    pub fn fits(&self, v: &Value, object: &dyn Fn(usize, &Value) -> bool) -> bool {
        match (self, v) {
            (Self::Any, _) | (_, Value::Opaque) => true,
            (_, v) if is_rest(v) => true,
            (Self::None, Value::None) => true,
            (Self::Bool(a), Value::Bool(b)) => a == b,
            (Self::Int(a), Value::Int(b)) => a == b,
            (Self::Int(_), Value::BigInt { .. }) => true,
            (Self::Float(a), Value::Float(b)) => {
                let a = f64::from_bits(*a);
                a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
            }
            // Python 2 strings with bytes beyond ASCII depend on the loader's encoding, surrogates are escaped.
            (Self::Str(a), Value::Str { text, cut, .. }) => {
                *cut || !a.is_ascii() || !text.is_ascii() || a == text.as_bytes() || text.contains('\\')
            }
            (Self::Bytes(a), Value::Bytes { head, len }) => {
                *len == a.len() as u64 && a.starts_with(head) || head.len() as u64 != *len
            }
            (Self::Seq('T', a), Value::Tuple(b)) | (Self::Seq('L', a), Value::List(b)) => {
                all_fit(a, b, object)
            }
            (Self::Seq('D', a), Value::Dict(b)) => dict_fits(a, b, object),
            (Self::Seq('X', _), Value::Set(_)) | (Self::Seq('Z', _), Value::FrozenSet(_)) => true,
            (Self::Object(n), v) => object(*n, v),
            _ => false,
        }
    }

    /// True if a stand-in that the machine may know better than the recorder is inside.
    pub fn holds(&self, test: &dyn Fn(usize) -> bool) -> bool {
        match self {
            Self::Object(n) => test(*n),
            Self::Seq(_, items) => items.iter().any(|i| i.holds(test)),
            _ => false,
        }
    }
}

/// True for what stands for values that the machine left out.
pub fn is_rest(v: &Value) -> bool {
    matches!(v, Value::Truncated | Value::PlainRest)
}

/// Equal lists, as far as both are whole.
pub fn all_fit(a: &[Shown], b: &[Value], object: &dyn Fn(usize, &Value) -> bool) -> bool {
    match b.iter().position(is_rest) {
        Some(n) => a.iter().zip(b.iter().take(n)).all(|(a, b)| a.fits(b, object)),
        None => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.fits(b, object)),
    }
}

/// Dicts: the last value of equal keys counts. Only text keys are compared; numbers equal one another in ways of
/// their own (`1 == 1.0 == True`).
pub fn dict_fits(a: &[Shown], b: &[(Value, Value)], object: &dyn Fn(usize, &Value) -> bool) -> bool {
    a.chunks_exact(2).all(|pair| {
        let Shown::Str(key) = &pair[0] else { return true };
        if !key.is_ascii() || b.iter().any(|(k, _)| is_rest(k)) {
            return true;
        }
        let key_is = |v: &&(Value, Value)| v.0.as_str().is_some_and(|s| s.as_bytes() == key.as_slice());
        match b.iter().rev().find(key_is) {
            Some((_, v)) => pair[1].fits(v, object),
            // Escaped or cut keys cannot be found.
            None => b.iter().any(|(k, _)| k.as_str().is_none_or(|s| s.contains('\\'))),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let text = "p1E\n63I\x1f6f73\x1f78\n52C\x1f0\x1fT(S6964,L(I-1,N),#0)\x1fD(S61,B1)\nZ\x1f9";
        let r = Reading::parse(text).unwrap();
        assert_eq!((r.reader, r.outcome.as_str(), r.events.len()), ('p', "1E", 3));
        assert_eq!(r.events[0].0, Some(0x63));
        let Event::Call(0, Shown::Seq('T', args), Shown::Seq('D', _)) = &r.events[1].1 else {
            panic!("{r:?}")
        };
        assert_eq!(args[0], Shown::Str(b"id".to_vec()));
        assert_eq!(args[1], Shown::Seq('L', vec![Shown::Int(-1), Shown::None]));
        assert!(r.stopped());
        assert_eq!(Reading::parse("cS\nQ"), None);
    }

    #[test]
    fn values_are_compared() {
        let s = |t: &str| Value::Str { text: t.into(), len: t.len() as u64, cut: false };
        let no = |_: usize, _: &Value| false;
        assert!(Shown::Str(b"a".to_vec()).fits(&s("a"), &no));
        assert!(!Shown::Str(b"a".to_vec()).fits(&s("b"), &no));
        let list = Shown::Seq('L', vec![Shown::Int(1), Shown::Int(2)]);
        assert!(!list.fits(&Value::List(vec![Value::Int(1)]), &no));
        assert!(list.fits(&Value::List(vec![Value::Int(1), Value::Truncated]), &no));
        let dict = Shown::Seq('D', vec![Shown::Str(b"k".to_vec()), Shown::Int(2)]);
        assert!(dict.fits(&Value::Dict(vec![(s("k"), Value::Int(1)), (s("k"), Value::Int(2))]), &no));
        assert!(!dict.fits(&Value::Dict(vec![(s("k"), Value::Int(1))]), &no));
        assert!(!dict.fits(&Value::Dict(vec![]), &no));
    }
}
