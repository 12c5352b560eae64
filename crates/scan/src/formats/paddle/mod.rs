//! Inference models of PaddlePaddle: programs as protobuf (`.pdmodel`, `__model__`) and as JSON (PIR, `.json`), parameters
//! (`.pdiparams`). `.pdparams` and `.pdopt` are pickles and are judged as such.
//!
//! A program is a list of operators. They are judged by name against what the framework registers; operators that open files
//! or connections, call Python, or run a compiled engine do more than compute.
//!
//! Source: `paddle/fluid/framework/framework.proto`, `lod_tensor.cc`, `fluid/pir/serialize_deserialize` of Paddle 2.6 to 3.x.

mod operators;
mod parameters;
mod program;

pub(super) use parameters::Parameters;
pub(super) use program::{Pir, Program};
