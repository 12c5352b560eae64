//! TensorFlow's files, damaged: what its parser still finds in them is never called clean.

mod engine;

use engine::{corpus, engine};
use wb_recipes::{Recipe, read_all};
use wb_verdict::Verdict;

/// The payload that is looked for: an operator, or a function called like it.
const PAYLOAD: &[u8] = b"WriteFile";

/// The length-delimited fields of a message, as a strict parser reads them.
fn fields(mut b: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    fn varint(b: &mut &[u8]) -> Option<u64> {
        let mut n = 0u64;
        for i in 0..10 {
            let (first, rest) = b.split_first()?;
            *b = rest;
            n |= u64::from(first & 0x7f).checked_shl(7 * i)?;
            if first & 0x80 == 0 {
                return Some(n);
            }
        }
        None
    }
    let mut out = Vec::new();
    while !b.is_empty() {
        let tag = varint(&mut b)?;
        if tag >> 3 == 0 {
            return None;
        }
        let skip = match tag & 7 {
            0 => {
                varint(&mut b)?;
                0
            }
            1 => 8,
            5 => 4,
            2 => {
                let len = usize::try_from(varint(&mut b)?).ok()?;
                out.push((tag >> 3, b.get(..len)?));
                len
            }
            _ => return None,
        };
        b = b.get(skip..)?;
    }
    Some(out)
}

/// All messages at the end of a path of field numbers; `None` if one on the way is none.
fn at<'b>(b: &'b [u8], path: &[u64]) -> Option<Vec<&'b [u8]>> {
    let Some((number, rest)) = path.split_first() else { return Some(vec![b]) };
    let mut out = Vec::new();
    for (n, inner) in fields(b)? {
        if n == *number {
            out.extend(at(inner, rest)?);
        }
    }
    Some(out)
}

/// Does TensorFlow find the payload here, read as a graph?
fn runs(graph: &[u8]) -> bool {
    let nodes = |path: &[u64]| at(graph, path).unwrap_or_default();
    let names = [&[1, 2][..], &[2, 1, 3, 2], &[1, 5, 2, 10, 1], &[2, 1, 3, 5, 2, 10, 1]];
    names.iter().any(|path| nodes(path).contains(&PAYLOAD))
        // Strings of constants, and of attributes.
        || [&[1, 5, 2, 8, 8][..], &[1, 5, 2, 2], &[2, 1, 3, 5, 2, 8, 8]].iter().flat_map(|p| nodes(p)).any(runs)
}

fn hostile_by_reference(bytes: &[u8]) -> bool {
    let roots = [&[2, 2][..], &[2], &[]];
    roots.iter().any(|path| at(bytes, path).unwrap_or_default().into_iter().any(runs))
}

/// Hostile binary recipes of the two formats, with the operator that is the payload.
fn hostile() -> Vec<(Recipe, String, Vec<u8>)> {
    let mut out = Vec::new();
    for recipe in read_all(&corpus()).expect("the corpus can be read") {
        if !matches!(&recipe.format[..], "tensorflow" | "tflite") || !recipe.expected.is_hostile() {
            continue;
        }
        for (name, bytes) in recipe.build().expect("builds") {
            if hostile_by_reference(&bytes) {
                out.push((recipe.clone(), name, bytes));
            }
        }
    }
    assert!(out.len() > 12, "only {}", out.len());
    out
}

#[test]
fn truncated_anywhere_it_is_not_clean_while_the_payload_is_there() {
    let mut wrong = Vec::new();
    for (recipe, name, bytes) in hostile() {
        for cut in 0..bytes.len() {
            let part = bytes[..cut].to_vec();
            let there = hostile_by_reference(&part);
            let outcome = engine(&name, part);
            if there && outcome.report.verdict == Verdict::Clean {
                wrong.push(format!("{} cut at {cut}", recipe.id));
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n  {}", wrong.len(), wrong.join("\n  "));
}

#[test]
fn with_any_bit_flipped_it_is_not_clean_while_the_payload_is_there() {
    let mut wrong = Vec::new();
    for (recipe, name, bytes) in hostile() {
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let there = hostile_by_reference(&changed);
            let outcome = engine(&name, changed);
            if there && outcome.report.verdict == Verdict::Clean {
                wrong.push(format!("{} bit {} of byte {:#x}", recipe.id, bit % 8, bit / 8));
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n  {}", wrong.len(), wrong.join("\n  "));
}
