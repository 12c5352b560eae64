//! The small files beside a SavedModel: its fingerprint, Keras' metadata, the marker of a TensorFlow Hub module.

use super::protobuf::{LEN, VARINT, Wire};
use super::{Claim, Coverage, Format, Probe, tf_meta};
use crate::cx::{Cx, Stop};
use wb_blob::Blob;

/// `fingerprint.pb`: checksums, a version, a UUID.
pub struct Fingerprint;
/// `keras_metadata.pb`: the configuration of each layer, as JSON.
pub struct KerasMetadata;
/// `tfhub_module.pb`: which kind of module the folder is.
pub struct HubModule;

/// Looks at the outermost fields of a small message; `None` if it is none.
fn outer(probe: &Probe, most: u64) -> Option<Vec<(u32, u8, u64)>> {
    if probe.blob.len() > most || probe.blob.is_empty() {
        return None;
    }
    let mut w = Wire::new(&probe.blob);
    let (mut span, mut out) = (w.all(), Vec::new());
    while let Some(f) = w.field(&mut span).ok()? {
        out.push((f.number, f.wire, f.value));
    }
    Some(out)
}

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "Files beside a SavedModel",
    ids: &[],
    loaders: "TensorFlow, TF Hub, Keras 2",
    judged: "every field; configurations of Keras in the metadata",
    blind: "",
    corpus: &[],
};

impl Format for Fingerprint {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "tf-fingerprint"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        let Some(fields) = outer(probe, 4096) else { return Claim::No };
        let hashes =
            fields.iter().filter(|(n, w, v)| (1..=5).contains(n) && *w == VARINT && *v > u64::from(u32::MAX));
        let own = fields.iter().all(|(n, w, _)| matches!((n, w), (1..=5, &VARINT) | (6 | 7, &LEN)));
        if own && hashes.count() >= 2 { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut w = Wire::new(blob);
        let mut span = w.all();
        while let Some(f) = w.next(&mut span, cx)? {
            match (f.number, f.wire) {
                (1..=5, VARINT) => {}
                (6 | 7, LEN) => w.opaque(&f, "the fingerprint", cx)?,
                _ => w.unknown(&f, "FingerprintDef", cx)?,
            }
        }
        Ok(())
    }
}

impl Format for HubModule {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "tf-hub-module"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        // ModuleDef with `format: FORMAT_V3`, the only one there is, and names of features.
        let Some(fields) = outer(probe, 1024) else { return Claim::No };
        let own = fields.iter().all(|(n, w, v)| matches!((n, w, v), (1, &VARINT, 3) | (2, &LEN, _)));
        if own && fields.contains(&(1, VARINT, 3)) { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut w = Wire::new(blob);
        let mut span = w.all();
        while let Some(f) = w.next(&mut span, cx)? {
            w.opaque(&f, "the module's marker", cx)?;
        }
        Ok(())
    }
}

impl Format for KerasMetadata {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "keras-metadata"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if probe.head.first() != Some(&0x0a) && probe.head.first().is_none_or(|b| b & 7 != 2) {
            return Claim::No;
        }
        let mut w = Wire::new(&probe.blob);
        let mut span = w.all();
        for _ in 0..64 {
            let Ok(Some(f)) = w.field(&mut span) else { break };
            if (f.number, f.wire) != (1, LEN) {
                continue;
            }
            let mut inner = f.span();
            while let Ok(Some(o)) = w.field(&mut inner) {
                if (o.number, o.wire) == (4, LEN)
                    && w.bytes(&o, 16).is_ok_and(|b| b.starts_with(b"_tf_keras"))
                {
                    return Claim::Strong;
                }
            }
        }
        Claim::No
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut w = Wire::new(blob);
        let mut span = w.all();
        while let Some(f) = w.next(&mut span, cx)? {
            if (f.number, f.wire) != (1, LEN) {
                w.unknown(&f, "SavedMetadata", cx)?;
                continue;
            }
            let mut inner = f.span();
            while let Some(o) = w.next(&mut inner, cx)? {
                match (o.number, o.wire) {
                    (2, VARINT) | (1 | 3 | 4, LEN) => {}
                    (5, LEN) => tf_meta::metadata(&mut w, &o, cx)?,
                    _ => w.unknown(&o, "SavedObject of Keras", cx)?,
                }
            }
        }
        Ok(())
    }
}
