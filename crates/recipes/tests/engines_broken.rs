//! Engines, graphs of small runtimes and spelled models, cut anywhere or with bytes changed: nothing may panic, run away or
//! become clean by being cut.

mod engine;

use engine::{corpus, engine};
use wb_blob::Blob;
use wb_recipes::read_all;
use wb_scan::{Options, scan};
use wb_verdict::Verdict;

const FORMATS: &[&str] = &["tensorrt", "rknn", "cntk", "mxnet", "ncnn", "mnn", "ggml", "rar"];
const SPELLED: &[&str] = &["ORT-", "ONT-", "ONJ-", "ONS-"];

/// Recipe, file name, bytes of the twin and of the hostile form.
fn samples() -> Vec<(String, String, Vec<u8>)> {
    let mut all = Vec::new();
    for recipe in read_all(&corpus()).expect("the corpus can be read") {
        let ours = FORMATS.contains(&&recipe.format[..]) || SPELLED.iter().any(|p| recipe.id.starts_with(p));
        if !ours {
            continue;
        }
        let twin = recipe.twin().expect("builds").unwrap_or_default();
        for (name, bytes) in recipe.build().expect("builds").into_iter().chain(twin) {
            all.push((recipe.id.clone(), name, bytes));
        }
    }
    assert!(all.len() > 90, "only {} files", all.len());
    all
}

fn look(bytes: Vec<u8>) {
    let len = bytes.len() as u64;
    let facts = scan(&Blob::from_vec(bytes), &Options::default());
    assert_eq!(facts.size, len);
    assert!(facts.bytes_read < 100_000_000, "{} bytes read of {len}", facts.bytes_read);
}

#[test]
fn cut_anywhere() {
    for (_, _, bytes) in samples() {
        // Every offset of small files, some of larger ones.
        let step = (bytes.len() / 150).max(1);
        (0..bytes.len()).step_by(step).for_each(|cut| look(bytes[..cut].to_vec()));
    }
}

#[test]
fn with_bytes_changed() {
    // xorshift, so that a failure can be repeated.
    let mut state = 0x5eed_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for (_, _, bytes) in samples() {
        for _ in 0..60 {
            let mut changed = bytes.clone();
            for _ in 0..1 + random() % 4 {
                let at = (random() % bytes.len() as u64) as usize;
                changed[at] = match random() % 4 {
                    0 => 0,
                    1 => 0xff,
                    _ => random() as u8,
                };
            }
            look(changed);
        }
    }
}

#[test]
fn a_file_that_announces_its_parts_is_not_clean_when_it_is_cut() {
    let mut wrong = Vec::new();
    for (id, name, bytes) in samples() {
        if !id.starts_with("MXP-") && !id.starts_with("NCB-") {
            continue;
        }
        for cut in 8..bytes.len() {
            let report = engine(&name, bytes[..cut].to_vec()).report;
            // What follows the last part of a whole file is no part of it.
            if report.verdict == Verdict::Clean && !id.ends_with("-tail") {
                wrong.push(format!("{id} cut at {cut}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
