//! What is known of callables: harmless uses, dangerous effects, distributions.

/// Version of the catalogue; part of the key of kept facts.
pub const VERSION: &str = "2026.11.1";
