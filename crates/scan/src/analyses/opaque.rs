//! Is something hidden where a loader expects opaque data (tensor storage, padding, comments)?
//!
//! Honest weights may begin with bytes that look like pickle opcodes or even like a magic number, so each
//! answer needs structure, not a prefix: a pickle must really name a callable and then use it.

use wb_blob::{Blob, Window};

/// What begins at the start of `blob`, if it is something a loader or an operating system would open.
///
/// `head` is what the caller has read of the beginning already; more is read only if it is not enough.
pub(crate) fn hidden(blob: &Blob, head: &[u8]) -> Option<&'static str> {
    executable(blob, head)
        .or_else(|| container(blob, head))
        .or_else(|| pickle_in(blob, head).then_some("pickle"))
}

fn le32(b: &[u8], at: usize) -> Option<u32> {
    b.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes)
}

fn le16(b: &[u8], at: usize) -> Option<u16> {
    b.get(at..at + 2).and_then(|b| b.try_into().ok()).map(u16::from_le_bytes)
}

/// Native executables and scripts: `elf`, `pe`, `mach-o`, `shebang`.
pub(crate) fn executable(blob: &Blob, head: &[u8]) -> Option<&'static str> {
    match head {
        [0x7f, b'E', b'L', b'F', 1 | 2, 1 | 2, 1, ..] => return Some("elf"),
        // Cosmopolitan binaries (llamafile): a shell script, a PE and an ELF at once.
        [b'M', b'Z', b'q', b'F', b'p', b'D', ..] => return Some("pe"),
        // The same without a part for Windows, and with debugging.
        [b'j', b'a', b'r', b't', b's', b'r', b'=', b'\'', ..]
        | [b'A', b'P', b'E', b'D', b'B', b'G', b'=', b'\'', ..] => return Some("elf"),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => return Some("wasm"),
        [b'M', b'Z', ..] => {
            let at = match le32(head, 0x3c) {
                Some(at) => at,
                None => le32(&blob.read_range(0x3c..0x40).ok()?, 0)?,
            };
            let at = u64::from(at);
            return (blob.read_range(at..at + 4).ok()? == b"PE\0\0").then_some("pe");
        }
        [b'#', b'!', rest @ ..] => {
            let line = rest.split(|b| *b == b'\n').next().unwrap_or(rest);
            let path = line.trim_ascii();
            let text = !path.is_empty() && path.iter().all(|b| (0x20..0x7f).contains(b) || *b == b'\t');
            return (text && path.starts_with(b"/")).then_some("shebang");
        }
        _ => {}
    }
    let magic = le32(head, 0)?;
    let swapped = magic.swap_bytes();
    let (thin, file_type) = match (magic, swapped) {
        (0xfeed_face | 0xfeed_facf, _) => (true, le32(head, 12)?),
        (_, 0xfeed_face | 0xfeed_facf) => (true, le32(head, 12)?.swap_bytes()),
        _ => (false, 0),
    };
    if thin {
        return (1..=12).contains(&file_type).then_some("mach-o");
    }
    // With offsets of 64 bits.
    if swapped == 0xcafe_babf {
        let n = le32(head, 4)?.swap_bytes();
        return (1..20).contains(&n).then_some("mach-o");
    }
    if swapped == 0xcafe_babe {
        // A universal binary gives its number of architectures here, a Java class its version (>= 45).
        let n = le32(head, 4)?.swap_bytes();
        return Some(if (1..20).contains(&n) { "mach-o" } else { "java-class" });
    }
    None
}

/// Archives, compressed streams and files of known structure.
fn container(blob: &Blob, head: &[u8]) -> Option<&'static str> {
    if head.starts_with(b"PK\x03\x04") {
        let known = matches!(le16(head, 8)?, 0 | 8 | 9 | 12 | 14 | 93 | 95 | 98 | 99);
        let name = le16(head, 26)?;
        return (le16(head, 4)? < 100 && known && (1..4096).contains(&name)).then_some("zip");
    }
    if head.starts_with(&[0x1f, 0x8b, 8]) {
        return (head.get(3)? & 0xe0 == 0).then_some("gzip");
    }
    if head.starts_with(b"BZh") {
        return (head.get(4..10)? == [0x31, 0x41, 0x59, 0x26, 0x53, 0x59]).then_some("bzip2");
    }
    let by_magic: [(&[u8], &str); 7] = [
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x89HDF\r\n\x1a\n", "hdf5"),
        (b"\x93NUMPY", "npy"),
        (b"GGUF\x03\0\0\0", "gguf"),
        (b"<?php", "php"),
        (b"Rar!\x1a\x07", "rar"),
    ];
    if let Some((_, name)) = by_magic.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some(name);
    }
    if head.len() >= 64 && blob.len() >= 512 && head.first().is_some_and(|b| b.is_ascii_graphic()) {
        let magic = blob.read_range(257..262).ok()?;
        return (magic == b"ustar").then_some("tar");
    }
    None
}

