//! Zip archives built by hand, one trick at a time: the trick is named and the content is found all the same.

mod support;

use support::{EVIL, Entry, Zip, calls, gaps, hidden, structures, unsafe_paths};
use wb_blob::Blob;
use wb_scan::{Options, scan};
use wb_verdict::{FactKind, Facts};

fn facts(bytes: Vec<u8>) -> Facts {
    scan(&Blob::from_vec(bytes), &Options::default())
}

fn torch(data_pkl: &[u8]) -> Zip {
    Zip::of(vec![Entry::new("a/data.pkl", data_pkl), Entry::new("a/version", b"3\n")])
}

#[test]
fn an_ordinary_archive_has_no_structure_facts() {
    let f = facts(torch(b"\x80\x02}.").bytes());
    assert_eq!(structures(&f), [""; 0]);
    assert!(f.gaps.is_empty());
    assert_eq!(f.formats[0], "pytorch-zip");
}

#[test]
fn normal_variations_are_silent() {
    let mut z = torch(b"\x80\x02}.");
    z.entries[0].deflate = true;
    z.entries[1].descriptor = true;
    z.entries.push(Entry { padding: 41, ..Entry::new("a/data/0", &[0; 100]) });
    z.entries.push(Entry { zip64: true, ..Entry::new("a/data/1", &[0; 100]) });
    z.entries.push(Entry::new("a/empty/", b""));
    z.comment = b"made by a test".to_vec();
    let f = facts(z.bytes());
    assert_eq!(structures(&f), [""; 0], "{:?}", f.facts);
    assert!(f.gaps.is_empty(), "{:?}", f.gaps);
}

#[test]
fn archives_one_after_the_other_are_all_scanned_and_silent() {
    let mut all = torch(EVIL).bytes();
    all.extend(torch(b"\x80\x02}.").bytes());
    all.extend(torch(b"\x80\x02}.").bytes());
    let f = facts(all);
    assert_eq!(structures(&f), [""; 0], "{:?}", f.facts);
    assert_eq!(calls(&f), ["posix.system"]);
}

#[test]
fn every_trick_is_named_and_the_payload_found() {
    let evil = || torch(EVIL);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("zip-duplicate-entry", {
            let mut z = evil();
            z.entries.push(Entry::new("a/data.pkl", b"\x80\x02}."));
            z.bytes()
        }),
        ("zip-case-duplicate", {
            let mut z = evil();
            z.entries.push(Entry::new("a/DATA.pkl", b"\x80\x02}."));
            z.bytes()
        }),
        ("zip-encryption-flag", {
            let mut z = evil();
            z.entries[0].flags = 0x1;
            z.bytes()
        }),
        ("zip-encryption-flag", {
            let mut z = evil();
            z.entries[0].local_flags = Some(0x40);
            z.bytes()
        }),
        ("zip-bad-crc", {
            let mut z = evil();
            z.entries[0].crc = Some(0xdead_beef);
            z.bytes()
        }),
        ("zip-local-name-differs", {
            let mut z = evil();
            z.entries[0].local_name = Some("a/data.txt".into());
            z.bytes()
        }),
        ("zip-size-lie", {
            let mut z = evil();
            z.entries[0].deflate = true;
            z.entries[0].size = Some(5);
            z.bytes()
        }),
        ("zip-local-size-differs", {
            let mut z = evil();
            z.entries[0].local_size = Some(3);
            z.bytes()
        }),
        ("zip-local-method-differs", {
            let mut z = evil();
            z.entries[0].local_method = Some(8);
            z.bytes()
        }),
        ("zip-unlisted-record", {
            let mut z = evil();
            z.entries[0].listed = false;
            z.bytes()
        }),
        ("zip-prefix-bytes", {
            let mut all = b"GIF89a and then something else".to_vec();
            all.extend(evil().bytes());
            all
        }),
        ("zip-trailing-bytes", {
            let mut all = torch(b"\x80\x02}.").bytes();
            all.extend(EVIL);
            all
        }),
        ("zip-no-central-directory", {
            let mut z = evil();
            z.end_record = false;
            let mut all = z.bytes();
            let cut = all.len() - z.directory_len();
            all.truncate(cut);
            all
        }),
        ("zip-hidden-bytes", {
            let mut z = torch(b"\x80\x02}.");
            z.entries[1].before = EVIL.to_vec();
            z.bytes()
        }),
    ];
    for (code, bytes) in cases {
        let f = facts(bytes);
        assert!(structures(&f).iter().any(|c| c == code), "{code}: {:?}", f.facts);
        assert!(calls(&f).contains(&"posix.system".to_string()), "{code}: {:?}", f.facts);
    }
}

