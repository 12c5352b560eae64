//! A tar writer that can write every kind of member (POSIX ustar and the GNU long-name record).

use super::{Builder, Source};
use crate::Error;
use serde::Deserialize;

/// A tar archive, padded to 10,240 bytes as tar programs do.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tar {
    /// GNU headers instead of POSIX ustar; long names get a `././@LongLink` record.
    #[serde(default)]
    gnu: bool,
    members: Vec<TarMember>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct TarMember {
    name: String,
    #[serde(default, rename = "type")]
    kind: Kind,
    /// Target of a link.
    #[serde(default)]
    link: String,
    /// Major and minor number of a device.
    #[serde(default)]
    device: Option<(u32, u32)>,
    /// A size that lies.
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    data: Option<Source>,
}

#[derive(Debug, Clone, Copy, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    #[default]
    File,
    Hardlink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
}

impl Kind {
    fn flag(self) -> u8 {
        match self {
            Self::File => b'0',
            Self::Hardlink => b'1',
            Self::Symlink => b'2',
            Self::CharDevice => b'3',
            Self::BlockDevice => b'4',
            Self::Directory => b'5',
            Self::Fifo => b'6',
        }
    }
}

pub(crate) fn build(tar: &Tar, b: &Builder<'_>) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    for m in &tar.members {
        let data = m.data.as_ref().map_or(Ok(Vec::new()), |s| b.source(s))?;
        if m.name.len() > 100 {
            if !tar.gnu {
                return Err(Error::new("tar: a name over 100 bytes needs gnu = true"));
            }
            let mut long = m.name.clone().into_bytes();
            long.push(0);
            out.extend(header(tar.gnu, b"././@LongLink", 0, long.len() as u64, b'L', b"", None));
            block(&mut out, &long);
        }
        let size = m.size.unwrap_or(data.len() as u64);
        let name = &m.name.as_bytes()[..m.name.len().min(100)];
        out.extend(header(tar.gnu, name, 0o644, size, m.kind.flag(), m.link.as_bytes(), m.device));
        block(&mut out, &data);
    }
    out.extend([0; 1024]);
    let size = out.len().next_multiple_of(10_240);
    out.resize(size, 0);
    Ok(out)
}

fn block(out: &mut Vec<u8>, data: &[u8]) {
    out.extend(data);
    let size = out.len().next_multiple_of(512);
    out.resize(size, 0);
}

fn header(
    gnu: bool,
    name: &[u8],
    mode: u32,
    size: u64,
    flag: u8,
    link: &[u8],
    device: Option<(u32, u32)>,
) -> [u8; 512] {
    let mut h = [0u8; 512];
    let mut put = |at: usize, bytes: &[u8]| h[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name);
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:011o}").as_bytes());
    put(136, b"00000000000");
    put(148, b"        ");
    put(156, &[flag]);
    put(157, &link[..link.len().min(100)]);
    put(257, if gnu { b"ustar  \0" } else { b"ustar\x0000" });
    if let Some((major, minor)) = device {
        put(329, format!("{major:07o}").as_bytes());
        put(337, format!("{minor:07o}").as_bytes());
    }
    let sum: u32 = h.iter().map(|b| u32::from(*b)).sum();
    h[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    h
}