/// Does a pickle that names a callable and uses it begin at the start, or at a PROTO opcode in `head`?
fn pickle_in(blob: &Blob, head: &[u8]) -> bool {
    // What was read already decides for nearly all honest data.
    let short = (head.len() as u64) < blob.len();
    let first = if short { walk(&Blob::from_vec(head.to_vec()), 0) } else { walk(blob, 0) };
    if first.used || (short && first.ran_out && walk(blob, 0).used) {
        return true;
    }
    let protos = memchr::memchr_iter(0x80, head).filter(|at| *at > 0);
    protos
        .filter(|at| head.get(at + 1).is_some_and(|v| (2..=5).contains(v)))
        .take(8)
        .any(|at| walk(blob, at as u64).used)
}

fn identifier(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() < 256
        && !name[0].is_ascii_digit()
        && name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'))
}

/// The end of the pickle that begins at `start` (behind its STOP), whether it uses a callable, and opcodes walked.
pub(crate) fn pickle_at(blob: &Blob, start: u64) -> (Option<u64>, bool, u64) {
    let w = walk(blob, start);
    (w.end, w.used, w.steps)
}

/// What walking over opcodes found.
#[derive(Debug, Default, Clone, Copy)]
struct Walk {
    /// A global is imported and used before the first byte that is no opcode.
    used: bool,
    /// Behind the STOP opcode.
    end: Option<u64>,
    /// The data ended before anything was decided.
    ran_out: bool,
    names: u32,
    imported: bool,
    /// Imported in a way that chance produces too: counts only in a stream with beginning and end.
    perhaps: bool,
    perhaps_used: bool,
    protocol: bool,
    steps: u64,
}

fn walk(blob: &Blob, start: u64) -> Walk {
    const MAX_STEPS: usize = 1_000_000;
    let mut window = Window::new(blob.clone(), 4096);
    let mut w = Walk::default();
    let mut at = start;
    for _ in 0..MAX_STEPS {
        w.steps += 1;
        match step(&mut window, at, &mut w) {
            Some(next) if w.end.is_none() => at = next,
            _ => break,
        }
    }
    w
}

/// Bytes of argument after `op`, or the width of the length that precedes it.
enum Argument {
    Fixed(u64),
    Counted(usize),
    Line,
}

fn argument(op: u8) -> Option<Argument> {
    use Argument::{Counted, Fixed, Line};
    Some(match op {
        b'K' | b'h' | b'q' | 0x80 | 0x82 => Fixed(1),
        b'M' | 0x83 => Fixed(2),
        b'J' | b'j' | b'r' | 0x84 => Fixed(4),
        b'G' | 0x95 => Fixed(8),
        b'U' | b'C' | 0x8c | 0x8a => Counted(1),
        b'T' | b'B' | b'X' | 0x8b => Counted(4),
        0x8d | 0x8e | 0x96 => Counted(8),
        b'I' | b'L' | b'F' | b'S' | b'V' | b'P' | b'g' | b'p' | b'c' | b'i' => Line,
        b'(' | b'.' | b'0' | b'1' | b'2' | b'N' | b'Q' | b'R' | b'a' | b'b' | b'd' => Fixed(0),
        b'}' | b'e' | b'l' | b')' | b']' | b'o' | b's' | b't' | b'u' => Fixed(0),
        0x81 | 0x85..=0x89 | 0x8f..=0x94 | 0x97 | 0x98 => Fixed(0),
        _ => return None,
    })
}

/// One opcode; returns the offset of the next, or `None` where the walk ends.
fn step(window: &mut Window, at: u64, w: &mut Walk) -> Option<u64> {
    let len = window.len();
    let v = window.view(at, 16).ok()?;
    let Some(&op) = v.first() else {
        w.ran_out = true;
        return None;
    };
    let next = match argument(op)? {
        Argument::Line => return line(window, at, op, w),
        Argument::Fixed(n) => at.checked_add(1 + n)?,
        Argument::Counted(width) => {
            let Some(bytes) = v.get(1..=width) else {
                w.ran_out = true;
                return None;
            };
            let size = bytes.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
            let data = at + 1 + width as u64;
            if matches!(op, 0x8c | b'X' | b'U' | b'T' | 0x8d) && (1..256).contains(&size) {
                let v = window.view(data, size as usize).ok()?;
                w.names += u32::from(v.get(..size as usize).is_some_and(identifier));
            }
            data.checked_add(size)?
        }
    };
    match op {
        0x80 => {
            // The unpickler refuses protocols it does not know.
            let protocol = window.view(at + 1, 1).ok()?.first().copied()?;
            if protocol > 5 {
                return None;
            }
            w.protocol |= protocol >= 2;
        }
        0x93 if w.names >= 2 => w.imported = true,
        0x82..=0x84 | 0x93 => w.perhaps = true,
        b'R' | b'b' | b'o' | b'a' | b'e' | b's' | b'u' | 0x81 | 0x90 | 0x92 => {
            w.used |= w.imported;
            w.perhaps_used |= w.perhaps;
        }
        b'.' => {
            w.end = Some(next);
            w.used |= w.perhaps_used && w.protocol;
        }
        _ => {}
    }
    if next > len {
        w.ran_out = true;
        return None;
    }
    Some(next)
}

