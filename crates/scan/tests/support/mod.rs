//! Building blocks for hand-made files, and short views of fact sheets.
#![allow(dead_code)]

use std::io::Write;
use wb_verdict::{FactKind, Facts};

/// `os.system("id")`, protocol 2.
pub const EVIL: &[u8] = b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00id\x85R.";

pub struct Entry {
    pub name: String,
    pub data: Vec<u8>,
    pub deflate: bool,
    pub descriptor: bool,
    pub zip64: bool,
    /// Bytes of `FB` padding in the local extra field.
    pub padding: u16,
    pub flags: u16,
    pub local_flags: Option<u16>,
    pub local_name: Option<String>,
    pub local_size: Option<u32>,
    pub local_method: Option<u16>,
    pub crc: Option<u32>,
    pub size: Option<u32>,
    pub listed: bool,
    pub mode: u32,
    /// Raw bytes before the record.
    pub before: Vec<u8>,
}

impl Entry {
    pub fn new(name: &str, data: &[u8]) -> Self {
        Self {
            name: name.into(),
            data: data.to_vec(),
            deflate: false,
            descriptor: false,
            zip64: false,
            padding: 0,
            flags: 0,
            local_flags: None,
            local_name: None,
            local_size: None,
            local_method: None,
            crc: None,
            size: None,
            listed: true,
            mode: 0o100_644,
            before: Vec::new(),
        }
    }

    fn stream(&self) -> Vec<u8> {
        if !self.deflate {
            return self.data.clone();
        }
        let mut e = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        e.write_all(&self.data).unwrap();
        e.finish().unwrap()
    }

    fn crc(&self) -> u32 {
        self.crc.unwrap_or_else(|| crc32fast::hash(&self.data))
    }

    fn size(&self) -> u32 {
        self.size.unwrap_or(self.data.len() as u32)
    }

    fn method(&self) -> u16 {
        if self.deflate { 8 } else { 0 }
    }

    fn flags(&self) -> u16 {
        self.flags | if self.descriptor { 8 } else { 0 }
    }

    fn extra64(&self, stream: usize) -> Vec<u8> {
        if !self.zip64 {
            return Vec::new();
        }
        let mut e = vec![1, 0, 16, 0];
        e.extend(u64::from(self.size()).to_le_bytes());
        e.extend((stream as u64).to_le_bytes());
        e
    }
}

pub struct Zip {
    pub entries: Vec<Entry>,
    pub comment: Vec<u8>,
    pub end_record: bool,
}

impl Zip {
    pub fn of(entries: Vec<Entry>) -> Self {
        Self { entries, comment: Vec::new(), end_record: true }
    }

    fn record(e: &Entry) -> Vec<u8> {
        let stream = e.stream();
        let mut extra = e.extra64(stream.len());
        if e.padding > 0 {
            extra.extend([b'F', b'B']);
            extra.extend(e.padding.to_le_bytes());
            extra.extend(vec![b'Z'; usize::from(e.padding)]);
        }
        let name = e.local_name.as_ref().unwrap_or(&e.name);
        let mut r = e.before.clone();
        r.extend(b"PK\x03\x04\x14\0");
        r.extend(e.local_flags.unwrap_or(e.flags()).to_le_bytes());
        r.extend(e.local_method.unwrap_or(e.method()).to_le_bytes());
        r.extend([0; 4]);
        let (crc, packed, size) = match (e.descriptor, e.zip64) {
            (true, _) => (0, 0, 0),
            (_, true) => (e.crc(), u32::MAX, u32::MAX),
            _ => (e.crc(), e.local_size.unwrap_or(stream.len() as u32), e.local_size.unwrap_or(e.size())),
        };
        r.extend(crc.to_le_bytes());
        r.extend(packed.to_le_bytes());
        r.extend(size.to_le_bytes());
        r.extend((name.len() as u16).to_le_bytes());
        r.extend((extra.len() as u16).to_le_bytes());
        r.extend(name.as_bytes());
        r.extend(&extra);
        r.extend(&stream);
        if e.descriptor {
            r.extend(b"PK\x07\x08");
            r.extend(e.crc().to_le_bytes());
            r.extend((stream.len() as u32).to_le_bytes());
            r.extend(e.size().to_le_bytes());
        }
        r
    }

