//! Dtypes as numpy pickles them are clean; with one number changed they contradict themselves, and that is told.

use wb_blob::{Blob, Limits};
use wb_scan::{Options, judge, scan};
use wb_verdict::{FactKind, Verdict};

struct Written {
    name: String,
    pickle: Vec<u8>,
}

fn written() -> Vec<Written> {
    include_str!("dtypes.tsv")
        .lines()
        .filter(|l| !l.starts_with('#'))
        .map(|line| {
            let f: Vec<&str> = line.split('\t').collect();
            let byte = |i: usize| u8::from_str_radix(&f[2][i..i + 2], 16).unwrap();
            Written {
                name: format!("{} in protocol {}", f[0], f[1]),
                pickle: (0..f[2].len()).step_by(2).map(byte).collect(),
            }
        })
        .collect()
}

fn facts(bytes: Vec<u8>) -> wb_verdict::Facts {
    scan(&Blob::from_vec(bytes), &Options { limits: Limits::default(), ..Options::default() })
}

/// True if the state of a dtype is told to contradict it.
fn told(bytes: &[u8]) -> bool {
    facts(bytes.to_vec())
        .facts
        .iter()
        .any(|f| matches!(&f.kind, FactKind::Structure { code, .. } if code == "numpy-dtype-state"))
}

#[test]
fn what_numpy_writes_is_clean() {
    let all = written();
    assert_eq!(all.len(), 34);
    for w in all {
        let report = judge(&facts(w.pickle), "model.pkl", None);
        assert_eq!(report.verdict, Verdict::Clean, "{}: {:?}", w.name, report.findings);
    }
}

#[test]
fn flags_that_lie_about_objects_are_told() {
    // BININT1 of the flags that object dtypes and those with object fields have.
    let (mut denied, mut claimed) = (0, 0);
    for w in written() {
        for (i, pair) in w.pickle.windows(2).enumerate() {
            if pair == b"K\x1b" || pair == b"K\x3f" {
                let mut lie = w.pickle.clone();
                lie[i + 1] = 0;
                assert!(told(&lie), "{} at {i}", w.name);
                denied += 1;
            }
            // The last number of a state: alignment or size before it, end of the tuple behind it.
            if pair == b"K\0" && w.pickle.get(i + 2) == Some(&b't') {
                let mut lie = w.pickle.clone();
                lie[i + 1] = 0x3f;
                assert!(told(&lie), "{} at {i}", w.name);
                claimed += 1;
            }
        }
    }
    assert!(denied >= 10 && claimed >= 20, "{denied} {claimed}");
}

#[test]
fn fields_and_sizes_that_lie_are_told() {
    let mut seen = 0;
    for w in written().into_iter().filter(|w| w.name.starts_with("offsets")) {
        // The item of 24 bytes shrinks below its fields, which lie at 8 and 0.
        let at = w.pickle.windows(2).position(|p| p == b"K\x18").expect("the item size");
        for size in [0, 1, 8] {
            let mut lie = w.pickle.clone();
            lie[at + 1] = size;
            assert!(told(&lie), "{} with {size}", w.name);
            seen += 1;
        }
    }
    assert_eq!(seen, 6);
}
