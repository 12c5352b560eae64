//! XGBoost's binary form, written until 1.7 and read until 3.0: structs as they lie in memory, arrays of announced length.
//! `LearnerIO::Load` of XGBoost 0.40 to 1.7 is the reference.

use super::super::cursor::Cursor;
use super::super::{Claim, Coverage, Format, Probe, leftover};
use super::binary_tree;
use crate::analyses::metadata;
use crate::cx::{Cx, Stop};
use wb_blob::Blob;
use wb_verdict::{FactKind, escape};

/// Binary models.
pub struct XgboostBinary;

/// Parameters of a learner: score, features, classes, two flags, version, reserved words.
const LEARNER: u64 = 136;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "XGBoost (binary)",
    ids: &[],
    loaders: "xgboost before 3.1",
    judged: "parameters, counts, indices of trees",
    blind: "the form inside a pickled `Booster`",
    corpus: &["xgboost"],
};

impl Format for XgboostBinary {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "xgboost"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if is_model(&probe.head) { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut c = Cursor::new(blob);
        let done = read(&mut c, cx);
        let at = c.at;
        match done {
            Ok(()) if at < blob.len() => {
                leftover::record(blob, at, "xgboost-trailing-bytes", "all that was announced is read", cx)
            }
            Ok(()) => Ok(()),
            Err(stop) => {
                if let Stop::Malformed { at: place, what } = &stop {
                    cx.structure(*place, "xgboost-malformed", what.clone());
                    metadata::runs(blob, at, "a part that cannot be read", cx)?;
                    leftover::search(blob, at, cx)?;
                }
                Err(stop)
            }
        }
    }
}

/// The parameters are followed by the names of an objective and of a booster; a magic number may stand before them.
fn is_model(head: &[u8]) -> bool {
    let (magic, body) = match head.strip_prefix(b"binf") {
        Some(body) => (true, body),
        None => (false, head),
    };
    let Some((objective, rest)) = name(body.get(LEARNER as usize..).unwrap_or_default()) else {
        // The magic number alone begins a text as well.
        return magic && body.get(..LEARNER as usize).is_some_and(|b| b.contains(&0));
    };
    let objective = matches!(objective.first(), Some(b'a'..=b'z'));
    objective && (magic || name(rest).is_some_and(|(b, _)| matches!(b, b"gbtree" | b"gblinear" | b"dart")))
}

/// A short name behind its length, and what follows.
fn name(v: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = u64::from_le_bytes(v.get(..8)?.try_into().ok()?);
    let len = usize::try_from(len).ok().filter(|n| (2..=40).contains(n))?;
    let name = v.get(8..8 + len)?;
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'-' | b'_' | b'@' | b'.');
    name.iter().all(plain).then_some((name, &v[8 + len..]))
}

fn read(c: &mut Cursor, cx: &mut Cx<'_>) -> Result<(), Stop> {
    if c.number(4)? as u32 != u32::from_le_bytes(*b"binf") {
        c.at = 0;
    }
    let start = c.at;
    c.number(4)?;
    let features = c.u32()?;
    let classes = c.i32()?;
    let (attributes, metrics) = (c.i32()? != 0, c.i32()? != 0);
    c.at = start;
    c.skip(LEARNER, 1, "bytes of parameters")?;
    count(i64::from(features), "num_feature", start, cx);
    count(i64::from(classes), "num_class", start, cx);
    let objective = text(c, "the name of the objective")?;
    let at = c.at;
    let booster = text(c, "the name of the booster")?;
    match booster.as_str() {
        "gblinear" => linear(c, cx)?,
        "gbtree" | "dart" => {
            let trees = forest(c, features, classes, cx)?;
            // Weights of trees that are dropped at random.
            if booster == "dart" && trees > 0 {
                let n = c.number(8)?;
                if n != trees {
                    cx.structure(c.at, "xgboost-trees", format!("{n} weights of {trees} trees"));
                }
                c.skip(n, 4, "weights")?;
            }
        }
        other => {
            cx.structure(at, "xgboost-booster", format!("a booster {} that no loader has", escape(other)));
            return Err(Stop::Unsupported("a model of XGBoost of an unknown kind".into()));
        }
    }
    if attributes {
        pairs(c, cx)?;
    }
    // Old versions kept a parameter of this objective behind the attributes.
    if objective == "count:poisson" && c.left() > 0 {
        text(c, "max_delta_step")?;
    }
    if metrics {
        let n = announced(c, 8, "metrics")?;
        for _ in 0..n {
            cx.budget.steps(1)?;
            let at = c.at;
            let metric = text(c, "the name of a metric")?;
            metadata::text(&metric, "a metric", at, cx);
        }
    }
    Ok(())
}

