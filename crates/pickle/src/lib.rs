//! Pickle streams read as their loaders read them: opcode table, abstract machine, disassembler.
//!
//! Nothing is imported, called or built. The machine keeps CPython's stack, marks and memo over abstract
//! values and reports every import and every way in which the stream calls something.
#![warn(missing_docs)]

mod value;

pub use value::{Call, Value};
