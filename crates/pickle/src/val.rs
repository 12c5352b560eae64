//! The machine's values: eight bytes each, a tag and the offset of the opcode that made them.
//!
//! A literal stays in the stream until a call needs it. A tuple whose items were pushed by consecutive
//! literal opcodes is its range of the stream. Everything else is an index into the [`crate::heap::Heap`].

/// What a [`Val`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tag {
    /// Payload of this and all other literals: offset of the opcode.
    None = 0,
    True,
    False,
    /// Integer or float; payload: offset of its opcode.
    Num,
    /// Text or Python-2 string; payload: offset of its opcode.
    Str,
    /// Bytes or bytearray; payload: offset of its opcode.
    Bytes,
    EmptyTuple,
    /// Tuple of literals; payload: start of its range (40 bits) and distance to its TUPLE opcode (16 bits).
    Span,
    /// A string that begins with two underscores; payload: offset of its opcode.
    Dunder,
    /// A string or byte string worked out symbolically; payload: index into the heap's texts.
    Text,
    // From here on not plain by themselves.
    /// Container; payload: heap index.
    Node,
    /// Imported object or module; payload: callee id.
    Global,
    /// Result of a call; payload: heap index.
    Object,
    /// Result of `persistent_load`; payload: heap index.
    Persistent,
    /// Not known.
    Opaque,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Val(u64);

const PAYLOAD: u32 = 56;
const MASK: u64 = (1 << PAYLOAD) - 1;

impl Val {
    pub(crate) const OPAQUE: Self = Self::new(Tag::Opaque, 0);
    pub(crate) const EMPTY_TUPLE: Self = Self::new(Tag::EmptyTuple, MASK);

    #[inline(always)]
    pub(crate) const fn new(tag: Tag, payload: u64) -> Self {
        Self(((tag as u64) << PAYLOAD) | (payload & MASK))
    }

    #[inline(always)]
    pub(crate) fn tag(self) -> Tag {
        const TAGS: [Tag; 15] = [
            Tag::None,
            Tag::True,
            Tag::False,
            Tag::Num,
            Tag::Str,
            Tag::Bytes,
            Tag::EmptyTuple,
            Tag::Span,
            Tag::Dunder,
            Tag::Text,
            Tag::Node,
            Tag::Global,
            Tag::Object,
            Tag::Persistent,
            Tag::Opaque,
        ];
        *TAGS.get((self.0 >> PAYLOAD) as usize).unwrap_or(&Tag::Opaque)
    }

    #[inline(always)]
    pub(crate) fn payload(self) -> u64 {
        self.0 & MASK
    }

    #[inline(always)]
    pub(crate) fn index(self) -> usize {
        self.payload() as usize
    }

    /// A literal, or a tuple of literals.
    #[inline(always)]
    pub(crate) fn is_literal(self) -> bool {
        (self.0 >> PAYLOAD) < Tag::Node as u64
    }

    /// Offset of the opcode that pushed a literal, or of the first opcode of a span.
    #[inline(always)]
    pub(crate) fn offset(self) -> Option<u64> {
        match self.tag() {
            Tag::Span => Some(self.payload() >> 16),
            Tag::Text => None,
            _ if self.is_literal() => Some(self.payload()),
            _ => None,
        }
    }

    /// A tuple made by the TUPLE opcode at `end` of literals pushed from `start` on; none if it does not fit.
    #[inline(always)]
    pub(crate) fn span(start: u64, end: u64) -> Option<Self> {
        let len = end.checked_sub(start)?;
        (len < 1 << 16 && start < 1 << 40).then(|| Self::new(Tag::Span, start << 16 | len))
    }

    /// Start and TUPLE opcode of a span.
    pub(crate) fn span_range(self) -> (u64, u64) {
        let start = self.payload() >> 16;
        (start, start + (self.payload() & 0xffff))
    }

    #[inline(always)]
    pub(crate) fn is_str(self) -> bool {
        matches!(self.tag(), Tag::Str | Tag::Dunder | Tag::Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_keep_their_range_or_are_refused() {
        assert_eq!(Val::span(7, 40).unwrap().span_range(), (7, 40));
        assert_eq!(
            Val::span((1 << 40) - 1, (1 << 40) + 9).unwrap().span_range(),
            ((1 << 40) - 1, (1 << 40) + 9)
        );
        assert!(Val::span(1 << 40, (1 << 40) + 1).is_none());
        assert!(Val::span(0, 1 << 16).is_none());
        assert_eq!(Val::new(Tag::Opaque, MASK).tag(), Tag::Opaque);
        assert!(Val::span(3, 9).unwrap().is_literal() && !Val::new(Tag::Global, 1).is_literal());
    }
}
