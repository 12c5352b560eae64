//! What the demo's hub holds: small real files written by real frameworks, and poisoned ones built from the
//! corpus's readable recipes, so that this binary carries no hostile bytes.

use anyhow::{Context, Result};
use std::path::Path;
use wb_policy::Action;

/// One file of the demo's hub, and what the gate must do with it.
pub struct DemoFile {
    /// `ns/name`.
    pub repo: &'static str,
    /// Path inside the repository.
    pub path: &'static str,
    /// What must come of pulling it.
    pub expected: Action,
    content: Content,
}

enum Content {
    /// Written by the framework named in the repository's README.
    Real(&'static [u8]),
    /// A recipe and its folder in the corpus.
    Recipe(&'static str, &'static str),
}

macro_rules! real {
    ($file:literal) => {
        Content::Real(include_bytes!(concat!("../../demo-files/", $file)))
    };
}
macro_rules! poisoned {
    ($format:literal, $case:literal) => {
        Content::Recipe(include_str!(concat!("../../../../corpus/", $format, "/", $case, ".toml")), $format)
    };
}

const fn file(repo: &'static str, path: &'static str, expected: Action, content: Content) -> DemoFile {
    DemoFile { repo, path, expected, content }
}

/// All files, harmless ones first.
pub static FILES: &[DemoFile] = &[
    file("demo/bert-safetensors", "model.safetensors", Action::Allow, real!("safetensors/model.safetensors")),
    file("demo/bert-safetensors", "config.json", Action::Allow, real!("safetensors/config.json")),
    file("demo/llama-gguf", "tiny.gguf", Action::Allow, real!("gguf/tiny.gguf")),
    file("demo/torch-weights", "pytorch_model.bin", Action::Allow, real!("torch-weights/pytorch_model.bin")),
    file("demo/numpy-weights", "w.npz", Action::Allow, real!("safetensors/w.npz")),
    file("demo/sklearn", "logreg.pkl", Action::Allow, real!("sklearn/logreg.pkl")),
    file("demo/trainer", "training_args.bin", Action::Warn, real!("trainer/training_args.bin")),
    file("demo/cloudpickled", "preprocess.pkl", Action::Block, real!("carries-code/lambda.pkl")),
    file("demo/poisoned-torch", "pytorch_model.bin", Action::Block, poisoned!("pytorch-zip", "ZIP-plain")),
    file("demo/poisoned-broken", "model.pkl", Action::Block, poisoned!("pickle", "PVM-broken-tail")),
    file("demo/poisoned-chain", "model.pkl", Action::Block, poisoned!("pickle", "CHAIN-import-methodcaller")),
    file("demo/poisoned-joblib", "model.joblib", Action::Block, poisoned!("joblib", "JOB-cmp-lzma")),
    file("demo/poisoned-gguf", "model.gguf", Action::Block, poisoned!("gguf", "GGF-ssti-mro")),
];

impl DemoFile {
    /// The file's bytes. A recipe must hold exactly one file.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        match &self.content {
            Content::Real(bytes) => Ok(bytes.to_vec()),
            Content::Recipe(text, format) => {
                let built = wb_recipes::Recipe::parse(text, format).and_then(|r| r.build());
                let files = built.with_context(|| format!("recipe of {}/{}", self.repo, self.path))?;
                let (_, bytes) = files.into_iter().next().context("a recipe without files")?;
                Ok(bytes)
            }
        }
    }
}

/// Writes the hub's folder tree.
pub fn write_hub(root: &Path) -> Result<()> {
    for file in FILES {
        let path = root.join("models").join(file.repo).join(file.path);
        let folder = path.parent().context("a file without a folder")?;
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        std::fs::write(&path, file.bytes()?).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
