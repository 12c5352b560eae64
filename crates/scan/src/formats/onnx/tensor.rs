//! Tensors: where their data lies, and whether it is as long as type and shape say.

use super::super::protobuf::{Field, LEN, Span};
use super::{Model, external, schema};
use crate::cx::Stop;
use wb_verdict::{FactKind, escape};

#[derive(Default)]
struct Tensor {
    name: String,
    dims: Vec<u64>,
    kind: u64,
    raw: Option<Field>,
    /// Keys and values of the external data, in order.
    external: Vec<(String, String)>,
    /// The tensor says that its data lies elsewhere.
    elsewhere: bool,
}

/// Bits of an element of a type; `None` for text and types that are not known.
fn bits(kind: u64) -> Option<u64> {
    Some(match kind {
        25 | 26 => 2,
        21..=23 => 4,
        27 | 28 => 6,
        2 | 3 | 9 | 17..=20 | 24 => 8,
        4 | 5 | 10 | 16 => 16,
        1 | 6 | 12 => 32,
        7 | 11 | 13 | 14 => 64,
        15 => 128,
        _ => return None,
    })
}

impl Model<'_, '_> {
    /// Reads a tensor; returns its name.
    pub(super) fn tensor(&mut self, span: Span, place: &str) -> Result<String, Stop> {
        self.within(|m| m.tensor_fields(span, place))
    }

    fn tensor_fields(&mut self, mut span: Span, place: &str) -> Result<String, Stop> {
        const MOST_DIMS: usize = 64;
        const MOST_ENTRIES: usize = 32;
        self.cx.budget.entries(1)?;
        let start = span.at;
        let (mut t, mut seen) = (Tensor::default(), 0);
        while let Some(f) = self.wire.next(&mut span, self.cx)? {
            if !self.expected(&schema::TENSOR, &f, &mut seen)? {
                continue;
            }
            match f.number {
                1 => {
                    t.dims.extend(self.wire.numbers(&f, 0, MOST_DIMS + 1)?);
                    t.dims.truncate(MOST_DIMS + 1);
                }
                2 => t.kind = f.value,
                8 => t.name = self.wire.text(&f, 256)?,
                9 => {
                    self.wire.opaque(&f, &format!("tensor {}", escape(&t.name)), self.cx)?;
                    t.raw = Some(f);
                }
                // Packed floats lie as they are; texts are data like any other.
                4..=7 | 10 | 11 if f.wire == LEN => {
                    self.wire.opaque(&f, &format!("tensor {}", escape(&t.name)), self.cx)?;
                }
                12 => self.prose(&f, "tensor", false)?,
                13 => {
                    let pair = self.location_part(f.span())?;
                    if t.external.len() < MOST_ENTRIES {
                        t.external.push(pair);
                    } else {
                        let detail = format!("more than {MOST_ENTRIES} entries of external data");
                        self.once("onnx-external-entries", "", |cx| {
                            cx.structure(f.tag, "onnx-external-entries", detail);
                        });
                    }
                }
                14 => t.elsewhere |= f.value != 0,
                16 => self.pair(&f, "tensor")?,
                _ => {}
            }
        }
        if t.dims.len() > MOST_DIMS {
            let detail = format!("{}: more than {MOST_DIMS} dimensions", escape(&t.name));
            self.cx.structure(start, "onnx-tensor-dims", detail);
        } else {
            self.size(&t, start);
        }
        self.elsewhere(&t, start, place);
        Ok(t.name)
    }

    /// Key and value of the external data.
    fn location_part(&mut self, mut span: Span) -> Result<(String, String), Stop> {
        const LONGEST: usize = 4096;
        let (mut key, mut value, mut seen) = (String::new(), String::new(), 0);
        while let Some(f) = self.wire.next(&mut span, self.cx)? {
            if self.expected(&schema::PAIR, &f, &mut seen)? {
                let text = self.wire.text(&f, LONGEST)?;
                *if f.number == 1 { &mut key } else { &mut value } = text;
            }
        }
        Ok((key, value))
    }

