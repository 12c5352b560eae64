//! Every truncation and every flipped bit of small files: nothing may panic or run away, what is cut is not clean, and
//! no flipped bit of a container hides the payload in it.

use std::io::Write;
use wb_blob::{Blob, Limits};
use wb_scan::{Options, judge, scan};
use wb_verdict::{FactKind, Report, Verdict};

/// `{'a': 1}`.
const PICKLE: &[u8] = b"\x80\x02}X\x01\x00\x00\x00aK\x01s.";

fn report(bytes: &[u8]) -> Report {
    let facts = scan(&Blob::from_vec(bytes.to_vec()), &Options::default());
    assert!(facts.bytes_read < 100_000_000, "{} bytes read", facts.bytes_read);
    judge(&facts, "model.bin", None)
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut w = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    w.write_all(data).expect("memory takes it");
    w.finish().expect("memory takes it")
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut w = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    w.write_all(data).expect("memory takes it");
    w.finish().expect("memory takes it")
}

/// One stored member; local header, directory, end record (APPNOTE.TXT 4.3).
fn zip(name: &[u8], data: &[u8]) -> Vec<u8> {
    // Flags, method, time, date.
    let mut fields = vec![0, 0, 0, 0, 0, 0, 0x21, 0];
    fields.extend(crc32fast::hash(data).to_le_bytes());
    fields.extend((data.len() as u32).to_le_bytes());
    fields.extend((data.len() as u32).to_le_bytes());
    fields.extend((name.len() as u16).to_le_bytes());
    let mut out = b"PK\x03\x04\x14\0".to_vec();
    out.extend(&fields);
    out.extend([0, 0]);
    out.extend(name);
    out.extend(data);
    let at = out.len() as u32;
    out.extend(b"PK\x01\x02\x14\x03\x14\0");
    out.extend(&fields);
    out.extend([0; 16]);
    out.extend(name);
    let size = out.len() as u32 - at;
    out.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    out.extend(size.to_le_bytes());
    out.extend(at.to_le_bytes());
    out.extend([0, 0]);
    out
}

fn tar(name: &[u8], data: &[u8]) -> Vec<u8> {
    let mut h = vec![0u8; 512];
    h[..name.len()].copy_from_slice(name);
    h[100..107].copy_from_slice(b"0000644");
    h[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
    h[148..156].fill(b' ');
    h[156] = b'0';
    h[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = h.iter().map(|b| u32::from(*b)).sum();
    h[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    h.extend(data);
    h.resize(2048, 0);
    h
}

fn npy(data: &[u8]) -> Vec<u8> {
    let mut header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".to_vec();
    header.resize(117, b' ');
    header.push(b'\n');
    [b"\x93NUMPY\x01\0\x76\0", &header[..], data].concat()
}

/// joblib's array wrapper around two numbers.
fn joblib() -> Vec<u8> {
    let mut s =
        b"\x80\x03cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}(X\x08\0\0\0subclasscnumpy\nndarray\n"
            .to_vec();
    s.extend(b"X\x05\0\0\0shapeK\x02\x85X\x05\0\0\0orderX\x01\0\0\0CX\x05\0\0\0dtypecnumpy\ndtype\n");
    s.extend(b"X\x02\0\0\0f8\x89\x88\x87R(K\x03X\x01\0\0\0<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb");
    s.extend(b"X\x0a\0\0\0allow_mmap\x89ub\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\0\x40.");
    s
}

fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let inner = zip(b"a/data.pkl", PICKLE);
    vec![
        ("zip", inner.clone()),
        ("tar", tar(b"m.pkl", PICKLE)),
        ("gzip", gzip(PICKLE)),
        ("zlib", zlib(PICKLE)),
        ("zip in gzip", gzip(&inner)),
        ("npy", npy(PICKLE)),
        ("joblib", joblib()),
        ("zf", [b"ZF0x12               ", &zlib(PICKLE)[..]].concat()),
    ]
}

#[test]
fn the_samples_are_clean() {
    for (name, bytes) in samples() {
        let r = report(&bytes);
        assert_eq!(r.verdict, Verdict::Clean, "{name}: {r:?}");
    }
}

#[test]
fn cut_anywhere_they_are_not_clean_unless_only_padding_is_gone() {
    for (name, bytes) in samples() {
        let padding = bytes.iter().rev().take_while(|b| **b == 0).count();
        for cut in 1..bytes.len() - padding.min(bytes.len() - 1) {
            let r = report(&bytes[..cut]);
            // A few bytes of anything can be a text.
            assert!(r.verdict != Verdict::Clean || r.formats == ["text"], "{name} cut at {cut}: {r:?}");
        }
    }
}

#[test]
fn with_one_bit_flipped_the_payload_behind_it_is_still_found() {
    let evil = b"\x80\x02cposix\nsystem\nX\x04\0\0\0echo\x85R.";
    let containers: [(&str, Vec<u8>); 4] = [
        ("zip", zip(b"a/data.pkl", evil)),
        ("tar", tar(b"m.pkl", evil)),
        ("npy", npy(evil)),
        ("pickle", evil.to_vec()),
    ];
    for (name, bytes) in containers {
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let r = report(&flipped);
            assert!(r.verdict != Verdict::Clean, "{name}, bit {bit} of byte {}: {r:?}", bit / 8);
            // Unless the flip is in the payload or takes the container's own magic away, the call is named.
            let payload = memchr::memmem::find(&flipped, evil).is_some();
            let found = r.findings.iter().any(|f| f.evidence.contains("posix.system"));
            let first = 512.min(bytes.len());
            assert!(!payload || found || bit / 8 < first, "{name}, bit {bit}: {r:?}");
        }
    }
}

#[test]
fn a_flipped_bit_in_an_honest_file_never_panics() {
    for (_, bytes) in samples() {
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            report(&flipped);
        }
    }
}

#[test]
fn texts_by_the_ten_thousand_do_not_hide_what_follows_them() {
    let many = |last: &[u8]| {
        let mut out: Vec<u8> = (0..25_000)
            .flat_map(|n| tar(format!("{n}.txt").as_bytes(), b"hello world")[..1024].to_vec())
            .collect();
        out.extend(tar(b"m.pkl", last));
        report(&out)
    };
    let honest = many(PICKLE);
    assert!(honest.gaps.is_empty() && honest.verdict == Verdict::Clean, "{:?}", honest.gaps);
    assert_eq!(many(b"\x80\x02cposix\nsystem\nX\x04\0\0\0echo\x85R.").verdict, Verdict::Malicious);
}

#[test]
fn how_members_can_be_read_is_kept_for_rules_to_come() {
    let bytes = tar(b"notes.txt", b"import os\n");
    let facts = scan(&Blob::from_vec(bytes), &Options::default());
    let readings: Vec<_> = facts
        .facts
        .iter()
        .filter(|f| f.location.path == "notes.txt")
        .filter_map(|f| if let FactKind::Reading { code } = &f.kind { Some(code.as_str()) } else { None })
        .collect();
    assert_eq!(readings, ["text", "python"], "no rule of today asks for them under this name");
    // What is kept of them is bounded: by the bytes of the paths too, and then it is a gap.
    let limits = Limits { readings: 1000, ..Limits::default() };
    let options = Options { limits, ..Options::default() };
    let many: Vec<u8> = (0..6).flat_map(|n| tar(&[b'a' + n; 90], b"a")[..1024].to_vec()).collect();
    let facts = scan(&Blob::from_vec(many), &options);
    assert!(facts.gaps.iter().any(|g| g.reason.name() == "facts-limit"), "{:?}", facts.gaps);
}
