//! Records in front of a tar member that change what its header says: pax (POSIX.1-2001) and GNU long names.

use super::tar;
use super::tar_sparse::Announced;
use crate::analyses::paths;
use crate::cx::Cx;
use wb_verdict::escape_bytes;

/// What extension records announce for the next member.
#[derive(Default, Clone)]
pub(super) struct Pending {
    pub name: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub sparse: Option<Announced>,
}

impl Pending {
    /// Pax records: `length key=value\n` (POSIX.1-2001, pax interchange format).
    pub(super) fn pax(&mut self, body: &[u8], global: bool, at: u64, cx: &mut Cx<'_>) {
        let mut rest = body;
        while !rest.is_empty() && rest[0] != 0 {
            let space = memchr::memchr(b' ', rest);
            let len = space
                .and_then(|s| std::str::from_utf8(&rest[..s]).ok())
                .and_then(|s| s.parse::<usize>().ok());
            let (Some(space), Some(len)) = (space, len) else {
                return cx.structure(at, "tar-bad-pax-record", "a pax record without a length");
            };
            let Some(record) = rest.get(space + 1..len) else {
                return cx.structure(at, "tar-bad-pax-record", "a pax record longer than its member");
            };
            let record = record.strip_suffix(b"\n").unwrap_or(record);
            let Some(eq) = memchr::memchr(b'=', record) else {
                return cx.structure(at, "tar-bad-pax-record", "a pax record without a value");
            };
            let (key, value) = (&record[..eq], &record[eq + 1..]);
            let names = matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(b"GNU.sparse.");
            if global && names {
                // Some readers apply it to the next member, others to all: honest writers set neither for all.
                let detail = format!("{}={} for all members", escape_bytes(key), escape_bytes(value));
                cx.structure(at, "tar-pax-global", detail);
                let outside = (key != b"size").then(|| paths::escape_of(value)).flatten();
                if let Some(code) = outside {
                    tar::unsafe_path(cx, at, code, escape_bytes(value));
                }
            }
            self.record(key, value, at, cx);
            rest = &rest[len..];
        }
    }

    fn record(&mut self, key: &[u8], value: &[u8], at: u64, cx: &mut Cx<'_>) {
        let number = || std::str::from_utf8(value).ok().and_then(|v| v.trim().parse::<u64>().ok());
        if key.starts_with(b"GNU.sparse.") {
            let sparse = self.sparse.get_or_insert_with(Announced::default);
            match key {
                b"GNU.sparse.major" => sparse.in_data = number() == Some(1),
                b"GNU.sparse.size" | b"GNU.sparse.realsize" => sparse.size = number(),
                b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => match number() {
                    Some(n) => sparse.numbers.push(n),
                    None => sparse.broken = true,
                },
                b"GNU.sparse.map" => {
                    let numbers = value
                        .split(|b| *b == b',')
                        .map(|n| std::str::from_utf8(n).ok().and_then(|n| n.parse().ok()));
                    match numbers.collect::<Option<Vec<u64>>>() {
                        Some(n) => sparse.numbers = n,
                        None => sparse.broken = true,
                    }
                }
                b"GNU.sparse.name" => self.name = Some(value.to_vec()),
                _ => {}
            }
            return;
        }
        match key {
            b"path" => self.name = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => {
                self.size = number();
                if self.size.is_none() {
                    cx.structure(at, "tar-bad-pax-record", format!("size {}", escape_bytes(value)));
                }
            }
            _ => {}
        }
    }
}
