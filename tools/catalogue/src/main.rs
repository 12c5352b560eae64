//! Derives the catalogue.
fn main() {}
