//! Pickles, torch's legacy format, joblib streams and npy files through the whole engine.

use wb_blob::{Blob, Limits};
use wb_scan::{Options, scan};
use wb_verdict::{CallClass, FactKind, Facts, How};

fn facts(bytes: &[u8]) -> Facts {
    scan(&Blob::from_vec(bytes.to_vec()), &Options::default())
}

/// Renderings of dangerous calls, with their member path.
fn dangerous(facts: &Facts) -> Vec<String> {
    let one = |f: &wb_verdict::Fact| match &f.kind {
        FactKind::Call { call: CallClass::Dangerous { .. }, rendering, how, .. } if *how != How::Data => {
            Some(format!("{}:{rendering}", f.location.path))
        }
        _ => None,
    };
    facts.facts.iter().filter_map(one).collect()
}

fn codes(facts: &Facts) -> Vec<String> {
    let one = |f: &wb_verdict::Fact| match &f.kind {
        FactKind::Structure { code, .. }
        | FactKind::Resource { code, .. }
        | FactKind::Hidden { code, .. } => Some(code.clone()),
        _ => None,
    };
    facts.facts.iter().filter_map(one).collect()
}

const EVIL: &[u8] = b"cposix\nsystem\nX\x02\0\0\0id\x85R";
const CALL: &str = ":posix.system('id')";

fn evil() -> Vec<u8> {
    [b"\x80\x02", EVIL, b"."].concat()
}

#[track_caller]
fn calls(bytes: &[u8]) -> Facts {
    let f = facts(bytes);
    assert_eq!(dangerous(&f), [CALL], "{f:?}");
    f
}

#[test]
fn text_and_numbers_are_no_pickles() {
    let floats: Vec<u8> = (0..5000).flat_map(|i| (i as f32 * 0.37).to_le_bytes()).collect();
    let wide: Vec<u8> = (0..5000).flat_map(|i| (1.0 - f64::from(i) * 1e-4).to_le_bytes()).collect();
    let copyright =
        [b"Copyright (c)".to_vec(), vec![b'x'; 100], b".\nAll rights reserved\n".to_vec()].concat();
    assert_eq!(copyright[2 + usize::from(b'o')], b'.');
    let cases: [&[u8]; 17] = [
        b"",
        b"# Title\n\nSome text.\n",
        b"a,b,c\n1,2,3\n4,5,6\n",
        b"1,2,3\n",
        b"{\"a\": [1, 2, 3]}",
        b"[1, 2, 3]\n",
        b"SGVsbG8gd29ybGQ=\n",
        b"Very short text\nNot a pickle\n",
        b"import os\nos.system('id')\n",
        b"constant folding\nis a thing\n",
        b"cat\ndog\nbird\n",
        b"(in parentheses\nand more\n",
        b"Int\nx\n",
        b"]\n",
        // A bytes opcode, its length, STOP after it: what follows is text all the same.
        &copyright,
        &floats,
        &wide,
    ];
    for bytes in cases {
        let f = facts(bytes);
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(30)]).into_owned();
        assert!(!f.formats.iter().any(|n| n == "pickle"), "{shown:?}: {:?}", f.formats);
        assert!(!f.facts.iter().any(|f| matches!(f.kind, FactKind::Call { .. })), "{shown:?}");
    }
}

#[test]
fn pickles_of_every_spelling_are_found() {
    calls(&evil());
    calls(b"cposix\nsystem\n(S'id'\ntR.");
    calls(b"(S'id'\niposix\nsystem\n.");
    // Broken right after the payload, and padded without a protocol so that it reads as text.
    calls(b"cposix\nsystem\n(S'id'\ntR0X\xff\xff\0\0");
    let padded = [b"N0".repeat(300_000), b"cposix\nsystem\n(S'id'\ntR.".to_vec()].concat();
    calls(&padded);
    calls(&[b"N.".repeat(20), b"cposix\nsystem\n(S'id'\ntR.".to_vec()].concat());
}

#[test]
fn an_import_alone_is_a_fact_only_if_it_is_known() {
    let f = facts(b"\x80\x02cantigravity\nfly\n.");
    assert!(f.facts.iter().any(|f| matches!(&f.kind, FactKind::Call { how: How::Data, callable, .. } if callable == "antigravity.fly")));
    assert!(facts(b"cfoo\nbar\n\x00").facts.iter().all(|f| !matches!(f.kind, FactKind::Call { .. })));
}

