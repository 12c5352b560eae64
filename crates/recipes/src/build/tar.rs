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
    /// The size field as it stands, at most 12 bytes.
    size_text: Option<String>,
    /// The prefix field, whatever the kind of header.
    #[serde(default)]
    prefix: String,
    /// The checksum is wrong.
    #[serde(default)]
    bad_checksum: bool,
    /// Pax records before the member (`key`, value).
    #[serde(default)]
    pax: Vec<(String, String)>,
    /// The pax records are for all members that follow.
    #[serde(default)]
    global: bool,
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
        if !m.pax.is_empty() {
            let records: String = m.pax.iter().map(|(k, v)| record(k, v)).collect();
            let flag = if m.global { b'g' } else { b'x' };
            out.extend(header(tar.gnu, b"PaxHeader", 0o644, records.len() as u64, flag, b"", None));
            block(&mut out, records.as_bytes());
        }
        let size = m.size.unwrap_or(data.len() as u64);
        let name = &m.name.as_bytes()[..m.name.len().min(100)];
        let mut h = header(tar.gnu, name, 0o644, size, m.kind.flag(), m.link.as_bytes(), m.device);
        if let Some(text) = &m.size_text {
            let field = h.get_mut(124..136).ok_or_else(|| Error::new("tar: no size field"))?;
            field.fill(0);
            let text = text.as_bytes();
            field
                .get_mut(..text.len())
                .ok_or_else(|| Error::new("tar: size_text is too long"))?
                .copy_from_slice(text);
        }
        let prefix = m.prefix.as_bytes();
        h.get_mut(345..345 + prefix.len())
            .ok_or_else(|| Error::new("tar: prefix is too long"))?
            .copy_from_slice(prefix);
        checksum(&mut h);
        if m.bad_checksum {
            h[148..154].copy_from_slice(b"000000");
        }
        out.extend(h);
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
    checksum(&mut h);
    h
}

fn checksum(h: &mut [u8; 512]) {
    h[148..156].fill(b' ');
    let sum: u32 = h.iter().map(|b| u32::from(*b)).sum();
    h[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// A pax record, whose length counts itself.
fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut len = rest.len() + 1;
    while len.to_string().len() + rest.len() != len {
        len += 1;
    }
    format!("{len}{rest}")
}
