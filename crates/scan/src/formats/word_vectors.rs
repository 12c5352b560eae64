//! word2vec's binary form (gensim, word2vec.c): a line of two numbers, then each word, a blank and its numbers. Claimed by
//! structure: the file must be exactly that. The text forms (word2vec, GloVe) are text.

use super::cursor::Cursor;
use super::{Claim, Coverage, Format, Probe};
use crate::analyses::opaque;
use crate::cx::{Cx, Stop};
use wb_blob::Blob;
use wb_verdict::FactKind;

/// Vectors of words.
pub struct WordVectors;

/// The longest word that readers take.
const LONGEST: usize = 4096;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "word2vec's binary form",
    ids: &[],
    loaders: "gensim, word2vec",
    judged: "counts and sizes, the first words",
    blind: "files that begin with odd numbers are unknown content",
    corpus: &["word2vec"],
};

impl Format for WordVectors {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "word2vec"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if is_vectors(probe) { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let Some((words, dim, start)) = head(&blob.head(64)?) else { return Ok(()) };
        let mut c = Cursor::new(blob);
        c.at = start;
        for i in 0..words {
            cx.budget.steps(1)?;
            let at = c.at;
            if word(&mut c)?.is_none() {
                let detail = format!("{words} words announced, entry {i} is none");
                cx.structure(at, "word2vec-words", detail.clone());
                return Err(Stop::malformed(at, detail));
            }
            let data = c.skip(dim, 4, "numbers").inspect_err(|stop| {
                if let Stop::Malformed { at, what } = stop {
                    cx.structure(*at, "word2vec-words", what.clone());
                }
            })?;
            looked_at(blob, data, dim, i, cx)?;
        }
        // Writers may end with a line break.
        let rest = blob.sub(c.at..blob.len());
        if rest.head(2)?.trim_ascii().is_empty() && rest.len() <= 2 {
            return Ok(());
        }
        super::leftover::record(blob, c.at, "word2vec-trailing-bytes", "all words were read", cx)
    }
}

/// Numbers of words and of dimensions, and where the first word begins.
fn head(v: &[u8]) -> Option<(u64, u64, u64)> {
    let end = memchr::memchr(b'\n', &v[..v.len().min(40)])?;
    let line = std::str::from_utf8(&v[..end]).ok()?.trim_end();
    let (words, dim) = line.split_once(' ')?;
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let (words, dim) = (digits(words).then(|| words.parse().ok())??, digits(dim).then(|| dim.parse().ok())??);
    ((1..=1 << 32).contains(&words) && (1..=100_000).contains(&dim)).then_some((words, dim, end as u64 + 1))
}

/// A word and the blank behind it; a line break before it belongs to the entry before.
fn word(c: &mut Cursor) -> Result<Option<Vec<u8>>, Stop> {
    let mut w = c.until(b' ', LONGEST)?;
    if let Some(w) = &mut w
        && w.first() == Some(&b'\n')
    {
        w.remove(0);
    }
    Ok(w.filter(|w| !w.is_empty() && !w.contains(&0) && !w.contains(&b'\n')))
}

/// The first entries, and that a file of this length can hold them all.
fn is_vectors(probe: &Probe) -> bool {
    const FIRST: u64 = 8;
    let Some((words, dim, start)) = head(&probe.head) else { return false };
    let least = words.saturating_mul(dim.saturating_mul(4) + 2);
    if start.saturating_add(least) > probe.blob.len().saturating_add(2) {
        return false;
    }
    let mut c = Cursor::new(&probe.blob);
    c.at = start;
    let mut binary = false;
    for _ in 0..words.min(FIRST) {
        let Ok(Some(w)) = word(&mut c) else { return false };
        let Ok(at) = c.skip(dim, 4, "numbers") else { return false };
        let Ok(bytes) = probe.blob.read_range(at..at + dim.min(64) * 4) else { return false };
        let sane = |b: &[u8]| {
            let x = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
            x == 0.0 || x.is_finite() && (1e-30..1e6).contains(&x.abs())
        };
        if std::str::from_utf8(&w).is_err() || !bytes.chunks_exact(4).all(sane) {
            return false;
        }
        binary |= bytes.iter().any(|b| !matches!(b, b' '..=b'~' | b'\n'));
    }
    binary
}

/// Is something else hidden among the numbers of the first words?
fn looked_at(blob: &Blob, at: u64, dim: u64, i: u64, cx: &mut Cx<'_>) -> Result<(), Stop> {
    const FIRST: u64 = 4096;
    if i >= FIRST || dim < 8 {
        return Ok(());
    }
    let data = blob.sub(at..blob.len());
    let bytes = blob.read_range(at..at + 64.min(dim * 4))?;
    if let Some(what) = opaque::hidden(&data, &bytes) {
        let detail = format!("in place of vector {i}");
        cx.fact(Some(at), FactKind::Hidden { code: what.into(), detail });
        cx.member(format!("(bytes at {at:#x})").as_bytes(), &data);
    }
    Ok(())
}
