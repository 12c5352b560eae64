//! fastText's models, plain (`.bin`) and quantised (`.ftz`): parameters, a dictionary, two matrices. The loader checks the
//! magic number and the version, and makes room for whatever sizes it reads.
//!
//! `FastText::loadModel`, `Dictionary::load`, `QMatrix::load` of fastText 0.9.

use super::cursor::Cursor;
use super::{Claim, Coverage, Format, Probe, leftover};
use crate::analyses::metadata;
use crate::cx::{Cx, Stop};
use wb_blob::Blob;
use wb_verdict::{FactKind, escape_bytes};

/// Models with the magic number, since 2017.
pub struct FastText;

const MAGIC: u32 = 793_712_314;
const SUPERVISED: i32 = 3;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "fastText",
    ids: &[],
    loaders: "fastText, gensim",
    judged: "arguments, dictionary, matrices by their sizes",
    blind: "files before 2017, which have no magic number, are unknown content",
    corpus: &["fasttext"],
};

impl Format for FastText {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "fasttext"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if probe.head.starts_with(&MAGIC.to_le_bytes()) { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut c = Cursor::new(blob);
        let done = Model::default().read(&mut c, cx);
        let at = c.at;
        match done {
            Ok(()) if at < blob.len() => {
                leftover::record(blob, at, "fasttext-trailing-bytes", "both matrices are read", cx)
            }
            Err(stop @ Stop::Malformed { .. }) => {
                if let Stop::Malformed { at: place, what } = &stop {
                    cx.structure(*place, "fasttext-malformed", what.clone());
                }
                metadata::runs(blob, at, "a part that cannot be read", cx)?;
                leftover::search(blob, at, cx)?;
                Err(stop)
            }
            other => other,
        }
    }
}

#[derive(Default)]
struct Model {
    dim: i64,
    bucket: i64,
    kind: i32,
    words: i64,
    labels: i64,
    /// Entries of the index of kept n-grams; -1 if none were dropped.
    kept: i64,
}

impl Model {
    fn read(&mut self, c: &mut Cursor, cx: &mut Cx<'_>) -> Result<(), Stop> {
        c.u32()?;
        let version = c.i32()?;
        if !(11..=12).contains(&version) {
            cx.structure(4, "fasttext-version", format!("version {version}, loaders read 11 and 12"));
        }
        self.parameters(c, cx)?;
        self.dictionary(c, cx)?;
        let quantised = flag(c, cx)?;
        let rows = self.words + if self.kept >= 0 { self.kept } else { self.bucket };
        if quantised {
            self.quantised(c, rows, "input", cx)?;
        } else {
            if self.kept >= 0 {
                cx.structure(
                    c.at,
                    "fasttext-pruned",
                    "n-grams dropped from a matrix that is not quantised".to_string(),
                );
            }
            self.dense(c, rows, "input", cx)?;
        }
        let output = flag(c, cx)?;
        let rows = if self.kind == SUPERVISED { self.labels } else { self.words };
        if quantised && output {
            self.quantised(c, rows, "output", cx)
        } else {
            self.dense(c, rows, "output", cx)
        }
    }

    fn parameters(&mut self, c: &mut Cursor, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let at = c.at;
        let mut p = [0i32; 12];
        for n in &mut p {
            *n = c.i32()?;
        }
        c.number(8)?;
        let [dim, _, _, _, _, ngrams, loss, model, bucket, minn, maxn, _] = p;
        (self.dim, self.bucket, self.kind) = (i64::from(dim), i64::from(bucket), model);
        // n-grams are cut out of words: their lengths are loops for every word.
        let odd = dim <= 0
            || bucket < 0
            || !(1..=4).contains(&loss)
            || !(1..=3).contains(&model)
            || ngrams < 0
            || minn < 0
            || maxn < 0;
        if odd {
            let what = format!(
                "dim {dim}, bucket {bucket}, loss {loss}, model {model}, ngrams {ngrams}, {minn} to {maxn}"
            );
            cx.structure(at, "fasttext-parameters", what);
        }
        Ok(())
    }

