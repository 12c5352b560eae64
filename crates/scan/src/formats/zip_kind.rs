//! What a zip archive is, by the names of its members: it decides which members are opaque data.

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
    package: bool,
    package_source: Option<Vec<u8>>,
    export: bool,
    mar: bool,
    mar_source: Option<Vec<u8>>,
    keras: bool,
    skops: bool,
    npz: bool,
    other: Option<&'static str>,
    /// Stored bytes handed on so far; more than the file holds only where records overlap.
    pub work: Cell<u64>,
    /// Symbolic links met so far.
    pub links: RefCell<paths::Links>,
}

impl Kind {
    /// Recognises layouts from the member names of one archive.
    pub(super) fn of<'a>(names: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        let mut kind = Self::default();
        let has = |wanted: &[u8]| names.clone().any(|n| n.eq_ignore_ascii_case(wanted));
        let folder = |n: &[u8]| n.iter().position(|b| *b == b'/').map_or(0, |at| at + 1);
        let after = |n: &'a [u8]| &n[folder(n)..];
        let mut npz = (0usize, 0usize);
        let (mut meta, mut parameters, mut constants, mut archive_format) = (false, false, false, false);
        for n in names.clone() {
            let rest = after(n);
            if rest.eq_ignore_ascii_case(b"data.pkl") && kind.torch.is_none() {
                kind.torch = Some(n[..folder(n)].to_vec());
            }
            npz.0 += 1;
            npz.1 += usize::from(n.ends_with(b".npy"));
            meta |=
                matches!(rest, b"version" | b"byteorder" | b".data/version") || rest.starts_with(b"data/");
            constants |= rest == b"constants.pkl" || rest.starts_with(b"code/");
            kind.package |= rest == b".data/extern_modules";
            archive_format |= rest == b"archive_format";
            parameters |= rest.starts_with(b"models/") || rest.starts_with(b"data/");
            if n.ends_with(b".py") && kind.package_source.is_none() {
                kind.package_source = Some(n.to_vec());
            }
        }
        if !meta {
            kind.torch = None;
        }
        kind.script = constants && kind.torch.is_some();
        kind.export = archive_format && parameters;
        kind.mar = has(b"MAR-INF/MANIFEST.json");
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
        kind.other = [
            ("h2o-mojo", b"model.ini".as_slice()),
            ("jar", b"META-INF/MANIFEST.MF"),
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
            let rest = name.iter().position(|b| *b == b'/').map_or(name, |at| &name[at + 1..]);
            if rest.strip_prefix(b"data/weights/weight_").is_some_and(plain) {
                return true;
            }
        }
        if self.package {
            let rest = name.iter().position(|b| *b == b'/').map_or(name, |at| &name[at + 1..]);
            return rest.strip_prefix(b".data/").and_then(|r| r.strip_suffix(b".storage")).is_some_and(plain);
        }
        false
    }

    /// True for source members of a TorchScript archive: interpreted by torch's own interpreter, not Python.
    pub(super) fn is_script_source(&self, name: &[u8]) -> bool {
        self.script
            && name.ends_with(b".py")
            && self
                .torch
                .as_ref()
                .is_some_and(|p| name.strip_prefix(&p[..]).is_some_and(|r| r.starts_with(b"code/")))
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
        unsupported(cx, "torchscript", "TorchScript code is not judged");
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
        unsupported(cx, "torch-export", "exported programs are not judged");
    }
    if kind.mar {
        cx.refine("torchserve-mar");
        unsupported(cx, "torchserve-mar", "the handler and what it loads are not judged");
        if let Some(source) = &kind.mar_source {
            let detail = format!("{} runs as python in the model server", escape_bytes(source));
            cx.fact(None, FactKind::Directive { code: "torchserve-handler".into(), detail });
        }
    }
    if kind.keras {
        cx.refine("keras-zip");
    }
    if kind.skops {
        cx.refine("skops");
        unsupported(cx, "skops", "the schema of types is not judged");
    }
    if kind.npz {
        cx.refine("npz");
    }
    if let Some(other) = kind.other {
        unsupported(cx, other, "recognised by its members");
    }
}
