//! What becomes of a file in each loader, where loaders differ.
//!
//! A verdict holds for the loader that runs most. torch's weights-only unpickler, numpy without pickles and plain
//! unpicklers in front of persistent ids refuse much of what others run; a reader who knows how the file is loaded
//! should see that. The policy decides by the verdict alone.

use crate::formats::weights_only;
use std::collections::BTreeMap;
use wb_verdict::{FactKind, Facts, Family, Finding, LoaderVerdict, Verdict};

const WEIGHTS_ONLY: &str = "torch.load(weights_only=True)";
const NUMPY_PLAIN: &str = "numpy.load(allow_pickle=False)";
const NUMPY_PICKLE: &str = "numpy.load(allow_pickle=True)";

/// The verdict per loader; empty where all agree, or where it is not certain what a loader sees.
pub(crate) fn loaders(
    facts: &Facts,
    findings: &[Finding],
    verdict: Verdict,
) -> BTreeMap<String, LoaderVerdict> {
    // Loaders that disagree on where the pickle is, or bytes nobody judged: nothing is certain for any of them.
    if !facts.gaps.is_empty() || findings.iter().any(|f| f.family == Family::Structure) {
        return BTreeMap::new();
    }
    match facts.formats.first().map_or("", String::as_str) {
        "npy" | "npz" => numpy(findings, verdict),
        "pytorch-zip" | "torch-legacy" => torch(facts, findings, verdict),
        "pickle" if verdict > Verdict::Clean && facts.formats.len() == 1 => pickle(facts, findings, verdict),
        _ => BTreeMap::new(),
    }
}

fn map<const N: usize>(entries: [(&str, LoaderVerdict); N]) -> BTreeMap<String, LoaderVerdict> {
    entries.into_iter().map(|(loader, verdict)| (loader.to_string(), verdict)).collect()
}

fn worst<'a>(findings: impl Iterator<Item = &'a Finding>) -> Verdict {
    findings.map(|f| f.verdict).max().unwrap_or(Verdict::Clean)
}

/// What is found apart from calls.
fn without_calls(findings: &[Finding]) -> Verdict {
    worst(findings.iter().filter(|f| !matches!(f.family, Family::PickleCall | Family::CarriesCode)))
}

/// numpy refuses every object array unless told otherwise.
fn numpy(findings: &[Finding], verdict: Verdict) -> BTreeMap<String, LoaderVerdict> {
    let plain = without_calls(findings);
    if plain == verdict {
        return BTreeMap::new();
    }
    map([(NUMPY_PLAIN, plain.into()), (NUMPY_PICKLE, verdict.into())])
}

/// torch's own unpickler against CPython's.
fn torch(facts: &Facts, findings: &[Finding], verdict: Verdict) -> BTreeMap<String, LoaderVerdict> {
    let refused = facts
        .facts
        .iter()
        .any(|f| matches!(&f.kind, FactKind::Refused { loader, .. } if loader == weights_only::LOADER));
    let called = findings.iter().any(|f| matches!(f.family, Family::PickleCall | Family::CarriesCode));
    if called && !refused {
        // In a pickle that the loader may not even open: nothing is certain.
        return BTreeMap::new();
    }
    let weights = if refused { LoaderVerdict::Refuses } else { verdict.into() };
    if weights == verdict.into() {
        return BTreeMap::new();
    }
    map([(WEIGHTS_ONLY, weights), ("torch.load(weights_only=False)", verdict.into())])
}

/// A pickle that is no torch file: torch's weights-only loader runs at most what it allows, then misses the magic
/// number; numpy takes it only if pickles are allowed; plain unpicklers stop at a persistent id, after what is before.
fn pickle(facts: &Facts, findings: &[Finding], verdict: Verdict) -> BTreeMap<String, LoaderVerdict> {
    let id = facts.facts.iter().find_map(|f| match &f.kind {
        FactKind::Refused { loader, .. } if loader == "pickle" && f.location.path.is_empty() => {
            f.location.offset
        }
        _ => None,
    });
    let plain = match id {
        None => verdict.into(),
        Some(stop) => {
            let before = |f: &&Finding| f.location.offset.is_none_or(|at| at < stop);
            match worst(findings.iter().filter(before)) {
                Verdict::Clean => LoaderVerdict::Refuses,
                ran => ran.into(),
            }
        }
    };
    map([
        ("pickle.load", plain),
        ("joblib.load", plain),
        (NUMPY_PLAIN, LoaderVerdict::Refuses),
        (NUMPY_PICKLE, plain),
        (WEIGHTS_ONLY, LoaderVerdict::Refuses),
    ])
}
