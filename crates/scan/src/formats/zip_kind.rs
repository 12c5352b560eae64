//! What a zip archive is, by the names of its members: it decides which members are opaque data.

use super::torchscript::Script;
use crate::analyses::paths;
use crate::cx::Cx;
use std::cell::{Cell, RefCell};
use wb_verdict::{FactKind, escape_bytes};

/// Layouts recognised in one archive.
#[derive(Default)]
pub(super) struct Kind {
    /// Folder prefix (with its slash) of a torch archive.
    pub torch: Option<Vec<u8>>,
    script: bool,
    /// As torch 1.0 and 1.1 wrote it: a description in JSON, tensors beside it.
    legacy_script: bool,
    package: bool,
    package_source: Option<Vec<u8>>,
    export: bool,
    mar: bool,
    mar_source: Option<Vec<u8>>,
    keras: bool,
    skops: bool,
    npz: bool,
    mojo: bool,
    other: Option<&'static str>,
    /// Stored bytes handed on so far; more than the file holds only where records overlap.
    pub work: Cell<u64>,
    /// Symbolic links met so far.
    pub links: RefCell<paths::Links>,
    /// TorchScript sources met so far.
    pub sources: RefCell<Script>,
}

/// The rest of a name behind the archive's own folder. torch looks members up regardless of case, so case decides nothing.
fn inside(name: &[u8]) -> Vec<u8> {
    let from = name.iter().position(|b| *b == b'/').map_or(0, |at| at + 1);
    name[from..].to_ascii_lowercase()
}

/// Where packages of AOTInductor keep what was compiled.
const AOTINDUCTOR: &[u8] = b"data/aotinductor/";

/// TorchScript that a package keeps.
fn is_packaged_script(inside: &[u8]) -> bool {
    inside.starts_with(b".data/ts_code/")
}

