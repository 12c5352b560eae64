//! Judged files as text, JSON, SARIF and HTML. Data in, string out: nothing here reads or writes.
//!
//! Everything that a file's author can name (paths, members, callables, arguments) arrives escaped from
//! the engine and is made printable once more here, because a scan worker that an attacker owns may not
//! have escaped it.
#![warn(missing_docs)]

mod html;
mod json;
mod printable;
mod rules;
mod run;
mod sarif;
mod text;

pub use html::{Page, html_fragment, html_page};
pub use json::{SCHEMA, json, json_file};
pub use printable::{printable, size};
pub use rules::{rule_json, rule_page, rules_json, rules_table};
pub use run::{FileEntry, ScanError, ScanRun};
pub use sarif::sarif;
pub use text::{TextOptions, text};
