//! One file per format. A format is recognised by content, as its loaders would; names only add readings.

mod catboost;
mod checkpoint_state;
mod cntk;
mod codec;
mod compiled;
mod compressed;
mod coreml;
pub mod coverage;
mod crfsuite;
mod cursor;
mod decoded;
mod document;
mod executable;
mod executorch;
mod fasttext;
mod flat_layout;
mod flatbuffer;
mod ggml;
mod gguf;
mod gguf_types;
mod hdf5;
mod joblib;
mod kd_tree;
mod leftover;
mod lightgbm;
mod media;
mod mnn;
mod msgpack;
mod mxnet;
mod ncnn;
mod numpy;
mod numpy_state;
mod ocdbt;
mod onnx;
mod openvino;
mod paddle;
mod pickle;
mod pickle_facts;
mod pmml;
mod protobuf;
mod prototext;
mod pyc;
mod r;
mod rar;
mod recognised;
mod rknn;
mod safetensors;
mod sentencepiece;
mod sevenz;
mod skops;
mod source;
mod tar;
mod tar_header;
mod tar_records;
mod tar_sparse;
mod tar_torch;
mod tensorflow;
mod tensorrt;
mod tf_checkpoint;
mod tf_meta;
mod tf_proto;
mod tf_schema;
mod tf_small;
mod tf_text;
mod tfjs;
mod tflite;
mod tflite_op;
mod tflite_tensor;
mod tokenizer_json;
mod torch7;
mod torch_export;
mod torch_legacy;
mod torchscript;
pub(crate) mod weights_only;
mod wire;
mod word_vectors;
mod xgboost;
mod xml;
mod zip;
mod zip_kind;
mod zip_member;
mod zip_records;

pub use coverage::Coverage;
pub use recognised::ids as recognised;

use crate::cx::{Cx, Stop};
use std::io;
use wb_blob::Blob;

/// How sure a format is that some loader would open these bytes as itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// No loader of this format opens it.
    No,
    /// Possible, if nothing else explains the bytes better.
    Weak,
    /// A loader opens it.
    Strong,
}

/// What claims are decided on: the beginning and the end of a blob, read once.
pub struct Probe {
    /// The whole blob, for claims that must look further.
    pub blob: Blob,
    /// At most the first 4 KiB.
    pub head: Vec<u8>,
    /// At most the last 64 KiB + 22 bytes (where a zip's end record can be).
    pub tail: Vec<u8>,
}

impl Probe {
    const HEAD: usize = 4 << 10;
    const TAIL: u64 = (64 << 10) + 22;

    pub(crate) fn new(blob: &Blob) -> io::Result<Self> {
        let head = blob.head(Self::HEAD)?;
        let tail = if blob.len() <= head.len() as u64 {
            head.clone()
        } else {
            blob.read_range(blob.len().saturating_sub(Self::TAIL)..blob.len())?
        };
        Ok(Self { blob: blob.clone(), head, tail })
    }
}

/// A file format.
pub trait Format: Sync {
    /// Stable id, lower-case.
    fn id(&self) -> &'static str;
    /// Would a loader of this format open these bytes? By content only.
    fn claim(&self, probe: &Probe) -> Claim;
    /// Records what loading would do. Every byte is attributed: structure, data, or a gap.
    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop>;
    /// What the coverage page says of it. `cargo xtask docs` fails while a format has none.
    fn coverage(&self) -> Option<&'static Coverage> {
        None
    }
}

/// All formats. The order is the order of scanning and of format ids in reports.
pub static REGISTRY: &[&dyn Format] = &[
    &zip::Zip,
    &tar::Tar,
    &sevenz::SevenZ,
    &rar::Rar,
    &compressed::GZIP,
    &compressed::ZLIB,
    &compressed::BZIP2,
    &compressed::XZ,
    &compressed::LZMA,
    &compressed::ZSTD,
    &compressed::LZ4,
    &compressed::ZFile,
    &safetensors::Safetensors,
    &gguf::Gguf,
    &hdf5::Hdf5,
    &torch_legacy::TorchLegacy,
    &pickle::Pickle,
    &numpy::Npy,
    &executable::Executable,
    &pyc::Pyc,
    &media::PNG,
    &media::JPEG,
    &media::GIF,
    &media::RIFF,
    &media::OGG,
    &media::FLAC,
    &media::MP3,
    &media::MP4,
    &media::PDF,
    &media::PdfActions,
    &media::PARQUET,
    &media::ARROW,
    &tensorflow::SavedModel,
    &tensorflow::MetaGraph,
    &tensorflow::GraphDef,
    &tf_checkpoint::Checkpoint,
    &tf_small::Fingerprint,
    &tf_small::KerasMetadata,
    &tf_small::HubModule,
    &tf_text::Text,
    &tflite::TfLite,
    &tfjs::TfJs,
    &executorch::ExecuTorch,
    &onnx::Onnx,
    &onnx::OnnxText,
    &onnx::OnnxJson,
    &onnx::OnnxSyntax,
    &onnx::Ort,
    &coreml::CoreMl,
    &openvino::OpenVino,
    &pmml::Pmml,
    &xgboost::XgboostJson,
    &xgboost::XgboostUbjson,
    &xgboost::XgboostBinary,
    &lightgbm::LightGbm,
    &catboost::CatBoost,
    &catboost::CatBoostJson,
    &fasttext::FastText,
    &crfsuite::CrfSuite,
    &sentencepiece::SentencePiece,
    &tokenizer_json::TokenizerJson,
    &word_vectors::WordVectors,
    &ocdbt::Ocdbt,
    &msgpack::MessagePack,
    &tensorrt::TensorRt,
    &rknn::Rknn,
    &cntk::Cntk,
    &ncnn::NcnnText,
    &ncnn::NcnnBinary,
    &mnn::Mnn,
    &mxnet::MxnetParams,
    &mxnet::MxnetSymbol,
    &ggml::Ggml,
    &paddle::Program,
    &paddle::Pir,
    &paddle::Parameters,
    &r::R,
    &torch7::Torch7,
    &recognised::Recognised,
    &document::Text,
];
