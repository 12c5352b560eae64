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
    let mut all = vec![zip, gz.finish().unwrap(), safetensors, gguf, png, gif, msgpack, proto, text];
    all.extend(models());
    all.extend(objects());
    all
}

/// Objects of R, Torch7 and skops.
fn objects() -> Vec<Vec<u8>> {
    // An environment with a promise of a call, in XDR and as text; a compiled function.
    let r = b"X\n\0\0\0\x02\0\x04\x02\x02\0\x02\x03\0\0\0\0\x04\0\0\0\0\0\0\0\xf2\0\0\x04\x02\0\0\0\x01\0\x04\0\x09\0\0\0\x01x\
        \0\0\0\x05\0\0\0\xfc\0\0\0\x06\0\0\0\x01\0\x04\0\x09\0\0\0\x06system\0\0\0\xfe\0\0\0\xfe\0\0\0\xfe\0\0\0\xfe"
        .to_vec();
    let text = b"A\n3\n262658\n197888\n5\nUTF-8\n5\n252\n6\n1\n262153\n6\nsystem\n2\n16\n1\n262153\n4\nec\\040o\n254\n".to_vec();
    let bytecode = b"X\n\0\0\0\x02\0\x04\x02\x02\0\x02\x03\0\0\0\0\x15\0\0\0\x01\0\0\0\x0d\0\0\0\x01\0\0\0\x0c\0\0\0\x01\0\0\0\xf4\
        \0\0\0\0\0\0\0\xf0\0\0\0\xfe\0\0\0\xfe\0\0\0\x01\0\0\0\x01\0\x04\0\x09\0\0\0\x01f\0\0\0\xfe\0\0\0\xfe"
        .to_vec();
    // A table with a tensor and a function, and the same kinds as text.
    let lua = b"\x03\0\0\0\x01\0\0\0\x02\0\0\0\x02\0\0\0\x01\0\0\0a\x04\0\0\0\x02\0\0\0\x03\0\0\0V 1\x12\0\0\0torch.FloatStorage\
        \x01\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\x01\0\0\0b\x08\0\0\0\x03\0\0\0\x03\0\0\0\x1bLJ\0\0\0\0"
        .to_vec();
    let lua_text = b"4\n1\n3\nV 1\n13\nnn.Sequential\n3\n2\n1\n2\n1\nf\n8\n3\n8\nreturn 1\n0\n".to_vec();
    let schema = br#"{"__class__": "dict", "__module__": "builtins", "__loader__": "DictNode", "__id__": 1, "content": {"a": {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode", "__id__": 2}}, "key_types": {"__class__": "list", "__module__": "builtins", "__loader__": "ListNode", "content": [{"__class__": "str", "__module__": "builtins", "__loader__": "TypeNode"}]}, "protocol": 2}"#;
    let skops = Zip::of(vec![Entry::new("schema.json", schema)]).bytes();
    vec![r, text, bytecode, lua, lua_text, skops]
}

/// Small models of formats that are no archives.
fn models() -> Vec<Vec<u8>> {
    // IR version, a graph with a node, a tensor kept elsewhere and an If with a graph in it, an opset, a function.
    let onnx = b"\x08\x08\x12\x01x:M\x0a\x10\x0a\x01w\x12\x01y\x22\x08Identity\x0a\x13\x12\x01z\x22\x02If*\x0a\x0a\x01b2\x05\x0a\x03\x22\x01A\
        \x12\x01g*\x1c\x08\x04\x10\x01B\x01wj\x11\x0a\x08location\x12\x05w.binp\x01b\x03\x0a\x01yB\x04\x0a\x00\x10\x11\xca\x01\x0e\x0a\x01F\x22\x01a*\x01b:\x03\x22\x01B"
        .to_vec();
    let coreml =
        b"\x08\x05\x12\x05\x0a\x03\x0a\x01x\xa2\x1f\x13\x0a\x11\x0a\x01l\xa2\x1f\x0bR\x09EvilLayer".to_vec();
    let xml = b"<?xml version=\"1.0\"?>\n<!DOCTYPE net [<!ENTITY a 'b'>]><net version=\"11\"><!-- c --><layers>\
        <layer id=\"0\" name=\"c\" type=\"Const\"><data element_type=\"f32\" shape=\"4\" offset=\"0\" size=\"16\"/></layer>\
        </layers><![CDATA[x]]></net>"
        .to_vec();
    let wide = b"\xff\xfe".iter().copied().chain(xml.iter().flat_map(|b| [*b, 0])).collect();
    let pmml = b"<PMML version=\"4.4\"><Header/><Extension name=\"a&lt;\">text &#65; more</Extension></PMML>"
        .to_vec();
    let ubjson = b"{L\0\0\0\0\0\0\0\x07learner{L\0\0\0\0\0\0\0\x10gradient_booster{L\0\0\0\0\0\0\0\x05trees[#L\0\0\0\0\0\0\0\x01{\
        L\0\0\0\0\0\0\0\x0dleft_children[$l#L\0\0\0\0\0\0\0\x01\xff\xff\xff\xff}}}}"
        .to_vec();
    let json = b"{\"learner\":{\"attributes\":{},\"gradient_booster\":{\"model\":{\"trees\":[{\"left_children\":[1,-1],\
        \"right_children\":[-1,-1],\"tree_param\":{\"num_nodes\":\"2\"}}]}}}}"
        .to_vec();
    let lightgbm = b"tree\nversion=v4\nnum_class=1\nmax_feature_idx=0\nfeature_names=a\ntree_sizes=99\n\nTree=0\nnum_leaves=2\n\
        split_feature=0\nleft_child=-1\nright_child=-2\nleaf_value=1 2\n\nend of trees\n\nparameters:\n[data: x]\nend of parameters\n"
        .to_vec();
    let flax =
        b"\x81\xa6params\x81\xa6kernel\xc7\x11\x01\x93\x91\x01\xa3<f8\xc4\x08\0\0\0\0\0\0\0\0".to_vec();
    vec![onnx, coreml, xml, wide, pmml, ubjson, json, lightgbm, flax]
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

#[test]
fn nesting_without_end_is_a_gap() {
    let deep = |head: &[u8], level: &[u8]| [head, &level.repeat(50_000)].concat();
    let node = "{\"__class__\": \"list\", \"__module__\": \"builtins\", \"__loader__\": \"ListNode\", \"content\": [";
    let schema = Zip::of(vec![Entry::new("schema.json", node.repeat(2_000).as_bytes())]).bytes();
    let samples = [
        deep(b"X\n\0\0\0\x02\0\x04\x02\x02\0\x02\x03\0", b"\0\0\0\x13\0\0\0\x01"),
        deep(b"X\n\0\0\0\x02\0\x04\x02\x02\0\x02\x03\0", b"\0\0\0\x06\0\0\0\xfe\0\0\0\x02"),
        deep(b"A\n2\n262658\n197888\n", b"19\n1\n"),
        deep(b"X\n\0\0\0\x02\0\x04\x02\x02\0\x02\x03\0", b"\0\0\0\x04\0\0\0\0"),
        (0..50_000u32).fold(Vec::new(), |mut v, n| {
            v.extend([3u32, n, 1].iter().flat_map(|n| n.to_le_bytes()));
            v
        }),
        schema,
    ];
    for (n, bytes) in samples.into_iter().enumerate() {
        let facts = scan(&Blob::from_vec(bytes), &Options::default());
        assert!(!facts.gaps.is_empty(), "sample {n}: {:?}", facts.formats);
    }
}
