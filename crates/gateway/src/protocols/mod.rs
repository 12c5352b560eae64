//! The protocols spoken to clients.

pub mod hf;