    /// Does the data have the length that type and shape give?
    fn size(&mut self, t: &Tensor, at: u64) {
        let name = escape(&t.name);
        let elements = t.dims.iter().try_fold(1u64, |n, d| n.checked_mul(*d));
        let negative = t.dims.iter().any(|d| i64::try_from(*d).is_err());
        // A zero among the dimensions hides an overflow of the others.
        let overflow = t.dims.iter().filter(|d| **d != 0).try_fold(16u64, |n, d| n.checked_mul(*d)).is_none();
        let Some(elements) = elements.filter(|_| !overflow && !negative) else {
            let detail = format!("{name}: shape {:?} overflows", &t.dims[..t.dims.len().min(16)]);
            self.cx.fact(Some(at), FactKind::Resource { code: "tensor-size-overflow".into(), detail });
            return;
        };
        if let (Some(raw), Some(bits)) = (&t.raw, bits(t.kind)) {
            // Cannot overflow: the product with 16 bytes did not.
            let needed = (elements * bits).div_ceil(8);
            // Data elsewhere leaves an empty field here.
            let elsewhere = raw.len == 0 && !t.external.is_empty();
            if raw.len != needed && !elsewhere {
                let detail = format!("{name}: {} bytes, its type and shape need {needed}", raw.len);
                self.cx.structure(raw.at, "onnx-tensor-size-differs", detail);
            }
        }
    }

    /// Judges where the data lies, if it does not lie in the model.
    fn elsewhere(&mut self, t: &Tensor, at: u64, place: &str) {
        if t.external.is_empty() {
            if t.elsewhere {
                let detail = format!("{}: data elsewhere, without a location", escape(&t.name));
                self.cx.structure(at, "onnx-external-nowhere", detail);
            }
            return;
        }
        let shown = format!("{place}, tensor {}", escape(&t.name));
        let mut span = Some(0u64);
        let mut place = None;
        for (n, (key, value)) in t.external.iter().enumerate() {
            let value = escape(value);
            if !external::KEYS.contains(&key.as_str()) {
                let detail = format!("{shown}: {}={value}", escape(key));
                self.cx.structure(at, "onnx-external-unknown-entry", detail);
            }
            if t.external[..n].iter().any(|(k, _)| k == key) {
                let detail = format!("{shown}: {} is given twice", escape(key));
                self.cx.structure(at, "onnx-external-entry-twice", detail);
            }
            if key == "location" {
                place = Some(&t.external[n].1);
            }
            if matches!(key.as_str(), "location" | "basepath")
                && let Some(code) = external::unsafe_location(&t.external[n].1)
            {
                let detail = format!("{shown}: {key}={value}");
                self.once(code, &detail, |cx| {
                    cx.fact(Some(at), FactKind::UnsafePath { code: code.into(), detail: detail.clone() });
                });
            }
            if matches!(key.as_str(), "offset" | "length") {
                let read = external::size(&t.external[n].1);
                span = read.and_then(|r| span.and_then(|s| s.checked_add(r)));
                if span.is_none_or(|s| i64::try_from(s).is_err()) {
                    let detail = format!("{shown}: {key}={value}");
                    let code = "onnx-external-size-overflow".to_string();
                    self.cx.fact(Some(at), FactKind::Resource { code, detail });
                    span = Some(0);
                }
            }
        }
        const MOST: usize = 1000;
        if let Some(place) = place.filter(|p| external::unsafe_location(p).is_none())
            && (self.elsewhere.len() < MOST || self.elsewhere.contains_key(place))
        {
            let end = self.elsewhere.entry(place.clone()).or_default();
            *end = (*end).max(span.unwrap_or(0));
        }
    }

    /// Reads a sparse tensor; returns the name of its values.
    pub(super) fn sparse(&mut self, span: Span, place: &str) -> Result<String, Stop> {
        self.within(|m| {
            let (mut span, mut seen, mut name) = (span, 0, String::new());
            while let Some(f) = m.wire.next(&mut span, m.cx)? {
                if !m.expected(&schema::SPARSE, &f, &mut seen)? {
                    continue;
                }
                match f.number {
                    1 => name = m.tensor(f.span(), place)?,
                    2 => {
                        m.tensor(f.span(), place)?;
                    }
                    _ => {}
                }
            }
            Ok(name)
        })
    }
}