/// An opcode whose argument is a line of text; GLOBAL and INST have two.
fn line(window: &mut Window, at: u64, op: u8, w: &mut Walk) -> Option<u64> {
    const MAX_LINE: usize = 4096;
    let v = window.view(at + 1, MAX_LINE).ok()?;
    let v = &v[..v.len().min(MAX_LINE)];
    let Some(end) = memchr::memchr(b'\n', v) else {
        w.ran_out = v.len() < MAX_LINE;
        return None;
    };
    let mut next = at + end as u64 + 2;
    w.names += u32::from(matches!(op, b'S' | b'V'));
    if matches!(op, b'c' | b'i') {
        if !identifier(v[..end].trim_ascii()) {
            return None;
        }
        let second = &v[end + 1..];
        let Some(len) = memchr::memchr(b'\n', second) else {
            w.ran_out = v.len() < MAX_LINE;
            return None;
        };
        if !identifier(second[..len].trim_ascii()) {
            return None;
        }
        next += len as u64 + 1;
        w.imported = true;
        w.used |= op == b'i';
    }
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(bytes: &[u8]) -> Option<&'static str> {
        hidden(&Blob::from_vec(bytes.to_vec()), &bytes[..bytes.len().min(64)])
    }

    #[test]
    fn pickles_that_use_a_callable_are_found() {
        assert_eq!(found(b"cposix\nsystem\n(S'id'\ntR."), Some("pickle"));
        assert_eq!(found(b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R."), Some("pickle"));
        assert_eq!(found(b"(S'id'\niposix\nsystem\n."), Some("pickle"));
        assert_eq!(
            found(b"\0\0\0\0\x80\x02cposix\nsystem\nU\x02id\x85R."),
            Some("pickle"),
            "behind a prefix"
        );
    }

    #[test]
    fn a_long_way_to_the_call_is_gone() {
        let padded =
            [b"\x80\x04".to_vec(), b"N0".repeat(100_000), b"cposix\nsystem\n(S'id'\ntR.".to_vec()].concat();
        assert_eq!(found(&padded), Some("pickle"));
        let blob = [&b"B\xff\xff\x00\x00"[..], &[0; 65535], b"0cposix\nsystem\n(S'id'\ntR."].concat();
        assert_eq!(found(&blob), Some("pickle"));
    }

    #[test]
    fn plain_data_that_looks_like_opcodes_is_not() {
        assert_eq!(found(&[0u8; 512]), None);
        assert_eq!(found(b"\x80\x02]q\0(K\x01K\x02e."), None, "a pickle without any callable is data");
        assert_eq!(found(&[b'('; 4096]), None);
        assert_eq!(found(&[0x80, 0x3f].repeat(4096)), None, "bfloat16 ones are PROTO opcodes");
        assert_eq!(found(b"MZ\0\0"), None);
        assert_eq!(found(b"#!\x01\x02"), None);
        let floats: Vec<u8> = (0..4096u32).flat_map(|i| (i as f32 / 7.0).sin().to_le_bytes()).collect();
        assert_eq!(found(&floats), None);
    }

    #[test]
    fn chance_is_not_taken_for_a_pickle() {
        // Bytes of a small generator, raw and as the mantissas of floats of common size.
        let mut x = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x
        };
        for _ in 0..30_000 {
            let raw: Vec<u8> = (0..64).flat_map(|_| next().to_le_bytes()).collect();
            assert_eq!(found(&raw), None, "{raw:?}");
            let floats: Vec<u8> =
                raw.chunks_exact(4).flat_map(|c| [c[0], c[1], c[2], 0x3c + (c[3] & 0x83)]).collect();
            assert_eq!(found(&floats), None, "{floats:?}");
        }
    }

    #[test]
    fn executables_need_more_than_a_prefix() {
        assert_eq!(found(b"\x7fELF\x02\x01\x01\0\0"), Some("elf"));
        assert_eq!(found(b"\x7fELF\x09\x01\x01\0\0"), None);
        let mut pe = vec![0u8; 256];
        pe[..2].copy_from_slice(b"MZ");
        pe[0x3c] = 0x80;
        pe[0x80..0x84].copy_from_slice(b"PE\0\0");
        assert_eq!(found(&pe), Some("pe"));
        assert_eq!(found(b"#!/bin/sh\necho"), Some("shebang"));
    }
}
