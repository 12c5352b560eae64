//! What TensorFlow's operators do: an exact list of harmless names, and the others with their effect.
//!
//! The lists come from TensorFlow's own registries, see the head of `tensorflow/harmless.txt`.

use std::collections::HashMap;
use std::sync::OnceLock;

const HARMLESS: &str = include_str!("tensorflow/harmless.txt");
const EFFECTS: &str = include_str!("tensorflow/effects.tsv");

/// What an operator does beyond computing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Writes a file of the given name.
    Write,
    /// As [`Self::Write`], and part of every saver.
    Save,
    /// Writes a file, unless the name is empty.
    Cache,
    /// Writes a file or opens a connection, by address; given or not.
    Debug,
    /// As [`Self::Debug`], if an address is given.
    Copy,
    /// Writes a file, if the attribute names one.
    Print,
    /// Reads a file of the given name.
    Read,
    /// As [`Self::Read`], and part of every saver.
    Restore,
    /// Reads files whose names it takes from a queue.
    Reader,
    /// Reads a file, if one is named.
    Optional,
    /// Reads a file, if the attribute names no built-in source.
    Descriptor,
    /// Talks to other machines or processes.
    Network,
    /// Calls a Python function.
    Python,
    /// Runs a serialized graph.
    Graph,
    /// Runs native code, a program, or ends the process.
    Native,
}

/// Where the name of a file is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameAt {
    Nowhere,
    Inputs(&'static str),
    Attribute(&'static str),
}

/// One catalogued operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Harmless,
    Effect(Effect, NameAt),
}

/// The operator of this name, if it is catalogued.
pub(crate) fn operator(name: &str) -> Option<Operator> {
    static TABLE: OnceLock<HashMap<&'static str, Operator>> = OnceLock::new();
    TABLE.get_or_init(table).get(name).copied()
}

fn rows(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|l| !l.is_empty() && !l.starts_with('#'))
}

fn table() -> HashMap<&'static str, Operator> {
    let mut out: HashMap<_, _> = rows(HARMLESS).map(|name| (name, Operator::Harmless)).collect();
    for row in rows(EFFECTS) {
        let mut cells = row.split('\t');
        let (Some(name), Some(effect), Some(at)) = (cells.next(), cells.next(), cells.next()) else {
            continue;
        };
        let at = match (at, at.strip_prefix('@')) {
            ("-", _) => NameAt::Nowhere,
            (_, Some(attribute)) => NameAt::Attribute(attribute),
            (inputs, None) => NameAt::Inputs(inputs),
        };
        // A word that is not understood is the worst there is.
        out.insert(name, Operator::Effect(effect_of(effect).unwrap_or(Effect::Debug), at));
    }
    out
}

fn effect_of(word: &str) -> Option<Effect> {
    Some(match word {
        "write" => Effect::Write,
        "save" => Effect::Save,
        "cache" => Effect::Cache,
        "debug" => Effect::Debug,
        "copy" => Effect::Copy,
        "print" => Effect::Print,
        "read" => Effect::Read,
        "restore" => Effect::Restore,
        "reader" => Effect::Reader,
        "optional" => Effect::Optional,
        "descriptor" => Effect::Descriptor,
        "network" => Effect::Network,
        "python" => Effect::Python,
        "graph" => Effect::Graph,
        "native" => Effect::Native,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_understood_and_no_operator_is_both() {
        for row in rows(EFFECTS) {
            let cells: Vec<_> = row.split('\t').collect();
            assert_eq!(cells.len(), 3, "{row}");
            assert!(effect_of(cells[1]).is_some(), "{row}");
            assert!(!rows(HARMLESS).any(|h| h == cells[0]), "{row}");
        }
        assert!(rows(HARMLESS).count() > 1700);
        assert_eq!(operator("MatMul"), Some(Operator::Harmless));
        assert_eq!(operator("SaveV2"), Some(Operator::Effect(Effect::Save, NameAt::Inputs("0"))));
        assert_eq!(operator("matmul"), None);
    }

    #[test]
    fn names_that_speak_of_the_outside_are_not_harmless() {
        // A tripwire for the next release's list, not the reason: what passes here was looked at. Readers read what a queue
        // names and are made by an operator of effects.tsv; summaries go to a writer made by one.
        let looked_at = |n: &str| {
            [
                "Reader",
                "IdentityReader",
                "TensorArray",
                "ReadVariable",
                "Write",
                "StatsAggregator",
                "ShardedFile",
            ]
            .iter()
            .any(|p| n.starts_with(p))
                || n.ends_with("SummaryWriter")
                || matches!(
                    n,
                    "BarrierReadySize"
                        | "DisableCopyOnRead"
                        | "ProcessInputV4"
                        | "RngReadAndSkip"
                        | "UnicodeScript"
                )
        };
        for name in rows(HARMLESS) {
            let speaks =
                ["File", "Read", "Write", "Rpc", "Py", "Script", "Exec", "Url", "Socket", "Shell", "Process"]
                    .iter()
                    .any(|w| name.contains(w));
            assert!(!speaks || looked_at(name), "{name}");
        }
    }
}