#[test]
fn several_pickles_in_a_stream_and_what_follows_them() {
    let one = b"\x80\x02}q\x00X\x01\0\0\0aK\x01s.".to_vec();
    calls(&[one.repeat(7), evil()].concat());
    let clean = facts(&[&one[..], &[0; 100]].concat());
    assert!(codes(&clean).is_empty() && clean.gaps.is_empty(), "{clean:?}");
    assert_eq!(codes(&facts(&[&one[..], b"\xff\xfegarbage"].concat())), ["pickle-trailing-data"]);
}

#[test]
fn a_truncated_pickle_is_a_gap() {
    let f = facts(b"\x80\x02}q\x00(X\x01\0\0\0aK\x01X\x10\0\0\0b");
    assert_eq!(f.gaps.len(), 1);
    assert!(f.gaps[0].detail.contains("argument runs past the end"), "{:?}", f.gaps);
}

#[test]
fn nested_pickles_are_scanned() {
    let inner = evil();
    let mut outer = b"\x80\x03c_pickle\nloads\nC".to_vec();
    outer.push(inner.len() as u8);
    outer.extend(&inner);
    outer.extend(b"\x85R.");
    let f = facts(&outer);
    assert!(dangerous(&f).iter().any(|c| c.starts_with("bytes@") && c.ends_with(CALL)), "{f:?}");
}

#[test]
fn millions_of_equal_harmless_calls_are_counted() {
    let mut bytes = b"\x80\x02ccollections\nOrderedDict\nq\x000(".to_vec();
    for _ in 0..50_000 {
        bytes.extend(b"h\x00)R");
    }
    bytes.extend(b"l.");
    let f = facts(&bytes);
    let counts: Vec<u64> = f
        .facts
        .iter()
        .filter_map(|f| match &f.kind {
            FactKind::Call { how: How::Reduce, call: CallClass::Harmless, count, .. } => Some(*count),
            _ => None,
        })
        .collect();
    assert_eq!(counts, [50_000], "{:?}", f.facts.len());
}

#[test]
fn names_in_facts_are_bounded() {
    let name = "x".repeat(30_000);
    let f = facts(format!("cos\n{name}\n(S'id'\ntR.").as_bytes());
    assert!(f.facts.iter().all(|f| format!("{f:?}").len() < 5000));
}

/// torch's legacy file: five pickles, then a storage of four floats.
fn legacy(object: &[u8], items: u64) -> Vec<u8> {
    let mut out = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\x00.".to_vec();
    out.extend(b"\x80\x02(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x007X\x03\0\0\0cpuK\x04NtQ0");
    out.extend(object);
    out.extend(b"N.\x80\x02]X\x01\0\0\x007a.");
    out.extend(items.to_le_bytes());
    out.extend([0xab; 16]);
    out
}

#[test]
fn torch_legacy_storages_are_stepped_over_exactly() {
    let f = facts(&legacy(b"", 4));
    assert_eq!(f.formats, ["torch-legacy"]);
    assert!(codes(&f).is_empty() && f.gaps.is_empty() && dangerous(&f).is_empty(), "{f:?}");
    assert_eq!(dangerous(&facts(&legacy(EVIL, 4))), [CALL]);
    // A sixth pickle after the storages.
    assert_eq!(dangerous(&facts(&[legacy(b"", 4), evil()].concat())), [CALL]);
    assert_eq!(codes(&facts(&legacy(b"", 5)))[0], "torch-legacy-storage");
    // The magic number is the result of a call.
    let computed = [&evil()[..], &legacy(b"", 4)[15..]].concat();
    assert_eq!(dangerous(&facts(&computed)), [CALL]);
}

/// A joblib stream: a wrapper for `shape` items of `dtype`, `data`, then `rest`.
fn joblib(dtype: &str, count: u8, aligned: bool, data: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut out = b"\x80\x02cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}(".to_vec();
    let text = |out: &mut Vec<u8>, s: &str| {
        out.push(b'X');
        out.extend((s.len() as u32).to_le_bytes());
        out.extend(s.as_bytes());
    };
    text(&mut out, "shape");
    out.extend([b'K', count, 0x85]);
    text(&mut out, "dtype");
    out.extend(b"cnumpy\ndtype\n");
    text(&mut out, dtype);
    out.extend(b"K\x00K\x01\x87R");
    text(&mut out, "numpy_array_alignment_bytes");
    out.extend(if aligned { &b"K\x10"[..] } else { b"N" });
    out.extend(b"ub");
    if aligned {
        out.extend([3, 0xff, 0xff, 0xff]);
    }
    out.extend(data);
    out.extend(rest);
    out
}

