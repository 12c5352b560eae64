//! Analyses of text and values that several formats share.

pub(crate) mod config;
pub(crate) mod directive;
pub(crate) mod double_array;
pub(crate) mod embedded;
pub(crate) mod instructions;
pub(crate) mod java;
pub(crate) mod jinja;
mod jinja_names;
#[cfg(test)]
mod jinja_tests;
pub(crate) mod keras;
pub(crate) mod lenient_json;
pub(crate) mod marshal;
pub(crate) mod metadata;
pub(crate) mod modelfile;
pub(crate) mod mojo;
pub(crate) mod opaque;
pub(crate) mod paths;
pub(crate) mod python;
pub(crate) mod regex_cost;
pub(crate) mod secrets;
pub(crate) mod spacy;
pub(crate) mod tf_graph;
pub(crate) mod torch_export;
pub(crate) mod torchscript;
pub(crate) mod torchserve;
pub(crate) mod yaml;

pub(crate) use keras::config as keras_config;
