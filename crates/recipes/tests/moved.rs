//! A payload moved to another legal place: the verdict must not depend on where it lies.

mod engine;

use engine::{corpus, engine};
use std::fmt::Write;
use wb_recipes::{Expected, Recipe, read_all};
use wb_verdict::Verdict;

/// Containers around a part named `payload`.
const PLACES: &[(&str, &str)] = &[
    (
        "second member of a zip",
        "[[files.x.zip.entries]]\nname = \"a.txt\"\ndata.text = \"a\"\n[[files.x.zip.entries]]\nname = \"b\"\ndata.part = \"payload\"\n",
    ),
    (
        "deflated in a zip",
        "[[files.x.zip.entries]]\nname = \"m/w.bin\"\ndeflate = true\ndata.part = \"payload\"\n",
    ),
    ("member of a tar", "[files.x]\ntar.members = [{ name = \"a\", data = { part = \"payload\" } }]\n"),
    ("member of a 7z", "[files.x]\n7z = [{ name = \"a\", data = { part = \"payload\" } }]\n"),
    ("gzip", "[files.x]\ngzip.part = \"payload\"\n"),
    (
        "xz in a tar",
        "[files.x]\ntar.members = [{ name = \"a.xz\", data = { xz = { part = \"payload\" } } }]\n",
    ),
];

/// Containers for what is code or an instruction by its name, which it keeps.
const NAMED_PLACES: &[(&str, &str)] = &[
    (
        "member of a zip",
        "[[files.x.zip.entries]]\nname = \"code/NAME\"\ndeflate = true\ndata.part = \"payload\"\n",
    ),
    ("member of a tar", "[files.x]\ntar.members = [{ name = \"NAME\", data = { part = \"payload\" } }]\n"),
];

fn wrapped(place: &str, payload: &[u8]) -> Vec<u8> {
    let mut hex = String::new();
    payload.iter().for_each(|b| write!(hex, "{b:02x}").expect("a String takes it"));
    let text = format!(
        "id = \"x\"\ntitle = \"\"\nsource = \"\"\nloader = \"\"\nexpected = \"harmless\"\n{place}[parts.payload]\nhex = \"{hex}\"\n"
    );
    Recipe::parse(&text, "x").and_then(|r| r.build()).expect("builds").remove(0).1
}

#[test]
fn a_moved_payload_stays_blocked_and_a_moved_twin_stays_allowed() {
    let mut wrong = Vec::new();
    for recipe in read_all(&corpus()).expect("the corpus can be read") {
        if !recipe.expected.is_hostile() {
            continue;
        }
        let twin = recipe.twin().expect("builds").unwrap_or_default();
        let hostile = recipe.build().expect("builds");
        let ([(name, bad)], [(_, good)]) = (hostile.as_slice(), twin.as_slice()) else { continue };
        if bad.len() > 100_000 {
            continue;
        }
        let places = if recipe.by_name { NAMED_PLACES } else { PLACES };
        for (place, container) in places {
            let container = &container.replace("NAME", name);
            let moved = engine("model.bin", wrapped(container, bad));
            let found = moved.report.findings.iter().any(|f| f.verdict >= Verdict::Suspicious);
            if !moved.blocked || !found {
                wrong.push(format!("{}, {place}: {}", recipe.id, moved.report.verdict));
            }
            let moved = engine("model.bin", wrapped(container, good));
            if moved.blocked && recipe.twin_expected() == Expected::Harmless {
                let why = moved.report.findings.first().map(|f| format!("{}: {}", f.rule, f.evidence));
                wrong.push(format!("twin of {}, {place}: {} {why:?}", recipe.id, moved.report.verdict));
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n  {}", wrong.len(), wrong.join("\n  "));
}

#[test]
fn opcodes_before_and_a_stream_before_do_not_hide_a_pickle() {
    let mut wrong = Vec::new();
    for recipe in read_all(&corpus()).expect("the corpus can be read") {
        // Texts of single pickles only; a stream that is broken on purpose has no place before it.
        if recipe.format != "pickle" || !recipe.expected.is_hostile() {
            continue;
        }
        let hostile = recipe.build().expect("builds");
        let [(name, bytes)] = hostile.as_slice() else { continue };
        let padding = b"N0".repeat(5000);
        let after_proto = if bytes.starts_with(b"\x80") && !bytes[2..].starts_with(b"\x95") {
            Some([&bytes[..2], padding.as_slice(), &bytes[2..]].concat())
        } else {
            None
        };
        let second = [b"\x80\x02}.".as_slice(), bytes].concat();
        for moved in after_proto.into_iter().chain([second]) {
            let outcome = engine(name, moved);
            if !outcome.blocked || outcome.report.findings.is_empty() {
                wrong.push(format!("{}: {}", recipe.id, outcome.report.verdict));
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n  {}", wrong.len(), wrong.join("\n  "));
}