#[test]
fn joblib_arrays_are_stepped_over_and_what_follows_runs() {
    let rest = [b"0", EVIL, b"."].concat();
    for aligned in [false, true] {
        assert_eq!(dangerous(&facts(&joblib("f8", 2, aligned, &[0xff; 16], &rest))), [CALL]);
        let clean = facts(&joblib("f8", 2, aligned, &[0xff; 16], b"."));
        assert!(
            codes(&clean).is_empty() && clean.gaps.is_empty() && dangerous(&clean).is_empty(),
            "{clean:?}"
        );
    }
    // An object array is a pickle of its own, after which the outer one goes on.
    let f = facts(&joblib("O8", 2, true, b"", b""));
    assert!(!f.gaps.is_empty());
    let mut objects = joblib("O8", 2, false, &evil(), &rest);
    let f = facts(&objects);
    assert_eq!(dangerous(&f).len(), 2, "{f:?}");
    objects = joblib("f8", 200, false, &[1; 16], b".");
    assert_eq!(codes(&facts(&objects)), ["joblib-array-beyond-end"]);
}

#[test]
fn a_joblib_array_that_is_opcodes_runs_in_a_plain_unpickler() {
    let mut data = [b"0", EVIL, b"."].concat();
    data.resize(64, 0xff);
    let f = facts(&joblib("u1", 64, false, &data, b"."));
    assert_eq!(dangerous(&f), [CALL], "{f:?}");
    assert!(codes(&f).is_empty());
}

fn npy(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
    let mut out = b"\x93NUMPY".to_vec();
    out.extend([version, 0]);
    match version {
        1 => out.extend((header.len() as u16).to_le_bytes()),
        _ => out.extend((header.len() as u32).to_le_bytes()),
    }
    out.extend(header.as_bytes());
    out.extend(data);
    out
}

#[test]
fn npy_of_every_version() {
    let plain = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }\n";
    for version in 1..=3 {
        let f = facts(&npy(version, plain, &[7; 16]));
        assert!(f.facts.is_empty() && f.gaps.is_empty() && f.formats == ["npy"], "{f:?}");
        for descr in ["'|O'", "[('a', '<i4'), ('b', '|O')]", "[('a', [('b', '|O')], (3,))]"] {
            let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}\n");
            calls(&npy(version, &header, &evil()));
        }
    }
    let long = format!("{{'descr': '|O', 'fortran_order': False, 'shape': (1,), }}{}\n", " ".repeat(30_000));
    calls(&npy(1, &long, &evil()));
    let huge =
        format!("{{'descr': '|O', 'fortran_order': False, 'shape': (1,), }}{}\n", " ".repeat(17 << 20));
    let f = facts(&npy(2, &huge, &evil()));
    assert_eq!((dangerous(&f), codes(&f)), (vec![CALL.to_string()], vec!["npy-huge-header".to_string()]));
    let bomb = "{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999999,), }\n";
    assert_eq!(codes(&facts(&npy(1, bomb, b""))), ["npy-size-beyond-end"]);
    let overflow = "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 99999999999), }\n";
    assert_eq!(codes(&facts(&npy(1, overflow, b""))), ["npy-size-beyond-end"]);
    // Several arrays in a file, then a pickle.
    let one = npy(1, plain, &[7; 16]);
    let two = [one.clone(), one.clone()].concat();
    assert!(facts(&two).facts.is_empty());
    let f = facts(&[two, evil()].concat());
    assert_eq!(dangerous(&f), [CALL]);
    assert_eq!(codes(&f), ["pickle"]);
}

#[test]
fn budgets_end_in_gaps() {
    let bytes = [b"\x80\x04".to_vec(), b"N0".repeat(100_000), b"N.".to_vec()].concat();
    let limits = Limits { steps: 50_000, ..Limits::default() };
    let f = scan(&Blob::from_vec(bytes), &Options { limits, ..Options::default() });
    assert!(f.gaps.iter().any(|g| g.reason.name() == "steps-limit"), "{f:?}");
}
