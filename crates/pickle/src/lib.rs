//! Pickle streams read as their loaders read them: opcode table, abstract machine, disassembler.
//!
//! Nothing is imported, called or built. The machine keeps CPython's stack, marks and memo over abstract
//! values and reports every import and every way in which the stream calls something.
#![warn(missing_docs)]

mod build;
mod calls;
mod containers;
mod decode;
mod disassemble;
mod exec;
mod explain;
mod extensions;
mod heap;
mod holds;
mod lines;
mod literal;
mod machine;
mod memo;
mod names;
mod nested;
mod objects;
mod observer;
mod opcode;
mod reach;
mod render;
mod state;
mod symbolic;
mod text_calls;
mod val;
mod value;
mod weights_only;

pub use disassemble::{Disassembly, Instruction, disassemble};
pub use explain::{Explainer, Line};
pub use heap::Callee;
pub use machine::{End, Machine, Run};
pub use names::fix_imports;
pub use observer::{Decoded, Nested, Observer, PendingCall, PendingValue, Skip};
pub use opcode::{Arg, OPCODES, Opcode, opcode};
pub use value::{Call, Held, Value};
