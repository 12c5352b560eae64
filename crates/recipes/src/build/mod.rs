//! Sources: the ways in which a recipe describes bytes.

mod archive;
mod compress;
mod executorch;
mod flat;
mod flat_text;
mod gguf;
mod hdf5;
mod proto;
mod python_code;
mod sevenz;
mod table;
mod tar;
mod tflite;
mod zip;

use crate::value::{eval, hex};
use crate::{Error, assemble};
use serde::Deserialize;
use std::collections::BTreeMap;

pub(crate) use archive::Member;

/// Parts may refer to parts this deep; a cycle ends here.
const MAX_DEPTH: u32 = 16;

/// A description of bytes: a table with exactly one of these keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Source {
    /// UTF-8 text.
    Text(String),
    /// Hex digits.
    Hex(String),
    /// A byte expression, see `value.rs`.
    Bytes(String),
    /// Another part, by name.
    Part(String),
    /// Pickle assembler.
    Pickle(String),
    /// Several sources, one after another.
    Concat(Vec<Source>),
    /// `of` with every occurrence of one byte expression replaced by another; each must occur.
    Patched { of: Box<Source>, replace: Vec<(String, String)> },
    /// `text` `count` times, `{i}` replaced by the number, joined by `join`.
    Repeat {
        text: String,
        count: u32,
        #[serde(default)]
        join: String,
    },
    /// 32-bit floats, little-endian.
    F32(Vec<f32>),
    /// `count` floats 1.0 whose lowest bits spell `bytes`, most significant bit first, over and over.
    LowBits { bytes: String, count: usize },
    /// A zip archive.
    Zip(zip::Zip),
    /// A tar archive.
    Tar(tar::Tar),
    /// A 7z archive of stored members.
    #[serde(rename = "7z")]
    SevenZ(Vec<Member>),
    /// A gzip member.
    Gzip(Box<Source>),
    /// A zlib stream.
    Zlib(Box<Source>),
    /// A bzip2 stream.
    Bzip2(Box<Source>),
    /// An xz stream.
    Xz(Box<Source>),
    /// A `.lzma` stream (LZMA alone).
    Lzma(Box<Source>),
    /// An lz4 frame.
    Lz4(Box<Source>),
    /// A zstandard frame of one raw block.
    ZstdRaw(Box<Source>),
    /// joblib's oldest compressed form: `ZF`, a hex length of 19 characters, zlib.
    JoblibZf(Box<Source>),
    /// A `.npy` file.
    Npy {
        header: String,
        #[serde(default = "one")]
        version: u8,
        #[serde(default)]
        header_size: Option<u32>,
        data: Box<Source>,
    },
    /// A safetensors file: header text, optional lying length, data.
    Safetensors {
        header: Box<Source>,
        #[serde(default)]
        header_len: Option<u64>,
        data: Box<Source>,
    },
    /// A GGUF file.
    Gguf(gguf::Gguf),
    /// Protobuf assembler, see `proto.rs`.
    Proto(String),
    /// FlatBuffers assembler, see `flat_text.rs`.
    Flat(String),
    /// A table as LevelDB writes it.
    Table(table::Table),
    /// A TensorFlow Lite model.
    #[serde(rename = "tflite")]
    TfLite(tflite::TfLite),
    /// An ExecuTorch program.
    #[serde(rename = "executorch")]
    ExecuTorch(executorch::ExecuTorch),
    /// A marshalled Python function.
    PythonCode(python_code::Code),
    /// In base64.
    Base64(Box<Source>),
    /// `text` with every `{name}` of `with` replaced.
    Filled { text: String, with: BTreeMap<String, Source> },
    /// An HDF5 file.
    Hdf5(Box<hdf5::Hdf5>),
}

fn one() -> u8 {
    1
}

/// Context of a build: the recipe's parts and the depth of references.
pub(crate) struct Builder<'a> {
    parts: &'a BTreeMap<String, Source>,
    depth: u32,
}

/// Builds `source`.
pub(crate) fn build(source: &Source, parts: &BTreeMap<String, Source>, depth: u32) -> Result<Vec<u8>, Error> {
    Builder { parts, depth }.source(source)
}

