//! The opcode table: all 68 opcodes of protocols 0 to 5.
//!
//! Source: PEP 307, PEP 3154, PEP 574 and CPython's `pickletools`, against which a test holds this table.

/// How an opcode's argument is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arg {
    /// None.
    No,
    /// This many bytes.
    Fixed(u8),
    /// A text line ended by a newline.
    Line,
    /// Two text lines (module, name).
    TwoLines,
    /// A little-endian length of this many bytes, then that many bytes.
    Counted(u8),
}

/// One opcode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opcode {
    /// The byte.
    pub code: u8,
    /// CPython's name.
    pub name: &'static str,
    /// First protocol that has it.
    pub proto: u8,
    /// Argument.
    pub arg: Arg,
}

macro_rules! opcodes {
    ($($konst:ident $code:literal $proto:literal $arg:expr;)*) => {
        $(pub(crate) const $konst: u8 = $code;)*
        /// All opcodes, in no particular order.
        pub const OPCODES: &[Opcode] = &[
            $(Opcode { code: $code, name: stringify!($konst), proto: $proto, arg: $arg },)*
        ];
    };
}

use Arg::{Counted, Fixed, Line, No, TwoLines};

opcodes! {
    INT 0x49 0 Line;
    BININT 0x4a 1 Fixed(4);
    BININT1 0x4b 1 Fixed(1);
    BININT2 0x4d 1 Fixed(2);
    LONG 0x4c 0 Line;
    LONG1 0x8a 2 Counted(1);
    LONG4 0x8b 2 Counted(4);
    STRING 0x53 0 Line;
    BINSTRING 0x54 1 Counted(4);
    SHORT_BINSTRING 0x55 1 Counted(1);
    BINBYTES 0x42 3 Counted(4);
    SHORT_BINBYTES 0x43 3 Counted(1);
    BINBYTES8 0x8e 4 Counted(8);
    BYTEARRAY8 0x96 5 Counted(8);
    NEXT_BUFFER 0x97 5 No;
    READONLY_BUFFER 0x98 5 No;
    NONE 0x4e 0 No;
    NEWTRUE 0x88 2 No;
    NEWFALSE 0x89 2 No;
    UNICODE 0x56 0 Line;
    SHORT_BINUNICODE 0x8c 4 Counted(1);
    BINUNICODE 0x58 1 Counted(4);
    BINUNICODE8 0x8d 4 Counted(8);
    FLOAT 0x46 0 Line;
    BINFLOAT 0x47 1 Fixed(8);
    EMPTY_LIST 0x5d 1 No;
    APPEND 0x61 0 No;
    APPENDS 0x65 1 No;
    LIST 0x6c 0 No;
    EMPTY_TUPLE 0x29 1 No;
    TUPLE 0x74 0 No;
    TUPLE1 0x85 2 No;
    TUPLE2 0x86 2 No;
    TUPLE3 0x87 2 No;
    EMPTY_DICT 0x7d 1 No;
    DICT 0x64 0 No;
    SETITEM 0x73 0 No;
    SETITEMS 0x75 1 No;
    EMPTY_SET 0x8f 4 No;
    ADDITEMS 0x90 4 No;
    FROZENSET 0x91 4 No;
    POP 0x30 0 No;
    DUP 0x32 0 No;
    MARK 0x28 0 No;
    POP_MARK 0x31 1 No;
    GET 0x67 0 Line;
    BINGET 0x68 1 Fixed(1);
    LONG_BINGET 0x6a 1 Fixed(4);
    PUT 0x70 0 Line;
    BINPUT 0x71 1 Fixed(1);
    LONG_BINPUT 0x72 1 Fixed(4);
    MEMOIZE 0x94 4 No;
    EXT1 0x82 2 Fixed(1);
    EXT2 0x83 2 Fixed(2);
    EXT4 0x84 2 Fixed(4);
    GLOBAL 0x63 0 TwoLines;
    STACK_GLOBAL 0x93 4 No;
    REDUCE 0x52 0 No;
    BUILD 0x62 0 No;
    INST 0x69 0 TwoLines;
    OBJ 0x6f 1 No;
    NEWOBJ 0x81 2 No;
    NEWOBJ_EX 0x92 4 No;
    PROTO 0x80 2 Fixed(1);
    STOP 0x2e 0 No;
    FRAME 0x95 4 Fixed(8);
    PERSID 0x50 0 Line;
    BINPERSID 0x51 1 No;
}

static TABLE: [Option<&'static Opcode>; 256] = {
    let mut table = [None; 256];
    let mut i = 0;
    while i < OPCODES.len() {
        table[OPCODES[i].code as usize] = Some(&OPCODES[i]);
        i += 1;
    }
    table
};

/// The opcode of a byte.
pub fn opcode(code: u8) -> Option<&'static Opcode> {
    TABLE[code as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fixture was written by CPython's `pickletools`, see its first line.
    #[test]
    fn table_equals_pickletools() {
        let mut seen = 0;
        for line in include_str!("../tests/opcodes.tsv").lines().filter(|l| !l.starts_with('#')) {
            let f: Vec<&str> = line.split('\t').collect();
            let op = opcode(u8::from_str_radix(f[0], 16).unwrap()).unwrap();
            assert_eq!(op.name, f[1]);
            assert_eq!(op.proto.to_string(), f[2], "{}", op.name);
            let arg = match op.arg {
                Arg::No => "0".into(),
                Arg::Fixed(n) => n.to_string(),
                Arg::Line | Arg::TwoLines => "L".into(),
                Arg::Counted(n) => format!("c{n}"),
            };
            assert_eq!(arg, f[3], "{}", op.name);
            seen += 1;
        }
        assert_eq!((seen, OPCODES.len()), (68, 68));
    }
}
