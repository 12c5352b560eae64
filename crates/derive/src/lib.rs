//! What using a class or function from a pickle does, proved from its source.

mod ancestry;
mod builtins;
mod calls;
mod classes;
mod danger;
mod derive;
mod eval;
mod follow;
mod importing;
mod index;
mod known;
mod library;
mod objects;
mod prove;
mod reviewed;
mod sinks;
mod table;
mod value;
mod wheel;

pub use danger::Reached;
pub use derive::{Derived, Row, Unbound, derive};
pub use library::{Library, Source};
pub use wheel::read_wheel;
