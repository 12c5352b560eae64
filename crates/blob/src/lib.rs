//! Random-access views of bytes, and the budgets that bound every analysis of them.
//!
//! A local file, a byte string in memory and a file behind HTTP ranges are the same thing to the
//! scanner: a [`Blob`]. Nothing here knows about formats, and nothing here does network I/O.
#![warn(missing_docs)]

mod blocks;
mod budget;
mod digest;
mod read_at;
mod window;

pub use budget::{Budget, Exhausted, Limits, Resource};
pub use digest::{NotADigest, Sha256Digest};
pub use read_at::{Blob, BlobReader, ReadAt};
pub use window::Window;
