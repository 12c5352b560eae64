//! What torch's operators do, by namespace and name: an exact list of harmless ones, and the others with their effect.
//!
//! The list comes from torch's own registries, see `tools/torch-ops/`. TorchScript, mobile bytecode, exported programs and
//! ExecuTorch name operators from the same ones.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

const HARMLESS: &str = include_str!("torch/operators.txt");
const EFFECTS: &str = include_str!("torch/effects.tsv");

/// What an operator does beyond computing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Writes a file of the given name.
    Write,
    /// Reads a file of the given name.
    Read,
    /// Talks to other machines or processes.
    Network,
    /// Calls a Python function.
    Python,
    /// Runs compiled code that the program brings.
    Native,
}

impl Effect {
    /// The code of the fact that tells it.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Write => "torch-file-write",
            Self::Read => "torch-file-read",
            Self::Network => "torch-network",
            Self::Python => "torch-python",
            Self::Native => "torch-native",
        }
    }
}

/// What is known of one operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Harmless,
    Effect(Effect),
    Unknown,
}

impl Operator {
    /// The code of the fact that tells it; none for a harmless one.
    pub(crate) fn code(self) -> Option<&'static str> {
        match self {
            Self::Harmless => None,
            Self::Effect(effect) => Some(effect.code()),
            Self::Unknown => Some("torch-unknown"),
        }
    }
}

#[derive(Default)]
struct Table {
    harmless: HashMap<&'static str, HashSet<&'static str>>,
    effects: HashMap<(&'static str, &'static str), Effect>,
    /// Names that have an effect in some namespace.
    names: HashMap<&'static str, Effect>,
}

fn rows(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|l| !l.is_empty() && !l.starts_with('#'))
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let (mut table, mut space) = (Table::default(), "");
        for line in rows(HARMLESS) {
            match line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                Some(name) => space = name,
                None => {
                    table.harmless.entry(space).or_default().insert(line);
                }
            }
        }
        for row in rows(EFFECTS) {
            let mut cells = row.split('\t');
            let (Some(space), Some(name), Some(word)) = (cells.next(), cells.next(), cells.next()) else {
                continue;
            };
            // A word that is not understood is the worst there is.
            let effect = effect_of(word).unwrap_or(Effect::Write);
            table.effects.insert((space, name), effect);
            if name != "*" {
                table.names.insert(name, effect);
            }
        }
        table
    })
}

fn effect_of(word: &str) -> Option<Effect> {
    Some(match word {
        "write" => Effect::Write,
        "read" => Effect::Read,
        "network" => Effect::Network,
        "python" => Effect::Python,
        "native" => Effect::Native,
        _ => return None,
    })
}

/// The operator `space::name`.
pub(crate) fn operator(space: &str, name: &str) -> Operator {
    let table = table();
    if let Some(effect) = table.effects.get(&(space, name)).or_else(|| table.effects.get(&(space, "*"))) {
        return Operator::Effect(*effect);
    }
    let known = table.harmless.get(space).is_some_and(|names| names.contains(name));
    if known { Operator::Harmless } else { Operator::Unknown }
}

/// The effect of an operator of this name in any namespace: what a name reached through a value may be.
pub(crate) fn effect_of_name(name: &str) -> Option<Effect> {
    table().names.get(name).copied()
}

/// True for `NAMESPACE.Class` behind `__torch__.torch.classes.` that torch itself registers.
pub(crate) fn is_known_class(name: &str) -> bool {
    operator("class", name) == Operator::Harmless
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_understood_and_no_operator_is_both() {
        for row in rows(EFFECTS) {
            let cells: Vec<_> = row.split('\t').collect();
            assert_eq!(cells.len(), 3, "{row}");
            assert!(effect_of(cells[2]).is_some(), "{row}");
            assert!(!table().harmless.get(cells[0]).is_some_and(|h| h.contains(cells[1])), "{row}");
        }
        assert!(rows(HARMLESS).count() > 2000);
        assert_eq!(operator("aten", "conv2d"), Operator::Harmless);
        assert_eq!(operator("aten", "save"), Operator::Effect(Effect::Write));
        assert_eq!(operator("c10d", "anything"), Operator::Effect(Effect::Network));
        assert_eq!(operator("mine", "conv2d"), Operator::Unknown);
        assert!(is_known_class("quantized.LinearPackedParamsBase") && !is_known_class("mine.Thing"));
    }

    #[test]
    fn names_that_speak_of_the_outside_are_not_harmless() {
        // A tripwire for the next release's list, not the reason: what passes here was looked at.
        let looked_at = ["profiler._RecordFunction", "executorch_call_delegate"];
        for name in rows(HARMLESS).filter(|n| !n.starts_with('[') && !looked_at.contains(n)) {
            let speaks = ["file", "save", "write", "rpc", "Python", "exec", "url", "socket", "shell", "load"]
                .iter()
                .any(|w| name.contains(w));
            assert!(!speaks, "{name}");
        }
    }
}
