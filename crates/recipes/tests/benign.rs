//! Honest files written by real frameworks.

mod engine;

use engine::{corpus, engine};
use std::collections::BTreeSet;
use std::sync::OnceLock;
use wb_recipes::{Case, Evaluation, Label, evaluate, labelled, read_tsv};

fn cases() -> Vec<Case> {
    // Recipes are no labelled files; only the folder benign/ is.
    labelled(&corpus()).expect("the corpus can be read")
}

fn evaluation() -> &'static Evaluation {
    static ONE: OnceLock<Evaluation> = OnceLock::new();
    ONE.get_or_init(|| evaluate(&cases(), engine).expect("the tarball can be read"))
}

#[test]
fn no_honest_file_is_malicious_and_files_that_carry_code_are_suspicious() {
    let e = evaluation();
    let (benign, _) = e.count(Label::Benign);
    assert!(benign > 400 && e.count(Label::CarriesCode).0 >= 15, "{e}");
    assert!(e.misses.is_empty(), "{e}");
}

#[test]
fn at_most_a_tenth_is_blocked_and_each_is_listed() {
    let e = evaluation();
    let (benign, blocked) = e.count(Label::Benign);
    assert!(blocked * 10 <= benign, "{blocked} of {benign} are blocked\n{e}");
    let known: BTreeSet<String> = read_tsv(&corpus().join("benign/known-blocked.tsv"))
        .expect("the list can be read")
        .iter()
        .map(|row| row["path"].clone())
        .collect();
    let now: BTreeSet<String> = e.blocked_benign.iter().map(|m| m.id.clone()).collect();
    let new: Vec<_> = e.blocked_benign.iter().filter(|m| !known.contains(&m.id)).collect();
    let gone: Vec<_> = known.difference(&now).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "blocked, but not listed: {new:#?}\nlisted, but not blocked: {gone:#?}"
    );
}
