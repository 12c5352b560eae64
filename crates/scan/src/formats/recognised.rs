//! Known formats that this build recognises and does not judge. Recognised by content; never silently clean.

use super::{Claim, Format, Probe};
use crate::cx::{Cx, Stop};
use wb_blob::Blob;
use wb_verdict::FactKind;

/// Formats told by a fixed string at a fixed place: id, offset, bytes.
const MAGIC: &[(&str, usize, &[u8])] = &[
    ("executorch-bundle", 4, b"BP08"),
    ("torch-mobile", 4, b"PTMF"),
    ("sqlite", 0, b"SQLite format 3\0"),
    ("litert-lm", 0, b"LITERTLM"),
    // A SavedModel too large for one message (`saved_model.cpb`) is kept as records of Riegeli.
    ("riegeli", 0, b"\x83\xaf\x70\xd1\x0d\x88\x4a\x3f"),
    ("mlir", 0, b"ML\xefR"),
    ("llvm-bitcode", 0, b"BC\xc0\xde"),
    ("java-serialization", 0, b"\xac\xed\x00\x05"),
    ("avro", 0, b"Obj\x01"),
    ("orc", 0, b"ORC"),
    ("squashfs", 0, b"hsqs"),
    ("squashfs", 0, b"sqsh"),
    ("erofs", 1024, b"\xe2\xe1\xf5\xe0"),
    ("cab", 0, b"MSCF\0\0\0\0"),
    ("ar", 0, b"!<arch>\n"),
    ("cpio", 0, b"07070"),
    ("lzip", 0, b"LZIP\x01"),
    ("snappy", 0, b"\xff\x06\x00\x00sNaPpY"),
    ("compress", 0, b"\x1f\x9d\x90"),
    ("feather", 0, b"FEA1"),
    ("git-lfs-pointer", 0, b"version https://git-lfs"),
    ("lua-bytecode", 0, b"\x1bLJ"),
    ("lua-bytecode", 0, b"\x1bLua"),
    ("keras-v3-model", 0, b"\x93KERAS"),
    ("matlab", 0, b"MATLAB 5.0 MAT-file"),
    ("netcdf", 0, b"CDF\x01"),
    ("netcdf", 0, b"CDF\x02"),
];

/// Ids of all formats that are recognised and not judged, sorted.
pub fn ids() -> Vec<&'static str> {
    let mut ids: Vec<&str> = MAGIC.iter().map(|m| m.0).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Every format of the table.
pub struct Recognised;

fn identify(probe: &Probe) -> Option<(&'static str, bool)> {
    let head = &probe.head[..];
    if let Some((id, ..)) =
        MAGIC.iter().find(|(_, at, magic)| head.get(*at..).is_some_and(|h| h.starts_with(magic)))
    {
        let text = *id == "git-lfs-pointer";
        return Some((id, text));
    }
    None
}

impl Format for Recognised {
    fn id(&self) -> &'static str {
        "recognised"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        match identify(probe) {
            // Text models are text besides.
            Some((_, true)) => Claim::Weak,
            Some((_, false)) => Claim::Strong,
            None => Claim::No,
        }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let probe = Probe::new(blob)?;
        let Some((id, _)) = identify(&probe) else { return Ok(()) };
        cx.unname(self.id());
        cx.refine(id);
        if id == "lua-bytecode" {
            cx.fact(Some(0), FactKind::Executable { code: "lua-bytecode".into() });
        }
        cx.fact(None, FactKind::Unsupported { format: id.into(), detail: "recognised, not judged".into() });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_id_is_listed() {
        let ids = super::ids();
        let source = include_str!("recognised.rs");
        for part in source.split("Some(\"").skip(1).chain(source.split("Some((\"").skip(1)) {
            let id = part.split('"').next().unwrap_or("");
            let literal = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            assert!(!literal || ids.contains(&id), "{id}");
        }
    }
}
