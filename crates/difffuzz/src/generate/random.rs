//! Random bytes and random changes.

use crate::rng::Rng;
use wb_pickle::{Arg, OPCODES};

/// Opcodes with small random arguments, and bytes between them.
pub fn random(rng: &mut Rng) -> Vec<u8> {
    let mut out = Vec::new();
    if rng.percent(40) {
        out.extend([0x80, rng.below(6) as u8]);
    }
    for _ in 0..1 + rng.below(30) {
        if rng.percent(5) {
            out.push(rng.next() as u8);
            continue;
        }
        // Half of all opcodes need nothing on the stack.
        match rng.below(10) {
            0 => out.extend(b"N"),
            1 => out.extend([b'K', rng.below(4) as u8]),
            2 => out.extend(b")"),
            3 => out.extend(b"("),
            4 => out.extend(b"czzz\nf\n"),
            _ => opcode(rng, &mut out),
        }
    }
    if rng.percent(80) {
        out.push(b'.');
    }
    out
}

fn opcode(rng: &mut Rng, out: &mut Vec<u8>) {
    let Some(op) = rng.pick(OPCODES) else { return };
    out.push(op.code);
    match op.arg {
        Arg::No => {}
        Arg::Fixed(n) => {
            let low = rng.below(4) as u8;
            out.extend((0..n).map(|i| if i == 0 { low } else { 0 }));
        }
        Arg::Line => line(rng, out),
        Arg::TwoLines => {
            line(rng, out);
            line(rng, out);
        }
        Arg::Counted(n) => {
            let len = rng.below(5);
            out.extend((0..n).map(|i| if i == 0 { len as u8 } else { 0 }));
            out.extend((0..len).map(|_| b"abc._'\n\x80"[rng.below(8)]));
        }
    }
}

fn line(rng: &mut Rng, out: &mut Vec<u8>) {
    const LINES: &[&str] = &[
        "0", "1", "2", "os", "system", "'a'", "\"b\"", "1.5", "01", "00", "", "5L", "zzz", " 7 ", "-1", "a.b",
    ];
    out.extend(rng.pick(LINES).copied().unwrap_or("").as_bytes());
    if !rng.percent(3) {
        out.push(b'\n');
    }
}

/// One random change.
pub fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        bytes.push(b'.');
        return;
    }
    let at = rng.below(bytes.len());
    match rng.below(9) {
        0 => bytes[at] = rng.next() as u8,
        1 => bytes[at] = rng.pick(OPCODES).map_or(0, |op| op.code),
        2 => bytes[at] = bytes[at].wrapping_add(1),
        3 => bytes[at] ^= 1 << rng.below(8),
        4 => {
            let mut more = Vec::new();
            opcode(rng, &mut more);
            bytes.splice(at..at, more);
        }
        5 => {
            bytes.remove(at);
        }
        6 => {
            let to = (at + 1 + rng.below(12)).min(bytes.len());
            let part = bytes[at..to].to_vec();
            let into = rng.below(bytes.len());
            bytes.splice(into..into, part);
        }
        7 => {
            let to = (at + 1 + rng.below(6)).min(bytes.len());
            bytes.drain(at..to);
        }
        _ if rng.percent(20) => bytes.truncate(at),
        _ => bytes.swap(at, 0),
    }
}