#[test]
fn two_central_directories_are_both_read() {
    // The offset leads to the first directory (miniz), the place right before the end record to the second (zipfile).
    let evil = Zip::of(vec![Entry::new("a/data.pkl", EVIL)]);
    let fine = Zip::of(vec![Entry::new("a/data.pkl", b"\x80\x02}."), Entry::new("a/version", b"3\n")]);
    let mut records = evil.records();
    let base = records.len() as u32;
    records.extend(fine.records());
    let first = evil.directory(0);
    let second = fine.directory(base);
    // A reader that counts back from the end subtracts this shift from every offset.
    let at = records.len() as u32;
    records.extend(&first);
    records.extend(&second);
    records.extend(support::end_record(2, second.len() as u32, at, b""));
    let f = facts(records);
    assert!(structures(&f).contains(&"zip-two-central-directories".to_string()), "{:?}", f.facts);
    assert!(calls(&f).contains(&"posix.system".to_string()), "{:?}", f.facts);
}

#[test]
fn paths_that_leave_the_folder() {
    let mut z = Zip::of(vec![
        Entry::new("/abs", b"x"),
        Entry::new("a/../../up", b"x"),
        Entry::new("..\\win", b"x"),
        Entry::new("fine/../ok", b"x"),
        Entry::new("out", b"/etc/passwd"),
        Entry::new("dir/in", b"../x"),
        Entry::new("null", b""),
    ]);
    z.entries[4].mode = 0o120_777;
    z.entries[5].mode = 0o120_777;
    z.entries[6].mode = 0o020_666;
    let f = facts(z.bytes());
    assert_eq!(unsafe_paths(&f), ["absolute", "traversal", "traversal", "link-outside", "device"]);
}

#[test]
fn a_pickle_in_a_storage_is_hidden_content_and_weights_are_not() {
    let weights: Vec<u8> = (0..4000u32).flat_map(|i| (i as f32).sin().to_le_bytes()).collect();
    let mut z = torch(b"\x80\x02}.");
    z.entries.push(Entry::new("a/data/0", &weights));
    assert_eq!(hidden(&facts(z.bytes())), [""; 0]);
    z.entries.push(Entry::new("a/data/1", EVIL));
    let f = facts(z.bytes());
    assert_eq!(hidden(&f), ["pickle"]);
    assert_eq!(calls(&f), ["posix.system"]);
}

#[test]
fn large_checkpoints_are_read_in_small_parts() {
    let mut z = torch(b"\x80\x02}.");
    let weights = vec![0u8; 100_000];
    z.entries.extend((0..500).map(|i| Entry {
        padding: 30,
        descriptor: true,
        ..Entry::new(&format!("a/data/{i}"), &weights)
    }));
    let bytes = z.bytes();
    assert!(bytes.len() > 50_000_000);
    let f = facts(bytes);
    assert_eq!(structures(&f), [""; 0]);
    assert!(f.bytes_read < 500_000, "{} bytes read", f.bytes_read);
}

#[test]
fn what_is_really_encrypted_is_a_gap() {
    let mut z = Zip::of(vec![Entry::new("secret", b"no crc fits these bytes")]);
    z.entries[0].flags = 1;
    z.entries[0].crc = Some(7);
    let f = facts(z.bytes());
    assert!(gaps(&f).contains(&"encrypted".to_string()), "{:?}", f.gaps);
}

#[test]
fn layouts_that_are_not_judged_say_so() {
    let unsupported = |names: &[&str]| -> Vec<String> {
        let f = facts(Zip::of(names.iter().map(|n| Entry::new(n, b"{}")).collect()).bytes());
        f.facts
            .iter()
            .filter_map(|f| match &f.kind {
                FactKind::Unsupported { format, .. } => Some(format.clone()),
                _ => None,
            })
            .collect()
    };
    assert_eq!(unsupported(&["META-INF/MANIFEST.MF"]), ["jar"]);
    // Judged by what is in them.
    assert_eq!(unsupported(&["a/data.pkl", "a/version", "a/constants.pkl", "a/code/x.py"]), [""; 0]);
    assert_eq!(unsupported(&["schema.json"]), [""; 0]);
    assert_eq!(unsupported(&["readme.txt"]), [""; 0]);
}

#[test]
fn a_bomb_is_a_resource_fact_and_a_gap() {
    let zeros = vec![0u8; 80 << 20];
    let mut z = Zip::of(vec![Entry { deflate: true, ..Entry::new("zeros", &zeros) }]);
    z.entries.push(Entry::new("b", b"x"));
    let mut options = Options::default();
    options.limits.inflated_bytes = 1 << 20;
    let f = scan(&Blob::from_vec(z.bytes()), &options);
    assert!(
        f.facts
            .iter()
            .any(|f| matches!(&f.kind, FactKind::Resource { code, .. } if code == "decompression-bomb"))
    );
    assert!(gaps(&f).contains(&"inflated-bytes-limit".to_string()));
}