    /// Words and labels with their counts, then which n-grams were kept.
    fn dictionary(&mut self, c: &mut Cursor, cx: &mut Cx<'_>) -> Result<(), Stop> {
        const LONGEST: usize = 1 << 20;
        /// A character, a count, a kind.
        const LEAST: u64 = 10;
        let at = c.at;
        let (size, words, labels) = (c.i32()?, c.i32()?, c.i32()?);
        let tokens = c.i64()?;
        self.kept = c.i64()?;
        (self.words, self.labels) = (i64::from(words), i64::from(labels));
        if size < 0 || words < 0 || labels < 0 || i64::from(size) != self.words + self.labels || tokens < 0 {
            let what = format!("a dictionary of {size}: {words} words, {labels} labels, {tokens} tokens");
            return Err(Stop::malformed(at, what));
        }
        if size as u64 > c.left() / LEAST {
            let detail = format!("a dictionary of {size}, {} bytes left", c.left());
            let code = "fasttext-dictionary-count".to_string();
            cx.fact(Some(at), FactKind::Resource { code, detail: detail.clone() });
            return Err(Stop::malformed(at, detail));
        }
        for i in 0..i64::from(size) {
            cx.budget.steps(1)?;
            let at = c.at;
            let Some(word) = c.until(0, LONGEST)? else {
                return Err(Stop::malformed(at, "a word without end"));
            };
            let (count, kind) = (c.i64()?, c.u8()?);
            // Words come first: the loader numbers both by their place.
            let expected = u8::from(i >= self.words);
            if kind != expected || count < 0 {
                let shown = escape_bytes(&word[..word.len().min(60)]);
                let what = format!("entry {i} ({shown}) of kind {kind}, count {count}");
                return Err(Stop::malformed(at, what));
            }
        }
        if self.kept > 0 {
            let at = c.skip(self.kept as u64, 8, "n-grams that were kept")?;
            cx.budget.steps(self.kept as u64)?;
            c.at = at;
            for _ in 0..self.kept {
                let (hash, row) = (c.i32()?, c.i32()?);
                if row < 0 || i64::from(row) >= self.kept || hash < 0 {
                    let what = format!("n-gram {hash} is kept in row {row} of {}", self.kept);
                    cx.structure(at, "fasttext-index", what);
                    c.at = at + 8 * self.kept as u64;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Rows and columns of a matrix against what the parameters need.
    fn shape(
        &self,
        at: u64,
        m: i64,
        n: i64,
        rows: i64,
        what: &str,
        cx: &mut Cx<'_>,
    ) -> Result<(u64, u64), Stop> {
        let (Ok(m), Ok(n)) = (u64::try_from(m), u64::try_from(n)) else {
            return Err(Stop::malformed(at, format!("a matrix of {m} rows of {n}")));
        };
        // A matrix that is larger than needed is wasteful, a smaller one is read outside of.
        if (m as i64) < rows || n as i64 != self.dim {
            let detail = format!("the {what} has {m} rows of {n}, {rows} of {} are needed", self.dim);
            cx.structure(at, "fasttext-matrix", detail);
        }
        Ok((m, n))
    }

    fn dense(&self, c: &mut Cursor, rows: i64, what: &str, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let at = c.at;
        let (m, n) = (c.i64()?, c.i64()?);
        let (m, n) = self.shape(at, m, n, rows, what, cx)?;
        let Some(all) = m.checked_mul(n).filter(|all| *all <= c.left() / 4) else {
            let detail = format!("the {what}: {m} rows of {n} numbers, {} bytes left", c.left());
            let code = "fasttext-matrix-count".to_string();
            cx.fact(Some(at), FactKind::Resource { code, detail: detail.clone() });
            return Err(Stop::malformed(at, detail));
        };
        c.skip(all, 4, "numbers").map(drop)
    }

    /// A product-quantised matrix: codes, centroids, and the same for the norms of its rows.
    fn quantised(&self, c: &mut Cursor, rows: i64, what: &str, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let norms = flag(c, cx)?;
        let at = c.at;
        let (m, n) = (c.i64()?, c.i64()?);
        let codes = c.i32()?;
        let (m, n) = self.shape(at, m, n, rows, what, cx)?;
        let codes = u64::try_from(codes).map_err(|_| Stop::malformed(at, format!("{codes} codes")))?;
        c.skip(codes, 1, "codes")?;
        let parts = quantiser(c, n as i64, cx)?;
        if m.checked_mul(parts) != Some(codes) {
            let detail = format!("the {what}: {codes} codes for {m} rows of {parts}");
            cx.structure(at, "fasttext-matrix", detail);
        }
        if norms {
            c.skip(m, 1, "codes of norms")?;
            quantiser(c, 1, cx)?;
        }
        Ok(())
    }
}

/// Centroids: 256 for every part of a row. Returns the number of parts.
fn quantiser(c: &mut Cursor, columns: i64, cx: &mut Cx<'_>) -> Result<u64, Stop> {
    let at = c.at;
    let [dim, parts, each, last] = [c.i32()?, c.i32()?, c.i32()?, c.i32()?].map(i64::from);
    let fits = dim == columns
        && parts > 0
        && each > 0
        && last > 0
        && last <= each
        && (parts - 1).checked_mul(each).is_some_and(|n| n + last == dim);
    if !fits {
        let what =
            format!("{parts} parts of {each} (the last {last}) for rows of {dim}, {columns} are needed");
        cx.structure(at, "fasttext-quantiser", what);
    }
    let dim = u64::try_from(dim).map_err(|_| Stop::malformed(at, "a negative size"))?;
    c.skip(dim, 4 * 256, "centroids")?;
    Ok(parts.max(0) as u64)
}

/// A byte that is no or yes.
fn flag(c: &mut Cursor, cx: &mut Cx<'_>) -> Result<bool, Stop> {
    let at = c.at;
    let b = c.u8()?;
    if b > 1 {
        cx.structure(at, "fasttext-flag", format!("a flag of {b}"));
    }
    Ok(b != 0)
}
