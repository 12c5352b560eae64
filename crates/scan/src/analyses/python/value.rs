//! What an expression of Python source may stand for, as far as constants, names and origin tell.

/// Where a value comes from, as bits.
pub(super) mod taint {
    /// Decoded, decompressed or deciphered.
    pub const DECODED: u16 = 1;
    /// Reversed, or put together from single characters.
    pub const LETTERS: u16 = 128;
    /// Received from the network.
    pub const FETCHED: u16 = 2;
    /// Read from where credentials lie.
    pub const SECRET: u16 = 4;
    /// The whole environment.
    pub const ENVIRON: u16 = 8;
    /// Text put together from pieces.
    pub const PIECES: u16 = 16;
    /// Read from a file.
    pub const FILE: u16 = 32;
    /// Reached by a string, a dictionary or a frame instead of by its name.
    pub const HIDDEN: u16 = 64;
}

/// Longest text or byte string that is folded.
pub(super) const MAX_TEXT: usize = 1 << 20;
/// Most elements of a sequence, most alternatives of a value.
pub(super) const MAX_ITEMS: usize = 8192;
const MAX_ALTERNATIVES: usize = 12;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// Not known.
    Top,
    Text(String),
    Bytes(Vec<u8>),
    Int(i64),
    Items(Vec<Value>),
    /// Something outside the module: `os.system`; `requests.get().text` is an attribute of what a call gives.
    Path(String),
    /// A function of the module.
    Function(usize),
    /// A class of the module.
    Class(usize),
    /// One of these.
    Any(Vec<Value>),
}

/// A value and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Value {
    pub kind: Kind,
    pub taint: u16,
}

impl Value {
    pub const TOP: Self = Self { kind: Kind::Top, taint: 0 };

    pub fn new(kind: Kind, taint: u16) -> Self {
        Self { kind, taint }
    }

    pub fn top(taint: u16) -> Self {
        Self { kind: Kind::Top, taint }
    }

    pub fn path(path: impl Into<String>, taint: u16) -> Self {
        Self { kind: Kind::Path(path.into()), taint }
    }

    pub fn text(text: impl Into<String>, taint: u16) -> Self {
        let text = text.into();
        if text.len() > MAX_TEXT { Self::top(taint) } else { Self { kind: Kind::Text(text), taint } }
    }

    pub fn bytes(bytes: Vec<u8>, taint: u16) -> Self {
        if bytes.len() > MAX_TEXT { Self::top(taint) } else { Self { kind: Kind::Bytes(bytes), taint } }
    }

    pub fn tainted(mut self, taint: u16) -> Self {
        self.taint |= taint;
        self
    }

    /// Everything it may be.
    pub fn alternatives(&self) -> &[Self] {
        match &self.kind {
            Kind::Any(all) => all,
            _ => std::slice::from_ref(self),
        }
    }

    /// All origins, of alternatives and elements too.
    pub fn taints(&self) -> u16 {
        match &self.kind {
            Kind::Any(all) | Kind::Items(all) => all.iter().fold(self.taint, |t, v| t | v.taints()),
            _ => self.taint,
        }
    }

    /// This or that.
    pub fn or(self, other: Self) -> Self {
        if self == other {
            return self;
        }
        let mut all = match self {
            Self { kind: Kind::Any(all), .. } => all,
            one => vec![one],
        };
        for one in other.alternatives() {
            if all.len() < MAX_ALTERNATIVES && !all.contains(one) {
                all.push(one.clone());
            }
        }
        Self { kind: Kind::Any(all), taint: 0 }
    }

    /// The text it certainly is.
    pub fn as_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(t) => Some(t),
            Kind::Any(all) => all.iter().find_map(Self::as_text),
            _ => None,
        }
    }

    pub fn as_int(&self) -> Option<i64> {
        match self.kind {
            Kind::Int(n) => Some(n),
            _ => None,
        }
    }

    /// Bytes, or the bytes of a text.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.kind {
            Kind::Text(t) => Some(t.as_bytes()),
            Kind::Bytes(b) => Some(b),
            _ => None,
        }
    }

    /// All text in it, elements joined by spaces: a command line.
    pub fn words(&self) -> String {
        match &self.kind {
            Kind::Text(t) => t.clone(),
            Kind::Bytes(b) => String::from_utf8_lossy(b).into_owned(),
            Kind::Path(p) => p.clone(),
            Kind::Items(all) | Kind::Any(all) => {
                let mut out = String::new();
                for one in all.iter().take(64) {
                    if out.len() > 4096 {
                        break;
                    }
                    out.push_str(&one.words());
                    out.push(' ');
                }
                out
            }
            _ => String::new(),
        }
    }
}
