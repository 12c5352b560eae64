//! Compressed forms. Real encoders, except zstandard, for which one raw block is enough.

use crate::Error;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use lzma_rust2::{LzmaOptions, LzmaWriter, XzOptions, XzWriter};
use std::io::Write;

pub(crate) fn deflate(data: &[u8]) -> Result<Vec<u8>, Error> {
    let mut w = DeflateEncoder::new(Vec::new(), Compression::best());
    w.write_all(data)?;
    Ok(w.finish()?)
}

pub(crate) fn gzip(data: &[u8]) -> Result<Vec<u8>, Error> {
    let mut w = GzEncoder::new(Vec::new(), Compression::best());
    w.write_all(data)?;
    Ok(w.finish()?)
}

pub(crate) fn zlib(data: &[u8]) -> Result<Vec<u8>, Error> {
    let mut w = ZlibEncoder::new(Vec::new(), Compression::default());
    w.write_all(data)?;
    Ok(w.finish()?)
}

pub(crate) fn bzip2(data: &[u8]) -> Result<Vec<u8>, Error> {
    let mut w = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    w.write_all(data)?;
    Ok(w.finish()?)
}

pub(crate) fn xz(data: &[u8]) -> Result<Vec<u8>, Error> {
    let mut w = XzWriter::new(Vec::new(), XzOptions::with_preset(6))?;
    w.write_all(data)?;
    Ok(w.finish()?)
}

pub(crate) fn lzma(data: &[u8]) -> Result<Vec<u8>, Error> {
    let mut w = LzmaWriter::new_use_header(Vec::new(), &LzmaOptions::with_preset(6), None)?;
    w.write_all(data)?;
    Ok(w.finish()?)
}

pub(crate) fn lz4(data: &[u8]) -> Result<Vec<u8>, Error> {
    let mut w = lz4_flex::frame::FrameEncoder::new(Vec::new());
    w.write_all(data)?;
    w.finish().map_err(|e| Error::new(e.to_string()))
}

/// RFC 8878: magic, a single-segment header with a one-byte content size, one last raw block.
pub(crate) fn zstd_raw(data: &[u8]) -> Result<Vec<u8>, Error> {
    let size = u8::try_from(data.len()).map_err(|_| Error::new("zstd-raw holds at most 255 bytes"))?;
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, size];
    let block = u32::from(size) << 3 | 1;
    out.extend(&block.to_le_bytes()[..3]);
    out.extend(data);
    Ok(out)
}
