//! Python source, parsed within bounds.
//!
//! The grammar is `ruff_python_parser`'s; this crate adds what judging foreign code needs: a bound on size and on
//! nesting (so that neither parsing nor walking nor dropping a tree can exhaust the stack), errors that name line
//! and column, and a table of what a module binds at its top level. Nothing is run or imported.

mod depth;
mod imports;
mod parse;
mod symbols;

pub use imports::{absolute, package_of};
pub use parse::{Error, Limits, Reason, parse};
pub use ruff_python_ast as ast;
pub use ruff_text_size::{Ranged, TextSize};
pub use symbols::{Binding, Patch, Symbols, dotted};
