//! The rules. Ids are stable and never reused.

use wb_verdict::Rule;

/// All rules, by id.
pub static RULES: &[&Rule] = &[];