    pub fn records(&self) -> Vec<u8> {
        self.entries.iter().flat_map(Self::record).collect()
    }

    pub fn directory(&self, base: u32) -> Vec<u8> {
        let mut at = base;
        let mut d = Vec::new();
        for e in &self.entries {
            let stream = e.stream();
            let extra = e.extra64(stream.len());
            if e.listed {
                d.extend(b"PK\x01\x02\x14\x03\x14\0");
                d.extend(e.flags().to_le_bytes());
                d.extend(e.method().to_le_bytes());
                d.extend([0; 4]);
                d.extend(e.crc().to_le_bytes());
                d.extend(if e.zip64 { u32::MAX } else { stream.len() as u32 }.to_le_bytes());
                d.extend(if e.zip64 { u32::MAX } else { e.size() }.to_le_bytes());
                d.extend((e.name.len() as u16).to_le_bytes());
                d.extend((extra.len() as u16).to_le_bytes());
                d.extend([0; 6]);
                d.extend((e.mode << 16).to_le_bytes());
                d.extend((at + e.before.len() as u32).to_le_bytes());
                d.extend(e.name.as_bytes());
                d.extend(&extra);
            }
            at += Self::record(e).len() as u32;
        }
        d
    }

    pub fn directory_len(&self) -> usize {
        self.directory(0).len()
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut all = self.records();
        let at = all.len() as u32;
        let d = self.directory(0);
        all.extend(&d);
        if self.end_record {
            let n = self.entries.iter().filter(|e| e.listed).count() as u16;
            all.extend(end_record(n, d.len() as u32, at, &self.comment));
        }
        all
    }
}

pub fn end_record(entries: u16, size: u32, at: u32, comment: &[u8]) -> Vec<u8> {
    let mut e = b"PK\x05\x06\0\0\0\0".to_vec();
    e.extend(entries.to_le_bytes());
    e.extend(entries.to_le_bytes());
    e.extend(size.to_le_bytes());
    e.extend(at.to_le_bytes());
    e.extend((comment.len() as u16).to_le_bytes());
    e.extend(comment);
    e
}

pub fn structures(f: &Facts) -> Vec<String> {
    pick(f, |k| if let FactKind::Structure { code, .. } = k { Some(code) } else { None })
}

pub fn unsafe_paths(f: &Facts) -> Vec<String> {
    pick(f, |k| if let FactKind::UnsafePath { code, .. } = k { Some(code) } else { None })
}

pub fn hidden(f: &Facts) -> Vec<String> {
    pick(f, |k| if let FactKind::Hidden { code, .. } = k { Some(code) } else { None })
}

pub fn resources(f: &Facts) -> Vec<String> {
    pick(f, |k| if let FactKind::Resource { code, .. } = k { Some(code) } else { None })
}

pub fn directives(f: &Facts) -> Vec<String> {
    pick(f, |k| if let FactKind::Directive { code, .. } = k { Some(code) } else { None })
}

pub fn templates(f: &Facts) -> Vec<String> {
    pick(f, |k| if let FactKind::Template { code, .. } = k { Some(code) } else { None })
}

pub fn readings(f: &Facts) -> Vec<String> {
    pick(f, |k| if let FactKind::Reading { code } = k { Some(code) } else { None })
}

pub fn calls(f: &Facts) -> Vec<String> {
    pick(f, |k| if let FactKind::Call { callable, .. } = k { Some(callable) } else { None })
}

pub fn gaps(f: &Facts) -> Vec<String> {
    f.gaps.iter().map(|g| g.reason.name()).collect()
}

fn pick(f: &Facts, of: impl Fn(&FactKind) -> Option<&String>) -> Vec<String> {
    f.facts.iter().filter_map(|f| of(&f.kind).cloned()).collect()
}
