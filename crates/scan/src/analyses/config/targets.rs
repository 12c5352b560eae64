//! What a `_target_` would call, and what a YAML tag of that kind would.
//!
//! Hydra imports the longest prefix that is a module, walks the rest by attributes and calls what it finds. A name that is
//! neither proved harmless nor known as a class of a framework is a call of something uncatalogued.

use super::super::directive::dangerous_name;
use crate::catalogue;
use std::collections::HashSet;
use std::sync::LazyLock;

/// Classes that only compute, of exactly these names.
static HARMLESS: LazyLock<HashSet<&str>> = LazyLock::new(|| lines(include_str!("targets/harmless.txt")));
/// Classes of frameworks that configurations of published models name, of exactly these names. Nobody read them.
static KNOWN: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let lists = [include_str!("targets/known.txt"), include_str!("targets/speechbrain.txt")];
    lists.into_iter().flat_map(lines).collect()
});

fn lines(text: &'static str) -> HashSet<&'static str> {
    text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect()
}

/// The code of the directive that a target is; `None` if it is harmless.
pub(crate) fn code(target: &str) -> Option<&'static str> {
    let target = target.trim();
    if HARMLESS.contains(target) {
        return None;
    }
    if KNOWN.contains(target) {
        return Some("hydra-target-known");
    }
    Some(if dangerous_name(target) || effect(target) { "hydra-target-dangerous" } else { "hydra-target" })
}

/// Functions that a configuration of SpeechBrain keeps for a training, and constants: named, not called, when it is read.
const HELD: [&str; 4] = [
    "speechbrain.augment.preparation.prepare_dataset_from_URL",
    "speechbrain.dataio.dataset.DynamicItemDataset.from_json",
    "speechbrain.integrations.k2_fsa.losses.ctc_k2",
    "huggingface_hub.constants.HUGGINGFACE_HUB_CACHE",
];

/// The code of a name that is only kept (`!name:`).
pub(crate) fn held(target: &str) -> Option<&'static str> {
    if HELD.contains(&target) { Some("hydra-target-known") } else { code(target) }
}

/// True if the catalogue lists the name as dangerous.
pub(crate) fn effect(dotted: &str) -> bool {
    dotted.rsplit_once('.').is_some_and(|(module, name)| catalogue::is_listed_dangerous(module, name))
}

/// A Python identifier.
pub(crate) fn is_identifier(s: &str) -> bool {
    s.len() <= 200
        && s.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && s.chars().all(|c| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_names_only() {
        assert_eq!(code("torch.nn.Linear"), None);
        assert_eq!(code("torch.nn.LinearX"), Some("hydra-target"));
        assert_eq!(code("torch.nn.Linear.__init__.__globals__"), Some("hydra-target-dangerous"));
        assert_eq!(code("nemo.collections.asr.modules.ConformerEncoder"), Some("hydra-target-known"));
        assert_eq!(code("nemo.collections.asr.modules.os.system"), Some("hydra-target-dangerous"));
        assert_eq!(code("torch.load"), Some("hydra-target-dangerous"));
        assert_eq!(code("torch.hub.load"), Some("hydra-target-dangerous"));
        assert_eq!(code("hydra.utils.instantiate"), Some("hydra-target-dangerous"));
        assert_eq!(code("mine.make"), Some("hydra-target"));
        assert_eq!(code("speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN"), Some("hydra-target-known"));
        assert_eq!(code("speechbrain.utils.superpowers.run_shell"), Some("hydra-target"));
        assert_eq!(code("speechbrain.dataio.dataio.load_pkl"), Some("hydra-target"));
        assert_eq!((held(HELD[0]), code(HELD[0])), (Some("hydra-target-known"), Some("hydra-target")));
        assert_eq!(held("os.system"), Some("hydra-target-dangerous"));
    }

    #[test]
    fn no_list_holds_a_dangerous_name() {
        for name in HARMLESS.iter().chain(KNOWN.iter()) {
            assert!(!dangerous_name(name) && !effect(name), "{name}");
            assert!(name.split('.').all(is_identifier), "{name}");
        }
    }
}
