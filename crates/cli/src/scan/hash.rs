//! SHA-256 of what is scanned, computed here while a worker parses.

use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use wb_blob::ReadAt;

/// Bytes read at a time: large enough that calls cost nothing, small enough to stay in cache.
const BLOCK: usize = 1 << 20;

/// Files up to this size are hashed on the thread that waits for the worker anyway, in bytes.
pub const INLINE: u64 = 256 << 10;

/// SHA-256 of the first `len` bytes of a file, as lower-case hex.
pub fn file(file: &File, len: u64) -> io::Result<String> {
    digest(len, |buf, at| file.read_at(buf, at))
}

/// SHA-256 of bytes in memory, as lower-case hex.
pub fn bytes(bytes: &[u8]) -> String {
    hex(Sha256::new_with_prefix(bytes))
}

/// SHA-256 of a source, as lower-case hex.
pub fn source(source: &dyn ReadAt) -> io::Result<String> {
    digest(source.len(), |buf, at| source.read_at(buf, at))
}

fn digest(len: u64, read: impl Fn(&mut [u8], u64) -> io::Result<usize>) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buf = vec![0; BLOCK.min(usize::try_from(len).unwrap_or(BLOCK))];
    let mut at = 0;
    while at < len {
        let want = usize::try_from(len - at).unwrap_or(BLOCK).min(buf.len());
        let Some(room) = buf.get_mut(..want) else { break };
        let n = match read(room, at) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if n == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "became shorter while it was read"));
        }
        hasher.update(room.get(..n).unwrap_or_default());
        at += n as u64;
    }
    Ok(hex(hasher))
}

fn hex(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digests() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(source(&Vec::new()).unwrap(), empty);
        assert_eq!(source(&b"abc".to_vec()).unwrap(), abc);
        assert_eq!(bytes(b"abc"), abc);
    }

    #[test]
    fn blocks_do_not_matter() {
        let bytes: Vec<u8> = (0..3 * BLOCK + 17).map(|i| (i % 251) as u8).collect();
        let whole: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(source(&bytes).unwrap(), whole);
    }
}
