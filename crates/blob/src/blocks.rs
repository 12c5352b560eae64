//! The last few blocks of a file in which something small was looked at.

use std::io;

/// Bytes in a block.
const BLOCK: u64 = 4096;
/// Reads up to this size go through blocks: headers, magic numbers, opcodes.
const SMALL: usize = 512;
/// Blocks kept.
const KEPT: usize = 8;

#[derive(Debug, Default)]
struct Block {
    at: u64,
    /// At most [`BLOCK`] bytes; fewer at the end of the file; none if nothing was read yet.
    bytes: Vec<u8>,
}

/// Blocks by offset; the one that was read longest ago gives way.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    kept: Vec<Block>,
    next: usize,
}

impl Blocks {
    /// Reads at `offset`: small reads inside one block from what is kept, others by `read`.
    pub(crate) fn read(
        &mut self,
        buf: &mut [u8],
        offset: u64,
        read: impl Fn(&mut [u8], u64) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let at = offset - offset % BLOCK;
        let inside = (offset - at) as usize;
        if buf.len() > SMALL || inside + buf.len() > BLOCK as usize {
            return read(buf, offset);
        }
        let kept = self.kept.iter().position(|b| b.at == at);
        let index = match kept {
            Some(index) => index,
            None => self.fetch(at, &read)?,
        };
        let found = self.kept.get(index).and_then(|b| b.bytes.get(inside..inside + buf.len()));
        match found {
            Some(bytes) => {
                buf.copy_from_slice(bytes);
                Ok(bytes.len())
            }
            // At the end of the file the file itself says what there is.
            None => read(buf, offset),
        }
    }

    /// Reads a block into the place of the oldest; which.
    fn fetch(&mut self, at: u64, read: impl Fn(&mut [u8], u64) -> io::Result<usize>) -> io::Result<usize> {
        let index = self.next;
        self.next = (self.next + 1) % KEPT;
        if self.kept.len() <= index {
            self.kept.push(Block::default());
        }
        let Some(block) = self.kept.get_mut(index) else { return Ok(index) };
        // Until it is read, it is no block of this file.
        block.at = u64::MAX;
        block.bytes.resize(BLOCK as usize, 0);
        let n = read(&mut block.bytes, at)?;
        block.bytes.truncate(n);
        block.at = at;
        Ok(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn any_reads_give_the_bytes_of_the_file() {
        let file: Vec<u8> = (0..60_000u32).map(|i| (i % 251) as u8).collect();
        let read = |buf: &mut [u8], at: u64| {
            let rest = file.get(at as usize..).unwrap_or_default();
            let n = rest.len().min(buf.len());
            buf[..n].copy_from_slice(&rest[..n]);
            Ok(n)
        };
        let mut blocks = Blocks::default();
        let mut seed = 7u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let (at, len) = ((seed >> 33) % 61_000, (seed >> 20) as usize % 700);
            let (mut got, mut want) = (vec![0; len], vec![0; len]);
            let n = blocks.read(&mut got, at, read).unwrap();
            assert_eq!(n, read(&mut want, at).unwrap());
            assert_eq!(got, want);
        }
    }

    #[test]
    fn the_same_header_is_read_once_and_an_error_is_not_kept() {
        let calls = Cell::new(0);
        let read = |buf: &mut [u8], _: u64| {
            calls.set(calls.get() + 1);
            if calls.get() == 1 {
                return Err(io::ErrorKind::TimedOut.into());
            }
            buf.fill(9);
            Ok(buf.len())
        };
        let mut blocks = Blocks::default();
        let mut buf = [0; 16];
        assert!(blocks.read(&mut buf, 5000, read).is_err());
        for _ in 0..10 {
            assert_eq!(blocks.read(&mut buf, 5000, read).unwrap(), 16);
            assert_eq!(buf, [9; 16]);
        }
        assert_eq!(calls.get(), 2);
    }
}
