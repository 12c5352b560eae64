//! TensorRT engines (plans). The format is NVIDIA's own; only its beginning is known: a tag, the version of the serialization
//! and a size (read from files and from the messages of the runtime). Exporters of YOLO models put their metadata before it:
//! four bytes of length and JSON. An engine holds device code, and may hold host code: plugin libraries serialized with it
//! (`setPluginsToSerialize`, TensorRT 8.6) and the lean runtime of version-compatible engines.

use super::{Claim, Coverage, Format, Probe, compiled};
use crate::cx::{Cx, Stop};
use std::collections::HashSet;
use wb_blob::Blob;
use wb_verdict::{FactKind, escape};

/// `.engine`, `.plan`, `.trt` files.
pub struct TensorRt;

/// Creators registered by NVIDIA's plugin library (`plugin/` of TensorRT's open part, releases 7 to 10).
const OWN: &[&str] = &[
    "BatchTilePlugin_TRT",
    "BatchedNMSDynamic_TRT",
    "BatchedNMS_TRT",
    "Clip_TRT",
    "CropAndResizePlugin",
    "CustomEmbLayerNormPluginDynamic",
    "CustomFCPluginDynamic",
    "CustomGeluPluginDynamic",
    "CustomQKVToContextPluginDynamic",
    "CustomSkipLayerNormPluginDynamic",
    "DecodeBbox3DPlugin",
    "DetectionLayer_TRT",
    "DisentangledAttention_TRT",
    "EfficientNMS_Explicit_TF_TRT",
    "EfficientNMS_Implicit_TF_TRT",
    "EfficientNMS_ONNX_TRT",
    "EfficientNMS_TRT",
    "FlattenConcat_TRT",
    "GenerateDetection_TRT",
    "GridAnchorRect_TRT",
    "GridAnchor_TRT",
    "GroupNormalizationPlugin",
    "InstanceNormalization_TRT",
    "LReLU_TRT",
    "MultilevelCropAndResize_TRT",
    "MultilevelProposeROI_TRT",
    "MultiscaleDeformableAttnPlugin_TRT",
    "NMSDynamic_TRT",
    "NMS_TRT",
    "Normalize_TRT",
    "PillarScatterPlugin",
    "PriorBox_TRT",
    "ProposalLayer_TRT",
    "PyramidROIAlign_TRT",
    "ROIAlign_TRT",
    "RPROI_TRT",
    "Region_TRT",
    "Reorg_TRT",
    "ResizeNearest_TRT",
    "SingleStepLSTMPlugin",
    "SpecialSlice_TRT",
    "VoxelGeneratorPlugin",
];

/// Where the tag stands: at the start, or behind JSON and its length.
fn tag(probe: &Probe) -> Option<u64> {
    let head = &probe.head;
    let is_tag = |b: &[u8]| b.starts_with(b"ftrt") || b.starts_with(b"ptrt");
    if is_tag(head) {
        return Some(0);
    }
    let len = u64::from(u32::from_le_bytes(head.get(..4)?.try_into().ok()?));
    if head.get(4) != Some(&b'{') || len < 2 {
        return None;
    }
    let at = 4 + len;
    let tag = probe.blob.read_range(at..(at + 4).min(probe.blob.len().max(at))).ok()?;
    is_tag(&tag).then_some(at)
}

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "TensorRT engines",
    ids: &[],
    loaders: "TensorRT, Triton",
    judged: "text of the engine: libraries, commands, plugins; images of host code",
    blind: "stays `unsupported` whatever is found: compiled code in an undocumented form",
    corpus: &["tensorrt"],
};

impl Format for TensorRt {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "tensorrt"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if tag(probe).is_some() { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let at = tag(&Probe::new(blob)?).unwrap_or(0);
        if at > 4 {
            cx.member(b"(metadata)", &blob.sub(4..at));
        }
        let mut told = HashSet::new();
        let detail = "an engine holds code compiled for a gpu, in a format that only nvidia's runtime reads";
        compiled::judge(&blob.sub(at..blob.len()), "tensorrt", detail, cx, &mut |place, text, cx| {
            if plugin(text) && told.len() < 50 && told.insert(text.to_string()) {
                let (code, op) = ("tensorrt-plugin-name".into(), escape(text));
                let detail = "by the form of its name".to_string();
                cx.fact(Some(at + place), FactKind::Operator { code, op, detail });
            }
        })
    }
}

/// Does this text name a plugin that is not NVIDIA's?
fn plugin(text: &str) -> bool {
    const ENDS: &[&str] = &["_TRT", "Plugin", "PluginDynamic", "PluginV2", "PluginV3"];
    let name = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && text.starts_with(|c: char| c.is_ascii_alphabetic());
    name && text.len() <= 100 && ENDS.iter().any(|e| text.ends_with(e)) && !OWN.contains(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_by_their_names() {
        assert!(plugin("MyAttention_TRT") && plugin("YoloLayerPlugin"));
        assert!(!plugin("EfficientNMS_TRT") && !plugin("conv1 + relu_TRT") && !plugin("ampere_sgemm"));
    }

    #[test]
    fn metadata_before_the_engine() {
        let engine = |front: &[u8]| {
            let bytes = [front, b"ptrt\x00\x01\x02\x03"].concat();
            tag(&Probe::new(&Blob::from_vec(bytes)).unwrap())
        };
        assert_eq!(engine(b""), Some(0));
        assert_eq!(engine(b"\x08\0\0\0{\"a\": 1}"), Some(12));
        assert_eq!(engine(b"\x09\0\0\0{\"a\": 1}"), None);
        assert_eq!(engine(b"\xff\xff\xff\xff{\"a\": 1}"), None);
    }
}
