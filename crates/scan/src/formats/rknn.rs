//! Rockchip's models (`.rknn`): a header, the graph compiled for the NPU (a FlatBuffer, an OpenVX binary or a container of
//! their own), and JSON that describes it. Layout as Netron reads it (versions 1 to 6); the compiled part is documented by
//! nobody.

use super::{Claim, Coverage, Format, Probe, compiled};
use crate::cx::{Cx, Stop};
use wb_blob::Blob;
use wb_verdict::FactKind;

/// `.rknn` files.
pub struct Rknn;

const MAGICS: &[(usize, &[u8])] = &[(0, b"RKNN"), (4, b"RKNN"), (0, b"CYPTRKNN"), (0, b"VPMN")];

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "RKNN models",
    ids: &[],
    loaders: "rknn-toolkit, the RKNN runtime",
    judged: "sizes of the header, the description, names of libraries",
    blind: "stays `unsupported` whatever is found: compiled code in an undocumented form",
    corpus: &["rknn"],
};

impl Format for Rknn {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "rknn"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        let known = MAGICS.iter().any(|(at, m)| probe.head.get(*at..).is_some_and(|h| h.starts_with(m)));
        // A text that begins with these letters is none.
        let text = probe.head.iter().take(64).all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace());
        if known && !text { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        const DETAIL: &str =
            "a model holds code compiled for an npu, in a format that only rockchip's runtime reads";
        let head = blob.head(64)?;
        if head.starts_with(b"CYPTRKNN") {
            cx.fact(
                None,
                FactKind::Unsupported { format: "rknn".into(), detail: "an encrypted model".into() },
            );
            return Err(Stop::Encrypted);
        }
        if head.starts_with(b"RKNN") {
            match description(blob, &head)? {
                Some(json) => cx.member(b"(description)", &json),
                None => {
                    let detail = "the sizes in the header lead to no description".to_string();
                    cx.structure(8, "rknn-header", detail);
                }
            }
        }
        // The whole file once more: names that are no JSON, and whatever lies between.
        compiled::judge(blob, "rknn", DETAIL, cx, &mut |_, _, _| {})
    }
}

/// The JSON behind the compiled graph, if the header leads there and nothing follows it.
fn description(blob: &Blob, head: &[u8]) -> Result<Option<Blob>, Stop> {
    let number = |b: Option<&[u8]>| b.and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
    let (Some(version), Some(size)) = (number(head.get(8..16)), number(head.get(16..24))) else {
        return Ok(None);
    };
    // From version 2 on forty bytes stand before a graph that is not empty.
    let more = if version & 0xfff >= 2 && size > 0 { 40 } else { 0 };
    let Some(at) = size.checked_add(24 + more).filter(|at| *at <= blob.len().saturating_sub(8)) else {
        return Ok(None);
    };
    let Some(len) = number(Some(&blob.read_range(at..at + 8)?)) else { return Ok(None) };
    let end = (at + 8).checked_add(len).filter(|end| *end <= blob.len());
    let Some(end) = end else { return Ok(None) };
    let json = blob.sub(at + 8..end);
    let object = json.head(16)?.trim_ascii_start().first() == Some(&b'{');
    Ok(object.then_some(json))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(version: u64, graph: &[u8], json: &[u8]) -> Option<u64> {
        let mut out = b"RKNN\0\0\0\0".to_vec();
        out.extend(version.to_le_bytes());
        out.extend((graph.len() as u64).to_le_bytes());
        if version >= 2 && !graph.is_empty() {
            out.extend([0; 40]);
        }
        out.extend(graph);
        out.extend((json.len() as u64).to_le_bytes());
        out.extend(json);
        let blob = Blob::from_vec(out);
        description(&blob, &blob.head(64).unwrap()).unwrap().map(|j| j.len())
    }

    #[test]
    fn the_description_is_found_in_each_version() {
        assert_eq!(found(1, b"graph", b"{\"a\": 1}"), Some(8));
        assert_eq!(found(6, b"graph", b"{\"a\": 1}"), Some(8));
        assert_eq!(found(2, b"", b"{}"), Some(2));
        assert_eq!(found(2, b"", b"none"), None);
    }
}
