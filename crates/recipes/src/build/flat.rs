//! FlatBuffers, written forwards: a table, then what it refers to, whose offsets are filled in behind. Numbers are taken as given.

/// A field of a table.
pub(super) enum Field {
    U8(u8),
    U32(u32),
    U64(u64),
    /// Filled in later.
    Offset,
}

/// What is written so far.
pub(super) struct Writer {
    pub out: Vec<u8>,
}

impl Writer {
    /// Begins with these bytes.
    pub(super) fn new(head: &[u8]) -> Self {
        Self { out: head.to_vec() }
    }

    /// Fills up to a multiple of `to`.
    pub(super) fn align(&mut self, to: usize) {
        let size = self.out.len().next_multiple_of(to);
        self.out.resize(size, 0);
    }

    /// Writes a table; returns where it is and where each given field is.
    pub(super) fn table(&mut self, fields: &[Option<Field>]) -> (usize, Vec<usize>) {
        let size = |f: &Field| match f {
            Field::U8(_) => 1,
            Field::U32(_) | Field::Offset => 4,
            Field::U64(_) => 8,
        };
        self.align(8);
        let vtable = self.out.len();
        let (mut at, mut slots) = (4usize, Vec::new());
        for f in fields {
            slots.push(f.as_ref().map(|f| {
                at = at.next_multiple_of(size(f));
                at += size(f);
                at - size(f)
            }));
        }
        let len = at.next_multiple_of(4);
        self.out.extend((4 + 2 * fields.len() as u16).to_le_bytes());
        self.out.extend((len as u16).to_le_bytes());
        slots.iter().for_each(|s| self.out.extend((s.unwrap_or(0) as u16).to_le_bytes()));
        self.align(8);
        let table = self.out.len();
        self.out.extend(((table - vtable) as i32).to_le_bytes());
        self.out.resize(table + len, 0);
        for (f, slot) in fields.iter().zip(&slots) {
            if let (Some(f), Some(slot)) = (f, slot) {
                let bytes = match f {
                    Field::U8(n) => vec![*n],
                    Field::U32(n) => n.to_le_bytes().to_vec(),
                    Field::U64(n) => n.to_le_bytes().to_vec(),
                    Field::Offset => continue,
                };
                self.out[table + slot..][..bytes.len()].copy_from_slice(&bytes);
            }
        }
        (table, slots.into_iter().map(|s| table + s.unwrap_or(0)).collect())
    }

    /// Makes the offset at `at` point to what is written next.
    pub(super) fn point(&mut self, at: usize) {
        self.align(4);
        let to = (self.out.len() - at) as u32;
        self.out[at..at + 4].copy_from_slice(&to.to_le_bytes());
    }

    /// Makes the offset at `at` point to a table already written.
    pub(super) fn point_to(&mut self, at: usize, table: usize) {
        self.out[at..at + 4].copy_from_slice(&((table - at) as u32).to_le_bytes());
    }

    /// A vector of bytes and a zero behind it, which strings have.
    pub(super) fn bytes(&mut self, at: usize, bytes: &[u8]) {
        self.point(at);
        self.out.extend((bytes.len() as u32).to_le_bytes());
        self.out.extend(bytes);
        self.out.push(0);
    }

    /// A vector of 32-bit numbers.
    pub(super) fn ints(&mut self, at: usize, values: &[i32]) {
        self.point(at);
        self.out.extend((values.len() as u32).to_le_bytes());
        values.iter().for_each(|v| self.out.extend(v.to_le_bytes()));
    }

    /// A vector of `n` offsets; returns where they are.
    pub(super) fn offsets(&mut self, at: usize, n: usize) -> Vec<usize> {
        self.ints(at, &vec![0; n]);
        let end = self.out.len();
        (0..n).map(|i| end - 4 * (n - i)).collect()
    }

    /// A vector of 64-bit numbers.
    pub(super) fn longs(&mut self, at: usize, values: &[u64]) {
        self.point(at);
        self.out.extend((values.len() as u32).to_le_bytes());
        values.iter().for_each(|v| self.out.extend(v.to_le_bytes()));
    }
}
