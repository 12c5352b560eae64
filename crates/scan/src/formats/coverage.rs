//! What the coverage page (`docs/coverage.md`) says, as data beside each format, so that both change together.

/// One row of the page: a format, or formats that share a reader.
#[derive(Debug)]
pub struct Coverage {
    /// Name for people.
    pub title: &'static str,
    /// Ids in reports besides those of the registered formats: variants that are told apart while scanning.
    pub ids: &'static [&'static str],
    /// Which loaders open it.
    pub loaders: &'static str,
    /// What is judged.
    pub judged: &'static str,
    /// What is not: stated blind spots.
    pub blind: &'static str,
    /// Folders of `corpus/` that hold its recipes.
    pub corpus: &'static [&'static str],
}

/// What is judged across formats.
pub static ACROSS: &[&Coverage] = &[&PYTHON, &CONFIGURATIONS, &TEMPLATES, &KERAS, &SKOPS, &UNIT, &SECRETS];

static PYTHON: Coverage = Coverage {
    title: "Repository code",
    ids: &[],
    loaders: "`trust_remote_code`, `torch.hub`, handlers, mlflow's `code/`, Jupyter, pip, conda, shells",
    judged: "Python by its effects at import, in methods that loaders call, and otherwise; notebooks cell by cell; \
        requirements, environments, shell scripts and Dockerfiles for attacks",
    blind: "one file at a time; effects of unknown libraries; values that pass through containers filled in loops; other \
        languages are `unsupported`",
    corpus: &["repo-code"],
};

static CONFIGURATIONS: Coverage = Coverage {
    title: "Configurations that name code",
    ids: &[],
    loaders: "transformers, diffusers, sentence-transformers, peft, Hydra, OmegaConf, NeMo, Lightning, mlflow, YAML readers",
    judged: "`auto_map`, custom pipelines, `modules.json`, `model_index.json`, adapters, shard indexes, `_target_` and class \
        paths by exact lists, YAML tags and resolvers, `MLmodel`",
    blind: "classes of frameworks beyond those listed are suspicious; `trust_remote_code` in YAML",
    corpus: &["document", "spacy", "speechbrain", "adapter", "ollama"],
};

static TEMPLATES: Coverage = Coverage {
    title: "Chat templates",
    ids: &[],
    loaders: "transformers, llama.cpp, vLLM, Ollama",
    judged: "the syntax tree: attributes, filters, names put together from pieces; in GGUF, `tokenizer_config.json`, processors \
        and files of their own",
    blind: "templates that only burn time or memory; what the rendered text makes a model say",
    corpus: &["gguf", "document"],
};

static SKOPS: Coverage = Coverage {
    title: "skops models",
    ids: &["skops"],
    loaders: "`skops.io.load`, `skops.io.get_untrusted_types`, `skops.card`",
    judged: "`schema.json` as the pickle that makes the same imports and calls; classes that are shown against those that are \
        built; shared ids; member arrays",
    blind: "schemas over 16 MiB are gaps; methods of catalogued classes are suspicious",
    corpus: &["skops"],
};

static KERAS: Coverage = Coverage {
    title: "Keras models",
    ids: &["keras-zip", "keras-h5", "keras-json"],
    loaders: "`keras.models.load_model` of Keras 1 to 3, `model_from_json`, TensorFlow.js converters",
    judged: "every class, function and module in the configuration by exact lists of sixteen releases; code of Lambda layers \
        by names and texts; files and addresses it names",
    blind: "what custom classes do; constructor arguments that exhaust memory; models as YAML (`keras-yaml`) are `unsupported`",
    corpus: &["keras"],
};

static UNIT: Coverage = Coverage {
    title: "A repository as one unit",
    ids: &[],
    loaders: "whatever opens one file because another names it",
    judged: "code that a configuration names or code imports, the configuration that names code, code of another repository, \
        shards of an index, external data of ONNX and weights of OpenVINO (there, long enough, not hostile), assets of a SavedModel",
    blind: "modules imported by computed names; the gate looks at weights by ranges until they are asked for themselves; `scan` \
        does not fetch other repositories; which of several weight files a loader would pick is not told",
    corpus: &[],
};

static SECRETS: Coverage = Coverage {
    title: "Credentials left behind",
    ids: &[],
    loaders: "nobody: they harm their owner",
    judged: "private keys in PEM, keys of AWS, Google and Azure, tokens of hubs and services by the forms of their issuers, in text, \
        source, configuration and metadata of safetensors and GGUF",
    blind: "text inside pickles, ONNX and HDF5; encrypted keys; passwords and other forms without a prefix of their own",
    corpus: &[],
};
