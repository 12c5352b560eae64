//! A GGUF writer (ggml `docs/gguf.md`) whose counts and tensor infos may lie.

use super::{Builder, Source};
use crate::Error;
use serde::Deserialize;

/// A GGUF file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gguf {
    #[serde(default = "three")]
    version: u32,
    #[serde(default)]
    big_endian: bool,
    /// Key, type, value; a key may be given twice.
    #[serde(default)]
    kv: Vec<(String, String, toml::Value)>,
    #[serde(default)]
    tensors: Vec<Tensor>,
    /// A tensor count that lies.
    #[serde(default)]
    tensor_count: Option<u64>,
    /// A key count that lies.
    #[serde(default)]
    kv_count: Option<u64>,
    /// Pads the header to a multiple of this; 0 for no padding.
    #[serde(default = "thirty_two")]
    align: usize,
    #[serde(default)]
    data: Option<Box<Source>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tensor {
    name: String,
    dims: Vec<i64>,
    /// ggml type number; 0 is F32.
    #[serde(rename = "type")]
    kind: u32,
    offset: u64,
}

fn three() -> u32 {
    3
}

fn thirty_two() -> usize {
    32
}

struct Writer {
    out: Vec<u8>,
    big: bool,
}

impl Writer {
    fn uint(&mut self, v: u64, width: usize) {
        let le = v.to_le_bytes();
        let used = &le[..width];
        if self.big {
            self.out.extend(used.iter().rev());
        } else {
            self.out.extend(used);
        }
    }

    fn text(&mut self, s: &str) {
        self.uint(s.len() as u64, 8);
        self.out.extend(s.as_bytes());
    }

    fn value(&mut self, kind: &str, v: &toml::Value) -> Result<(), Error> {
        let bad = || Error::new(format!("gguf: {v} is no {kind}"));
        if let Some(item) = kind.strip_prefix("array of ") {
            let items = v.as_array().ok_or_else(bad)?;
            self.uint(type_number(item)?, 4);
            self.uint(items.len() as u64, 8);
            return items.iter().try_for_each(|i| self.value(item, i));
        }
        match kind {
            "string" => self.text(v.as_str().ok_or_else(bad)?),
            "bool" => self.uint(u64::from(v.as_bool().ok_or_else(bad)?), 1),
            "f32" => self.uint(u64::from((v.as_float().ok_or_else(bad)? as f32).to_bits()), 4),
            "f64" => self.uint(v.as_float().ok_or_else(bad)?.to_bits(), 8),
            _ => {
                let width = match kind {
                    "u8" | "i8" => 1,
                    "u16" | "i16" => 2,
                    "u32" | "i32" => 4,
                    _ => 8,
                };
                self.uint(v.as_integer().ok_or_else(bad)? as u64, width);
            }
        }
        Ok(())
    }
}

fn type_number(kind: &str) -> Result<u64, Error> {
    const NAMES: [&str; 13] =
        ["u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"];
    let name = if kind.starts_with("array of ") { "array" } else { kind };
    let at = NAMES.iter().position(|n| *n == name);
    at.map(|n| n as u64).ok_or_else(|| Error::new(format!("gguf: no type `{kind}`")))
}

pub(crate) fn build(gguf: &Gguf, b: &Builder<'_>) -> Result<Vec<u8>, Error> {
    let mut w = Writer { out: b"GGUF".to_vec(), big: gguf.big_endian };
    w.uint(u64::from(gguf.version), 4);
    w.uint(gguf.tensor_count.unwrap_or(gguf.tensors.len() as u64), 8);
    w.uint(gguf.kv_count.unwrap_or(gguf.kv.len() as u64), 8);
    for (key, kind, value) in &gguf.kv {
        w.text(key);
        w.uint(type_number(kind)?, 4);
        w.value(kind, value)?;
    }
    for t in &gguf.tensors {
        w.text(&t.name);
        w.uint(t.dims.len() as u64, 4);
        t.dims.iter().for_each(|d| w.uint(*d as u64, 8));
        w.uint(u64::from(t.kind), 4);
        w.uint(t.offset, 8);
    }
    let mut out = w.out;
    if gguf.align > 0 {
        let size = out.len().next_multiple_of(gguf.align);
        out.resize(size, 0);
    }
    if let Some(data) = &gguf.data {
        out.extend(b.source(data)?);
    }
    Ok(out)
}