impl Kind {
    /// Recognises layouts from the member names of one archive.
    pub(super) fn of<'a>(names: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        let mut kind = Self::default();
        let has = |wanted: &[u8]| names.clone().any(|n| n.eq_ignore_ascii_case(wanted));
        let folder = |n: &[u8]| n.iter().position(|b| *b == b'/').map_or(0, |at| at + 1);
        let mut npz = (0usize, 0usize);
        let (mut meta, mut code, mut constants, mut legacy) = (false, false, false, false);
        for n in names.clone() {
            let rest = &inside(n)[..];
            if rest == b"data.pkl" && kind.torch.is_none() {
                kind.torch = Some(n[..folder(n)].to_vec());
            }
            npz.0 += 1;
            npz.1 += usize::from(n.ends_with(b".npy"));
            meta |=
                matches!(rest, b"version" | b"byteorder" | b".data/version") || rest.starts_with(b"data/");
            let python = rest.ends_with(b".py");
            code |= python && rest.starts_with(b"code/");
            constants |= matches!(rest, b"constants.pkl" | b"bytecode.pkl");
            legacy |= rest == b"model.json";
            kind.package |= rest == b".data/extern_modules";
            kind.export |=
                matches!(rest, b"archive_format" | b"archive_version" | b"serialized_exported_program.json")
                    || rest.starts_with(AOTINDUCTOR);
            if python && !is_packaged_script(rest) && kind.package_source.is_none() {
                kind.package_source = Some(n.to_vec());
            }
        }
        // Source and constants are read by torch alone, whatever else it would miss.
        kind.script = constants && (kind.torch.is_some() || code) || code && (kind.torch.is_some() || legacy);
        kind.legacy_script = kind.script && legacy && kind.torch.is_none();
        if !meta {
            kind.torch = None;
        }
        kind.mar = has(b"MAR-INF/MANIFEST.json") || has(b"WAR-INF/MANIFEST.json");
        kind.mar_source = kind.package_source.clone().filter(|_| kind.mar);
        if !kind.package {
            kind.package_source = None;
        }
        kind.keras = has(b"config.json")
            && [
                b"metadata.json".as_slice(),
                b"model.weights.h5",
                b"model.weights.npz",
                b"model.weights.json",
            ]
            .into_iter()
            .any(has);
        kind.skops = has(b"schema.json");
        kind.npz = npz.0 > 0 && npz.0 == npz.1;
        kind.mojo = has(b"model.ini");
        kind.other = [
            ("jar", b"META-INF/MANIFEST.MF".as_slice()),
            ("office-open-xml", b"[Content_Types].xml"),
            ("onnxruntime-extensions", b"ort.json"),
        ]
        .into_iter()
        .find(|(_, n)| has(n))
        .map(|(id, _)| id);
        kind
    }

    /// True for the member that Keras reads as the configuration of a model.
    pub(super) fn is_keras_config(&self, name: &[u8]) -> bool {
        self.keras && name.eq_ignore_ascii_case(b"config.json")
    }

    /// True for the member in which skops keeps its description of an object.
    pub(super) fn is_skops_schema(&self, name: &[u8]) -> bool {
        self.skops && name.eq_ignore_ascii_case(b"schema.json")
    }

    /// True if torch opens the pickles in it, with the storages beside them.
    pub(super) fn has_storages(&self) -> bool {
        self.torch.is_some() || self.package
    }

    /// True for members that torch reads as raw tensor bytes.
    pub(super) fn is_storage(&self, name: &[u8]) -> bool {
        let plain = |rest: &[u8]| !rest.is_empty() && rest.iter().all(|b| b.is_ascii_digit());
        if let Some(prefix) = &self.torch
            && let Some(rest) = name.strip_prefix(&prefix[..])
        {
            let stored = rest.strip_prefix(b"data/").or_else(|| rest.strip_prefix(b"constants/"));
            if stored.is_some_and(plain) {
                return true;
            }
        }
        if self.export {
            let rest = inside(name);
            let weight = rest.strip_prefix(b"data/weights/weight_");
            if weight.or_else(|| rest.strip_prefix(b"data/constants/tensor_")).is_some_and(plain) {
                return true;
            }
        }
        // Trees of H2O: a walk of bytes that its reader, in Java, holds against their length.
        if self.mojo
            && let Some(rest) = name.strip_prefix(b"trees/t").and_then(|r| r.strip_suffix(b".bin"))
        {
            return !rest.is_empty() && rest.iter().all(|b| b.is_ascii_digit() || b"_aux".contains(b));
        }
        if self.package {
            let rest = name.iter().position(|b| *b == b'/').map_or(name, |at| &name[at + 1..]);
            return rest.strip_prefix(b".data/").and_then(|r| r.strip_suffix(b".storage")).is_some_and(plain);
        }
        false
    }

    /// True for members that torch compiles as TorchScript: no Python, whatever their name says.
    pub(super) fn is_script_source(&self, name: &[u8]) -> bool {
        let rest = inside(name);
        rest.ends_with(b".py") && (self.script || (self.package && is_packaged_script(&rest)))
    }

    /// True for TorchScript sources where torch looks for them, so that nobody imports them as Python.
    pub(super) fn is_only_script(&self, name: &[u8]) -> bool {
        let rest = inside(name);
        rest.starts_with(b"code/") || is_packaged_script(&rest)
    }

    /// True for members that torch reads as an exported program, whatever their name ends in.
    pub(super) fn is_program(&self, name: &[u8]) -> bool {
        let rest = inside(name);
        self.export
            && !rest.ends_with(b"/")
            && (rest.starts_with(b"models/") || rest.ends_with(b"serialized_exported_program.json"))
    }

    /// True for code that a loader opens or compiles.
    pub(super) fn is_compiled(&self, name: &[u8]) -> bool {
        let rest = inside(name);
        self.export && rest.starts_with(AOTINDUCTOR) && !rest.ends_with(b".json") && !rest.ends_with(b"/")
    }

    /// True for the manifest of a TorchServe archive.
    pub(super) fn is_manifest(&self, name: &[u8]) -> bool {
        self.mar && name.to_ascii_lowercase().ends_with(b"-inf/manifest.json")
    }

    /// True if a weight may be a file that torch saved, instead of bare bytes.
    pub(super) fn has_saved_weights(&self) -> bool {
        self.export
    }

    /// True for the program of a mobile archive.
    pub(super) fn is_bytecode(&self, name: &[u8]) -> bool {
        self.script && inside(name) == b"bytecode.pkl"
    }
}

/// Records the layouts, and what of them cannot be judged.
pub(super) fn note(kind: &Kind, cx: &mut Cx<'_>) {
    let unsupported = |cx: &mut Cx<'_>, format: &str, detail: &str| {
        cx.fact(None, FactKind::Unsupported { format: format.into(), detail: detail.into() });
    };
    if kind.torch.is_some() {
        cx.refine("pytorch-zip");
    }
    if kind.script {
        cx.refine("torchscript");
        if kind.legacy_script {
            unsupported(cx, "torchscript", "an archive of torch 1.0 or 1.1");
        }
    }
    if kind.package {
        cx.refine("torch-package");
        if let Some(source) = &kind.package_source {
            let detail =
                format!("{} runs as python when a pickle of the package is loaded", escape_bytes(source));
            cx.fact(None, FactKind::Directive { code: "torch-package-source".into(), detail });
        }
    }
    if kind.export {
        cx.refine("torch-export");
    }
    if kind.mar {
        cx.refine("torchserve-mar");
        if let Some(source) = &kind.mar_source {
            let detail = format!("{} runs as python in the model server", escape_bytes(source));
            cx.fact(None, FactKind::Directive { code: "torchserve-handler".into(), detail });
        }
    }
    if kind.keras {
        cx.refine("keras-zip");
    }
    if kind.mojo {
        cx.refine("h2o-mojo");
    }
    if kind.npz {
        cx.refine("npz");
    }
    if let Some(other) = kind.other {
        unsupported(cx, other, "recognised by its members");
    }
}
