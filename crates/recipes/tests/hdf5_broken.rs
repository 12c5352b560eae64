//! HDF5 files cut anywhere and with single bits changed: nothing may panic, and what the loader may still load as it
//! was must not come out clean.

mod engine;

use engine::{corpus, engine};
use std::ops::Range;
use wb_recipes::read_all;
use wb_verdict::Verdict;

fn hostile(id: &str) -> Vec<u8> {
    let recipes = read_all(&corpus()).expect("the corpus can be read");
    let recipe = recipes.iter().find(|r| r.id == id).expect("the recipe is there");
    recipe.build().expect("builds").remove(0).1
}

/// Where the configuration stands: a bit changed in it may make another, harmless one of it.
fn configuration(bytes: &[u8]) -> Range<usize> {
    let start = bytes.windows(13).position(|w| w == b"{\"class_name\"").expect("a configuration");
    let len = bytes[start..].iter().position(|b| *b == 0).expect("its end");
    start..start + len
}

#[test]
fn cut_anywhere() {
    for id in [
        "H5-lambda",
        "H5-lambda-fixed",
        "H5-lambda-continued",
        "H5-weights",
        "H5-virtual",
        "H5-external-data",
    ] {
        let bytes = hostile(id);
        // Less than the signature is no HDF5 file.
        for cut in 8..bytes.len() {
            let outcome = engine("model.h5", bytes[..cut].to_vec());
            assert!(outcome.blocked, "{id} cut at {cut}: {}", outcome.report.verdict);
        }
    }
}

#[test]
fn with_a_bit_changed() {
    for id in ["H5-lambda", "H5-lambda-fixed"] {
        let bytes = hostile(id);
        let config = configuration(&bytes);
        let mut clean = Vec::new();
        for at in (0..bytes.len()).filter(|at| !config.contains(at)) {
            // Behind the configuration a heap is filled up with zeros.
            let padding = at > config.end && bytes[at] == 0;
            for bit in 0..if padding { 1 } else { 8 } {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                if engine("model.h5", changed).report.verdict == Verdict::Clean {
                    clean.push((at, bit));
                }
            }
        }
        // A header in front of an attribute in place can be changed so that nobody sees an attribute any more.
        let root = u64::from_le_bytes(bytes[64..72].try_into().expect("eight bytes")) as usize;
        let in_place = id == "H5-lambda-fixed";
        clean.retain(|(at, _)| !(in_place && (root..config.start).contains(at)));
        assert_eq!(clean, [], "{id}: clean with a bit changed");
    }
    // Of a harmless file no more is asked than that every change is judged without a panic.
    let bytes = hostile("H5-weights");
    for at in 0..bytes.len() {
        for bit in [0, 3, 7] {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            assert_eq!(engine("model.h5", changed).report.size, bytes.len() as u64);
        }
    }
}

#[test]
fn a_configuration_cut_or_changed_never_panics() {
    let recipes = read_all(&corpus()).expect("the corpus can be read");
    let recipe = recipes.iter().find(|r| r.id == "KER-json-bare").expect("the recipe is there");
    let bytes = recipe.build().expect("builds").remove(0).1;
    for cut in 0..bytes.len() {
        engine("model.json", bytes[..cut].to_vec());
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            engine("model.json", changed);
        }
    }
}
