//! What torch's weights-only unpickler has of the opcodes.
//!
//! `torch.load(weights_only=True)`, the default since torch 2.6, does not use CPython's unpickler but one of its own
//! that knows half of the opcodes and refuses the stream at the first other one.
//! Source: torch/_weights_only_unpickler.py.

use crate::opcode::{self as op, Opcode, opcode};

/// Opcodes it does not have; their place is their bit.
const OUTSIDE: [u8; 34] = [
    op::INT,
    op::LONG,
    op::LONG4,
    op::STRING,
    op::BINSTRING,
    op::BINBYTES,
    op::SHORT_BINBYTES,
    op::BINBYTES8,
    op::BYTEARRAY8,
    op::NEXT_BUFFER,
    op::READONLY_BUFFER,
    op::UNICODE,
    op::SHORT_BINUNICODE,
    op::BINUNICODE8,
    op::FLOAT,
    op::LIST,
    op::DICT,
    op::ADDITEMS,
    op::FROZENSET,
    op::POP,
    op::POP_MARK,
    op::DUP,
    op::GET,
    op::PUT,
    op::MEMOIZE,
    op::EXT1,
    op::EXT2,
    op::EXT4,
    op::STACK_GLOBAL,
    op::INST,
    op::OBJ,
    op::NEWOBJ_EX,
    op::FRAME,
    op::PERSID,
];

const BITS: [u64; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < OUTSIDE.len() {
        table[OUTSIDE[i] as usize] = 1 << i;
        i += 1;
    }
    table
};

/// The bit of an opcode that it does not have, else zero.
#[inline(always)]
pub(crate) const fn bit(code: u8) -> u64 {
    BITS[code as usize]
}

/// The opcodes of these bits.
pub(crate) fn opcodes(bits: u64) -> impl Iterator<Item = &'static Opcode> {
    OUTSIDE.iter().enumerate().filter(move |(i, _)| bits >> i & 1 == 1).filter_map(|(_, &code)| opcode(code))
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_has_half_of_the_opcodes() {
        assert_eq!(super::opcodes(u64::MAX).count(), 34);
        assert_eq!(super::bit(crate::opcode::REDUCE), 0);
        assert_eq!(super::opcodes(super::bit(b'P')).next().map(|o| o.name), Some("PERSID"));
    }
}
