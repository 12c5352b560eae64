//! Broken input of every container: truncated anywhere, or with bytes changed. Nothing may panic or run away.

mod support;

use support::{EVIL, Entry, Zip};
use wb_blob::Blob;
use wb_scan::{Options, scan};

/// A small deterministic generator (xorshift), so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn samples() -> Vec<Vec<u8>> {
    let mut zip = Zip::of(vec![Entry::new("a/data.pkl", EVIL), Entry::new("a/version", b"3\n")]);
    zip.entries[0].deflate = true;
    zip.entries.push(Entry { zip64: true, padding: 12, ..Entry::new("a/data/0", &[3; 300]) });
    zip.entries.push(Entry { descriptor: true, ..Entry::new("b", b"{\"a\": [1, 2]}") });
    let zip = zip.bytes();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut gz, &zip).unwrap();
    let header = r#"{"__metadata__":{"a":"b"},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let safetensors = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 8]].concat();
    let mut gguf = b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0".to_vec();
    gguf.extend(b"\x17\0\0\0\0\0\0\0tokenizer.chat_template\x08\0\0\0\x0e\0\0\0\0\0\0\0{{ messages }}");
    gguf.extend(b"\x01\0\0\0\0\0\0\0a\x01\0\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    gguf.resize(160, 0);
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR0000000000000crc0\0\0\0\0IEND0000".to_vec();
    let gif = b"GIF89a\x01\0\x01\0\0\0\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b".to_vec();
    let msgpack = b"\x82\xa1a\x93\x01\x02\x03\xa1b\xc4\x03xyz".to_vec();
    let proto = b"\x08\x0a\x12\x04test\x3a\x06\x0a\x04\x0a\x02ab\x42\x02\x10\x0d".to_vec();
    let text = b"{\"a\": [{\"_target_\": \"x.y\"}], \"chat_template\": \"{{ a['b'] }}\"}".to_vec();
    vec![zip, gz.finish().unwrap(), safetensors, gguf, png, gif, msgpack, proto, text]
}

fn look(bytes: Vec<u8>) {
    let len = bytes.len() as u64;
    let f = scan(&Blob::from_vec(bytes), &Options::default());
    assert_eq!(f.size, len);
    assert!(f.bytes_read < 200_000_000, "{} bytes read of {len}", f.bytes_read);
}

#[test]
fn truncated_anywhere() {
    for sample in samples() {
        for cut in 0..sample.len() {
            look(sample[..cut].to_vec());
        }
    }
}

#[test]
fn with_bytes_changed() {
    let mut random = Random(0x5eed);
    for sample in samples() {
        for _ in 0..600 {
            let mut bytes = sample.clone();
            for _ in 0..1 + random.next() % 6 {
                let at = (random.next() % bytes.len() as u64) as usize;
                bytes[at] = match random.next() % 4 {
                    0 => 0,
                    1 => 0xff,
                    _ => random.next() as u8,
                };
            }
            look(bytes);
        }
    }
}

#[test]
fn of_chance_behind_every_magic_number() {
    let magics: [&[u8]; 18] = [
        b"PK\x03\x04",
        b"7z\xbc\xaf\x27\x1c",
        b"\x1f\x8b\x08",
        b"\x78\x9c",
        b"BZh9",
        b"\xfd7zXZ\0",
        b"\x28\xb5\x2f\xfd",
        b"\x04\x22\x4d\x18",
        b"GGUF\x03\0\0\0",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"GIF89a",
        b"RIFF",
        b"OggS\0",
        b"\x5d\0\0\x80\0",
        b"%PDF-",
        b"\0\0\0\x18ftyp",
        b"ZF0x10",
    ];
    let mut random = Random(0xabcdef);
    for magic in magics {
        for _ in 0..150 {
            let mut bytes = magic.to_vec();
            bytes.extend((0..random.next() % 3000).map(|_| random.next() as u8).collect::<Vec<_>>());
            look(bytes);
        }
    }
}