impl Builder<'_> {
    pub(crate) fn source(&self, source: &Source) -> Result<Vec<u8>, Error> {
        let resolve = |name: &str| self.part(name);
        Ok(match source {
            Source::Text(text) => text.as_bytes().to_vec(),
            Source::Hex(text) => hex(text)?,
            Source::Bytes(text) => eval(text, &resolve)?,
            Source::Part(name) => self.part(name)?,
            Source::Pickle(text) => assemble(text, &resolve)?,
            Source::Concat(items) => {
                items.iter().map(|s| self.source(s)).collect::<Result<Vec<_>, _>>()?.concat()
            }
            Source::Repeat { text, count, join } => {
                let items: Vec<String> = (0..*count).map(|i| text.replace("{i}", &i.to_string())).collect();
                items.join(join).into_bytes()
            }
            Source::Patched { of, replace } => {
                let mut bytes = self.source(of)?;
                for (from, to) in replace {
                    bytes = patched(&bytes, &eval(from, &resolve)?, &eval(to, &resolve)?)
                        .ok_or_else(|| Error::new(format!("nothing to patch: {from}")))?;
                }
                bytes
            }
            Source::F32(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Source::LowBits { bytes, count } => low_bits(&eval(bytes, &resolve)?, *count),
            Source::Zip(zip) => zip::build(zip, self)?,
            Source::Tar(tar) => tar::build(tar, self)?,
            Source::SevenZ(members) => sevenz::build(members, self)?,
            Source::Gzip(inner) => compress::gzip(&self.source(inner)?)?,
            Source::Zlib(inner) => compress::zlib(&self.source(inner)?)?,
            Source::Bzip2(inner) => compress::bzip2(&self.source(inner)?)?,
            Source::Xz(inner) => compress::xz(&self.source(inner)?)?,
            Source::Lzma(inner) => compress::lzma(&self.source(inner)?)?,
            Source::Lz4(inner) => compress::lz4(&self.source(inner)?)?,
            Source::ZstdRaw(inner) => compress::zstd_raw(&self.source(inner)?)?,
            Source::JoblibZf(inner) => {
                let raw = self.source(inner)?;
                let mut out = format!("ZF{:<19}", format!("{:#x}", raw.len())).into_bytes();
                out.extend(compress::zlib(&raw)?);
                out
            }
            Source::Npy { header, version, header_size, data } => {
                npy(header, *version, *header_size, &self.source(data)?)?
            }
            Source::Safetensors { header, header_len, data } => {
                let header = self.source(header)?;
                let mut out = header_len.unwrap_or(header.len() as u64).to_le_bytes().to_vec();
                out.extend(header);
                out.extend(self.source(data)?);
                out
            }
            Source::Gguf(gguf) => gguf::build(gguf, self)?,
            Source::Proto(text) => proto::build(text, self)?,
            Source::Flat(text) => flat_text::build(text, self)?,
            Source::Table(table) => table::build(table, self)?,
            Source::TfLite(model) => tflite::build(model, self)?,
            Source::ExecuTorch(program) => executorch::build(program, self)?,
            Source::PythonCode(code) => python_code::build(code)?,
            Source::Base64(inner) => python_code::base64(&self.source(inner)?),
            Source::Filled { text, with } => {
                let mut bytes = text.as_bytes().to_vec();
                for (name, source) in with {
                    bytes = patched(&bytes, format!("{{{name}}}").as_bytes(), &self.source(source)?)
                        .ok_or_else(|| Error::new(format!("nothing to fill: {name}")))?;
                }
                bytes
            }
            Source::Hdf5(hdf5) => hdf5::build(hdf5, self)?,
        })
    }

    pub(crate) fn part(&self, name: &str) -> Result<Vec<u8>, Error> {
        if self.depth >= MAX_DEPTH {
            return Err(Error::new(format!("part `{name}` refers to itself")));
        }
        let source = self.parts.get(name).ok_or_else(|| Error::new(format!("no part `{name}`")))?;
        build(source, self.parts, self.depth + 1).map_err(|e| e.at(format_args!("part {name}")))
    }
}

fn patched(bytes: &[u8], from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut rest, mut found) = (bytes, false);
    while let Some(first) = rest.first() {
        if !from.is_empty() && rest.starts_with(from) {
            out.extend(to);
            rest = &rest[from.len()..];
            found = true;
        } else {
            out.push(*first);
            rest = &rest[1..];
        }
    }
    found.then_some(out)
}

fn low_bits(bytes: &[u8], count: usize) -> Vec<u8> {
    let bits = bytes.iter().flat_map(|b| (0..8).rev().map(move |i| u32::from(b >> i & 1)));
    let one = 1f32.to_bits();
    bits.cycle().take(count).flat_map(|bit| (one | bit).to_le_bytes()).collect()
}

/// NumPy's format (NEP 1): magic, version, header length (2 bytes in version 1, else 4), header
/// padded by blanks so that data starts at a multiple of 64, or to `header_size` bytes.
fn npy(header: &str, version: u8, header_size: Option<u32>, data: &[u8]) -> Result<Vec<u8>, Error> {
    let prefix = if version == 1 { 10 } else { 12 };
    let size = match header_size {
        Some(n) => n as usize,
        None => (prefix + header.len() + 1).next_multiple_of(64) - prefix,
    };
    let blanks =
        size.checked_sub(header.len() + 1).ok_or_else(|| Error::new("npy: header_size is too small"))?;
    let mut out = b"\x93NUMPY".to_vec();
    out.extend([version, 0]);
    if version == 1 {
        let short = u16::try_from(size).map_err(|_| Error::new("npy: header too long for version 1"))?;
        out.extend(short.to_le_bytes());
    } else {
        out.extend((size as u32).to_le_bytes());
    }
    out.extend(header.as_bytes());
    out.extend(b" ".repeat(blanks));
    out.push(b'\n');
    out.extend(data);
    Ok(out)
}