/// A number that loaders make room for.
fn count(n: i64, what: &str, at: u64, cx: &mut Cx<'_>) {
    const MOST: i64 = 100_000_000;
    if !(0..=MOST).contains(&n) {
        let code = "xgboost-impossible-count".to_string();
        cx.fact(Some(at), FactKind::Resource { code, detail: format!("{what}: {n}") });
    }
}

fn text(c: &mut Cursor, what: &str) -> Result<String, Stop> {
    const MOST: u64 = 1 << 20;
    let len = c.number(8)?;
    Ok(String::from_utf8_lossy(&c.bytes(len, MOST, what)?).into_owned())
}

/// A length of elements that take at least `size` bytes each.
fn announced(c: &mut Cursor, size: u64, what: &str) -> Result<u64, Stop> {
    let n = c.number(8)?;
    let start = c.at;
    c.skip(n, size, what)?;
    c.at = start;
    Ok(n)
}

/// Attributes, and names and types of features among them.
fn pairs(c: &mut Cursor, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let n = announced(c, 16, "attributes")?;
    for _ in 0..n {
        cx.budget.steps(1)?;
        let at = c.at;
        let key = text(c, "the name of an attribute")?;
        let value = text(c, "an attribute")?;
        metadata::text(&key, "the name of an attribute", at, cx);
        metadata::text(&value, &key, at, cx);
    }
    Ok(())
}

/// Weights of a linear model: one for each feature and output, and a bias.
fn linear(c: &mut Cursor, cx: &mut Cx<'_>) -> Result<(), Stop> {
    const PARAMETERS: u64 = 136;
    c.skip(PARAMETERS, 1, "bytes of parameters")?;
    let n = c.number(8)?;
    let at = c.skip(n, 4, "weights")?;
    cx.explain(at, || format!("{n} weights"));
    Ok(())
}

/// Trees, and the output that each is for. Returns how many there are.
fn forest(c: &mut Cursor, features: u32, classes: i32, cx: &mut Cx<'_>) -> Result<u64, Stop> {
    const PARAMETERS: u64 = 160;
    const PROBLEMS: u32 = 20;
    let start = c.at;
    let trees = c.i32()?;
    c.at = start;
    c.skip(PARAMETERS, 1, "bytes of parameters")?;
    let Ok(trees) = u64::try_from(trees) else {
        return Err(Stop::malformed(start, format!("{trees} trees")));
    };
    // Each has at least its parameters.
    if trees > c.left() / binary_tree::PARAMETERS {
        let detail = format!("{trees} trees announced, {} bytes left", c.left());
        let code = "xgboost-impossible-count".to_string();
        cx.fact(Some(start), FactKind::Resource { code, detail: detail.clone() });
        return Err(Stop::malformed(start, detail));
    }
    let mut told = 0;
    for i in 0..trees {
        let at = c.at;
        if let Some(what) = binary_tree::read(c, features, cx)? {
            told += 1;
            if told <= PROBLEMS {
                cx.structure(at, "xgboost-tree", format!("tree {i}: {what}"));
            }
        }
    }
    let outputs = classes.max(1);
    for i in 0..trees {
        let at = c.at;
        let output = c.i32()?;
        if !(0..outputs).contains(&output) && told <= PROBLEMS {
            told += 1;
            cx.structure(at, "xgboost-tree", format!("tree {i} is for output {output} of {outputs}"));
        }
    }
    Ok(trees)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_by_the_names_behind_the_parameters() {
        let model = |magic: &[u8], objective: &[u8], booster: &[u8]| {
            let mut v = [magic, &[0; LEARNER as usize][..]].concat();
            for name in [objective, booster] {
                v.extend((name.len() as u64).to_le_bytes());
                v.extend(name);
            }
            v
        };
        assert!(is_model(&model(b"", b"reg:linear", b"gbtree")));
        assert!(is_model(&model(b"binf", b"reg:linear", b"gbtree")));
        assert!(is_model(&model(b"binf", b"\0\0", b"gbtree")), "the magic number and no text");
        assert!(!is_model(&model(b"", b"reg:linear", b"python")));
        assert!(!is_model(b"binfinite text that is long enough to hold what parameters would take, and then some more of it; \
            it goes on until nobody could take it for anything but a text that happens to begin so, which it is."));
    }
}
