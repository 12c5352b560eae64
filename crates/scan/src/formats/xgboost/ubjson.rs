//! UBJSON (draft 12) to events. Arrays of numbers are skipped by arithmetic unless they hold indices.
//!
//! <https://ubjson.org/type-reference/>.

use super::trees::Trees;
use crate::cx::{Cx, Stop};
use wb_blob::{Blob, Window};
use wb_verdict::FactKind;

const DEEPEST: usize = 128;

/// Reads one value; returns where it ends.
pub(super) fn read(blob: &Blob, trees: &mut Trees, cx: &mut Cx<'_>) -> Result<u64, Stop> {
    let mut r = Reader { window: Window::new(blob.clone(), 64 << 10), blob: blob.clone(), at: 0 };
    let marker = r.marker()?;
    r.value(marker, None, trees, cx, 0)?;
    Ok(r.at)
}

struct Reader {
    window: Window,
    blob: Blob,
    at: u64,
}

/// Bytes of a number of this type.
fn width(marker: u8) -> Option<u64> {
    Some(match marker {
        b'i' | b'U' | b'C' => 1,
        b'I' => 2,
        b'l' | b'd' => 4,
        b'L' | b'D' => 8,
        _ => return None,
    })
}

impl Reader {
    fn left(&self) -> u64 {
        self.blob.len() - self.at
    }

    fn early(&self) -> Stop {
        Stop::malformed(self.at, "the document ends early")
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        let b = self.window.view(self.at, 1)?.first().copied();
        let b = b.ok_or_else(|| self.early())?;
        self.at += 1;
        Ok(b)
    }

    /// The next marker; N stands for nothing.
    fn marker(&mut self) -> Result<u8, Stop> {
        loop {
            match self.byte()? {
                b'N' => {}
                b => return Ok(b),
            }
        }
    }

    fn skip(&mut self, n: u64, cx: &mut Cx<'_>) -> Result<(), Stop> {
        if n > self.left() {
            let detail = format!("{n} bytes announced, {} left", self.left());
            cx.fact(
                Some(self.at),
                FactKind::Resource { code: "xgboost-impossible-count".into(), detail: detail.clone() },
            );
            return Err(Stop::malformed(self.at, detail));
        }
        self.at += n;
        Ok(())
    }

    fn number(&mut self, marker: u8) -> Result<i64, Stop> {
        let n = width(marker).ok_or_else(|| Stop::malformed(self.at, "a marker that is no number"))? as usize;
        let v = self.window.view(self.at, n)?;
        let bytes = v.get(..n).ok_or_else(|| Stop::malformed(self.at, "the document ends early"))?;
        let raw = bytes.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
        self.at += n as u64;
        Ok(match marker {
            b'i' => i64::from(raw as u8 as i8),
            b'I' => i64::from(raw as u16 as i16),
            b'l' => i64::from(raw as u32 as i32),
            b'd' => f32::from_bits(raw as u32) as i64,
            b'D' => f64::from_bits(raw) as i64,
            _ => raw as i64,
        })
    }

    /// A length: a marker and a number that is not negative.
    fn length(&mut self) -> Result<u64, Stop> {
        let at = self.at;
        let marker = self.marker()?;
        u64::try_from(self.number(marker)?).map_err(|_| Stop::malformed(at, "a negative length"))
    }

    fn text(&mut self, cx: &mut Cx<'_>) -> Result<String, Stop> {
        const MOST: u64 = 1 << 20;
        let len = self.length()?;
        let start = self.at;
        self.skip(len, cx)?;
        let bytes = self.blob.read_range(start..start + len.min(MOST))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn value(
        &mut self,
        marker: u8,
        key: Option<&str>,
        trees: &mut Trees,
        cx: &mut Cx<'_>,
        depth: usize,
    ) -> Result<(), Stop> {
        cx.budget.steps(1)?;
        if depth > DEEPEST {
            let detail = format!("values nested deeper than {DEEPEST}");
            let code = "xgboost-deep-nesting-count".to_string();
            cx.fact(Some(self.at), FactKind::Resource { code, detail: detail.clone() });
            return Err(Stop::malformed(self.at, detail));
        }
        match marker {
            b'Z' | b'T' | b'F' => Ok(()),
            b'S' | b'H' => {
                let at = self.at;
                let text = self.text(cx)?;
                trees.text(key, &text, at, cx);
                Ok(())
            }
            b'{' => self.object(key, trees, cx, depth),
            b'[' => self.array(key, trees, cx, depth),
            other => {
                let n = self.number(other)?;
                trees.number(key, n);
                Ok(())
            }
        }
    }

    /// Type and count in front of the elements of a container.
    fn head(&mut self) -> Result<(Option<u8>, Option<u64>), Stop> {
        let (mut kind, mut count) = (None, None);
        if self.window.view(self.at, 1)?.first() == Some(&b'$') {
            self.at += 1;
            kind = Some(self.byte()?);
            if self.window.view(self.at, 1)?.first() != Some(&b'#') {
                return Err(Stop::malformed(self.at, "a type without a count"));
            }
        }
        if self.window.view(self.at, 1)?.first() == Some(&b'#') {
            self.at += 1;
            count = Some(self.length()?);
        }
        Ok((kind, count))
    }

    fn array(
        &mut self,
        key: Option<&str>,
        trees: &mut Trees,
        cx: &mut Cx<'_>,
        depth: usize,
    ) -> Result<(), Stop> {
        let wanted = trees.wants(key);
        let (kind, count) = self.head()?;
        if let (Some(width), Some(n)) = (kind.and_then(width), count) {
            let start = self.at;
            let bytes = n.saturating_mul(width);
            self.skip(bytes, cx)?;
            if wanted && let Some(kind) = kind {
                cx.budget.memory(trees.held().saturating_add(n * 8))?;
                let end = self.at;
                self.at = start;
                while self.at < end {
                    let n = self.number(kind)?;
                    trees.number(key, n);
                }
            }
            trees.length(key, n);
            return Ok(());
        }
        trees.open(key);
        let mut n = 0u64;
        loop {
            if count.is_some_and(|c| n >= c) {
                break;
            }
            let marker = match kind {
                Some(kind) => kind,
                None => self.marker()?,
            };
            if count.is_none() && marker == b']' {
                break;
            }
            if n.is_multiple_of(4096) {
                cx.budget.memory(trees.held())?;
            }
            // Values without bytes of their own would make a count of 2^63 a loop.
            if matches!(kind, Some(b'Z' | b'T' | b'F')) {
                return Err(Stop::malformed(self.at, "an array of values without bytes"));
            }
            self.value(marker, if wanted { key } else { None }, trees, cx, depth + 1)?;
            n += 1;
        }
        trees.close();
        trees.length(key, n);
        Ok(())
    }

    fn object(
        &mut self,
        key: Option<&str>,
        trees: &mut Trees,
        cx: &mut Cx<'_>,
        depth: usize,
    ) -> Result<(), Stop> {
        let (kind, count) = self.head()?;
        trees.open(key);
        let mut n = 0u64;
        loop {
            if count.is_some_and(|c| n >= c) {
                break;
            }
            // A key is a text without its marker.
            let next = self.marker()?;
            if count.is_none() && next == b'}' {
                break;
            }
            self.at -= 1;
            let name = self.text(cx)?;
            let marker = match kind {
                Some(kind) => kind,
                None => self.marker()?,
            };
            self.value(marker, Some(&name), trees, cx, depth + 1)?;
            n += 1;
        }
        trees.close();
        Ok(())
    }
}
