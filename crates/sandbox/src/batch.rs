//! Small files handed to a worker together: what passes between two processes costs more than they do.

use crate::wire::{self, MAX_BATCH};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Contents of small files, in the order in which they were added.
#[derive(Debug, Default)]
pub struct Batch {
    lengths: Vec<u32>,
    bytes: Vec<u8>,
}

impl Batch {
    /// Largest file that goes into a batch, in bytes. Larger ones are handed over as descriptors.
    pub const MAX_FILE: u64 = 64 << 10;

    /// Number of files.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// True if there is no file in it.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// True if a file of `len` bytes can be added.
    pub fn takes(&self, len: u64) -> bool {
        let table = 4 * (self.lengths.len() as u64 + 2);
        len <= Self::MAX_FILE && self.bytes.len() as u64 + table + len <= MAX_BATCH
    }

    /// Adds the first `len` bytes of a file.
    ///
    /// # Errors
    /// Reading fails or the file ends before; or the batch does not take it. It is as it was then.
    pub fn read(&mut self, file: &File, len: u64) -> io::Result<()> {
        let before = self.bytes.len();
        let (true, Ok(length)) = (self.takes(len), u32::try_from(len)) else {
            return Err(io::ErrorKind::StorageFull.into());
        };
        self.bytes.resize(before + length as usize, 0);
        let room = self.bytes.get_mut(before..).unwrap_or_default();
        file.read_exact_at(room, 0).inspect_err(|_| self.bytes.truncate(before))?;
        self.lengths.push(length);
        Ok(())
    }

    /// The contents of the files.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[..];
        self.lengths.iter().map(move |&len| {
            let (file, after) = rest.split_at_checked(len as usize).unwrap_or_default();
            rest = after;
            file
        })
    }

    /// Number of files and their lengths, as they go before the contents.
    pub(crate) fn table(&self) -> Vec<u8> {
        wire::batch_table(&self.lengths)
    }

    /// All contents.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn what_goes_in_comes_out_and_crosses_the_wire() {
        let mut batch = Batch::default();
        let files: [&[u8]; 4] = [b"one", b"", b"three", &[7; 1000]];
        for bytes in files {
            batch.read(&file(bytes), bytes.len() as u64).unwrap();
        }
        assert_eq!(batch.iter().collect::<Vec<_>>(), files);
        let body = [batch.table(), batch.bytes().to_vec()].concat();
        assert_eq!(wire::split_batch(&body).unwrap(), files);
        assert!(wire::split_batch(&body[..body.len() - 1]).is_none());
        assert!(wire::split_batch(&[&body[..], b"x"].concat()).is_none());
        assert!(wire::split_batch(&[0xff; 16]).is_none());
    }

    #[test]
    fn a_file_that_became_shorter_leaves_the_batch_as_it_was() {
        let mut batch = Batch::default();
        batch.read(&file(b"one"), 3).unwrap();
        assert!(batch.read(&file(b"two"), 4).is_err());
        assert_eq!(batch.iter().collect::<Vec<_>>(), [b"one"]);
    }

    #[test]
    fn it_stays_within_one_message() {
        let mut batch = Batch::default();
        let big = vec![1; Batch::MAX_FILE as usize];
        while batch.takes(Batch::MAX_FILE) {
            batch.read(&file(&big), Batch::MAX_FILE).unwrap();
        }
        assert!((batch.table().len() + batch.bytes().len()) as u64 <= MAX_BATCH);
        assert!(batch.len() >= 15);
        assert!(batch.read(&file(&big), Batch::MAX_FILE).is_err());
        assert!(!Batch::default().takes(Batch::MAX_FILE + 1));
    }
}
