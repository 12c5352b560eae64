//! A forward-moving view of a [`Blob`] for parsers that read mostly in sequence.

use crate::Blob;
use std::io;

/// Buffered positional access. In-memory blobs are viewed without copying.
pub struct Window {
    blob: Blob,
    buf: Vec<u8>,
    start: u64,
    chunk: usize,
}

impl Window {
    /// Default bytes fetched at once.
    pub const CHUNK: usize = 256 * 1024;

    /// A window over `blob` that fetches `chunk` bytes at once.
    pub fn new(blob: Blob, chunk: usize) -> Self {
        Self { blob, buf: Vec::new(), start: 0, chunk }
    }

    /// Length of the underlying blob.
    pub fn len(&self) -> u64 {
        self.blob.len()
    }

    /// True if the underlying blob is empty.
    pub fn is_empty(&self) -> bool {
        self.blob.is_empty()
    }

    /// The bytes from `at` on: at least `min` of them unless the blob ends before.
    pub fn view(&mut self, at: u64, min: usize) -> io::Result<&[u8]> {
        if at >= self.blob.len() {
            return Ok(&[]);
        }
        if self.blob.as_slice().is_some() {
            let all = self.blob.as_slice().unwrap_or(&[]);
            return Ok(&all[at as usize..]);
        }
        let left = self.blob.len() - at;
        let need = (min as u64).min(left);
        let inside = at >= self.start && at + need <= self.start + self.buf.len() as u64;
        if !inside || self.buf.is_empty() {
            let want = (self.chunk.max(min) as u64).min(left) as usize;
            self.buf.resize(want, 0);
            let n = self.blob.read_at(&mut self.buf, at)?;
            self.buf.truncate(n);
            self.start = at;
        }
        Ok(&self.buf[(at - self.start) as usize..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ReadAt;
    use std::sync::Arc;

    struct Hidden(Vec<u8>);
    impl ReadAt for Hidden {
        fn len(&self) -> u64 {
            self.0.as_slice().len() as u64
        }
        fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
            self.0.read_at(buf, offset)
        }
    }

    #[test]
    fn any_chunk_size_gives_the_same_bytes() {
        let data: Vec<u8> = (0..=255).collect();
        for chunk in [1, 3, 64, 1000] {
            let mut w = Window::new(Blob::new(Arc::new(Hidden(data.clone()))), chunk);
            for at in [0u64, 1, 200, 3, 250] {
                let v = w.view(at, 5).unwrap();
                assert!(v.len() >= 5, "chunk {chunk} at {at}");
                assert_eq!(v[..5], data[at as usize..at as usize + 5]);
            }
            assert_eq!(w.view(254, 5).unwrap(), [254, 255]);
            assert_eq!(w.view(256, 5).unwrap(), [] as [u8; 0]);
        }
    }
}
