//! Where `_pickle.c` and `pickle.py` differ: what either of them does is reported.

mod support;

use support::{cat, expect, run, s};

#[test]
fn the_python_reader_sets_the_pairs_before_an_odd_item_stops_it() {
    expect(
        b"\x80\x04cm\nC\n)R(S'k'\nS'v'\nS'x'\nu.",
        &["SetItem 25 m.C(...).update({'k': 'v'})", "odd number"],
    );
    expect(b"\x80\x04(cm\nC\n)RNNd.", &["Hash", "odd number"]);
}

#[test]
fn the_python_reader_imports_before_it_looks_for_a_mark() {
    expect(b"iposix\nsystem\n.", &["import 0 posix.system", "no mark"]);
}

#[test]
fn the_python_reader_imports_what_the_file_ends_in() {
    // It cuts the last byte off a line without newline, and takes a line that is not there for an empty one.
    for stream in [&b"cantigravity\n"[..], b"cantigravityX", b"cantigravity\nX"] {
        expect(stream, &["import 0 antigravity\n", "stream ends without STOP"]);
    }
    expect(b"(iantigravityX", &["Inst 1 antigravity()"]);
    assert!(!run(b"cX").contains("antigravity") && run(b"c").contains("argument runs past the end"));
}

#[test]
fn a_name_that_crosses_the_end_of_its_frame_is_read_behind_it() {
    // From memory `posix.path`; from a file that cannot peek `posix.system`.
    let inside = b"cposix\npath";
    let stream = cat(&[b"\x80\x04\x95", &(inside.len() as u64).to_le_bytes(), inside, b"system\n."]);
    expect(&stream, &["import 11 posix.pathsystem\n", "import 11 posix.system\n", "pickle-frame-straddle"]);
    let inst = cat(&[b"\x80\x04(\x95", &11u64.to_le_bytes(), b"iposix\npathsystem\n."]);
    expect(&inst, &["Inst 12 posix.pathsystem()", "Inst 12 posix.system()"]);
}

#[test]
fn memo_indices_are_read_as_int_reads_them() {
    for index in ["0", "-0", "+0", "0_0", " 0 ", "000000000000000000000000"] {
        let stream = format!("S'posix'\np{index}\n0g0\nS'system'\n");
        expect(&cat(&[stream.as_bytes(), b"\x93S'id'\n\x85R."]), &["posix.system('id')"]);
    }
    let huge = "9".repeat(40);
    let stream = format!("S'posix'\np{huge}\n0S'os'\np18446744073709551615\n0g00{huge}\nS'system'\n");
    expect(&cat(&[stream.as_bytes(), b"\x93S'id'\n\x85R."]), &["posix.system('id')", "pickle-memo-jump"]);
    // The C reader takes a NUL for the end of the number.
    expect(b"S'posix'\np0\0junk\n0g0\0\nS'system'\n\x93S'id'\n\x85R.", &["posix.system('id')"]);
    expect(b"Np\x000\n.", &["memo index is no number"]);
    expect(b"NpX\n.", &["memo index is no number"]);
    expect(b"Np-1\n.", &["memo index is no number"]);
}

#[test]
fn an_escape_does_not_hide_what_a_state_plants() {
    for key in
        ["S'__setstate__'\n", "S'\\x5f_setstate__'\n", "S'_\\137setstate__'\n", "V_\\u005fsetstate__\n"]
    {
        let stream = cat(&[b"\x80\x04cm\nC\n)\x81}", key.as_bytes(), b"cposix\nsystem\nsb", b"S'id'\nb."]);
        expect(&stream, &["Indirect", "posix.system('id')"]);
    }
}

#[test]
fn the_extension_registry_is_read_as_its_readers_do() {
    let register = |m: &str, n: &str, code: &[u8]| {
        cat(&[b"ccopyreg\n_inverted_registry\n", code, &s(m), &s(n), b"\x86s0"])
    };
    // Resolved at use, under the protocol that holds then; `True` is 1.
    let late = cat(&[
        b"\x80\x04",
        &register("__builtin__", "eval", b"\x88"),
        b"\x80\x02\x82\x01X\x01\0\0\x001\x85R.",
    ]);
    expect(&late, &["builtins.eval('1')"]);
    // What was used once stays what it was.
    let again = cat(&[
        b"\x80\x04",
        &register("posix", "system", b"K\x05"),
        b"\x82\x050",
        &register("math", "sqrt", b"K\x05"),
        b"\x82\x05",
        &s("id"),
        b"\x85R.",
    ]);
    expect(&again, &["posix.system('id')"]);
    // The registry by another name, and a number below one.
    let other =
        cat(&[b"\x80\x04cpickle\n_extension_cache\nJ\xff\xff\xff\xffcposix\nsystem\ns0\x84\xff\xff\xff\xff"]);
    expect(&cat(&[&other, &s("id"), b"\x85R."]), &["posix.system('id')"]);
}

#[test]
fn lists_take_items_by_index() {
    // getattr(*[os, 'x']) after the list's second item was replaced.
    let stream = cat(&[
        b"\x80\x04cbuiltins\ngetattr\n](cimportlib\nimport_module\n",
        &s("os"),
        b"\x85R",
        &s("name"),
        b"eK\x01",
        &s("system"),
        b"sR",
        &s("id"),
        b"\x85R.",
    ]);
    expect(&stream, &["os.system('id')"]);
    expect(b"](K\x01K\x02K\x03u.", &["odd number"]);
    expect(b"}K\x01a.", &["no such method"]);
    expect(b"]K\x01K\x02s\x8f(K\x01e.", &["no such method"]);
}

#[test]
fn arguments_that_are_iterated_are_not_known() {
    let log = run(b"\x80\x04cbuiltins\nlist\ncm\nC\n)\x81R.");
    assert!(log.contains("Reduce"), "{log}");
}

#[test]
fn what_cannot_be_called_has_its_arguments_iterated_first() {
    expect(b"}cm\nobj\nR.", &["Indirect 8 m.obj()", "not callable"]);
    expect(b"}cm\nC\n)RR.", &["Indirect 8 m.C(...)()", "not callable"]);
    assert!(!run(b"})R.").contains("Indirect"));
}

#[test]
fn keys_and_members_are_hashed() {
    let made = b"cm\nC\n)\x81";
    expect(&cat(&[b"\x80\x04}", made, b"Ns."]), &["Hash 11 hash(m.C(...))"]);
    expect(&cat(&[b"\x80\x04(", made, b"Nd."]), &["Hash"]);
    expect(&cat(&[b"\x80\x04\x8f(", made, b"\x90."]), &["Hash"]);
    expect(&cat(&[b"\x80\x04(", made, b"\x91."]), &["Hash"]);
    // Inside tuples too, and by constructors of sets and dicts.
    expect(&cat(&[b"\x80\x04}K\x01", made, b"\x86Ns."]), &["Hash"]);
    expect(&cat(&[b"\x80\x04cbuiltins\nset\n](", made, b"e\x85R."]), &["Hash"]);
    expect(&cat(&[b"\x80\x04ccollections\nOrderedDict\n]", made, b"N\x86a\x85R."]), &["Hash"]);
    // What a key was made of and what its state holds.
    expect(&cat(&[b"\x80\x04}cn\nD\n(", made, b"tRNs."]), &["hash(n.D(...))", "hash(m.C(...))"]);
    expect(
        &cat(&[b"\x80\x04}cn\nD\n)\x81}", &s("x"), made, b"sbNs."]),
        &["hash(n.D(...))", "hash(m.C(...))"],
    );
    // Values, items of lists, classes and functions are not.
    for quiet in [
        cat(&[b"\x80\x04}K\x01", made, b"s."]),
        cat(&[b"\x80\x04]", made, b"a."]),
        b"\x80\x04}cm\nC\nNs.".to_vec(),
        b"\x80\x04}K\x01K\x02\x86Ns.".to_vec(),
    ] {
        assert!(!run(&quiet).contains("Hash"), "{quiet:?}");
    }
}

#[test]
fn a_planted_hash_is_called() {
    let stream = cat(&[b"\x80\x04cm\nC\nN}", &s("__hash__"), b"cposix\nsystem\ns\x86b0}cm\nC\n)\x81Ns."]);
    expect(&stream, &["Indirect", "posix.system("]);
    // One that hashes again does not go on for ever.
    let stream = cat(&[
        b"\x80\x04cm\nC\nN}",
        &s("__hash__"),
        b"cfunctools\npartial\ncbuiltins\nset\ncm\nC\n)\x81\x85\x86Rs\x86b0}cm\nC\n)\x81Ns.",
    ]);
    expect(&stream, &["Hash"]);
}

#[test]
fn a_changed_bytearray_is_not_read_as_it_was_written() {
    let stream = cat(&[b"\x80\x05cpickle\nloads\n\x96\x03\0\0\0\0\0\0\0N..\x94(K.e\x85R."]);
    expect(&stream, &["pickle-nested-unread"]);
}

#[test]
fn a_buffer_of_an_object_is_asked_of_the_object() {
    expect(b"\x80\x05cm\nC\n)\x81\x98.", &["Indirect", "m.C(...).__buffer__"]);
    // An import can be an instance.
    expect(b"\x80\x05cm\nobj\n\x98.", &["Indirect", "m.obj.__buffer__"]);
    assert!(!run(b"\x80\x05\x96\x01\0\0\0\0\0\0\0N\x98.").contains("Indirect"));
}

#[test]
fn a_buffered_file_takes_the_other_way_at_the_second_frame() {
    // Both frames end inside a number. Read on as memory does, the first is followed by two values to pop, cut off by
    // one only; the second is followed by STOP, which cut off is the number's last byte.
    let stream = cat(&[
        b"\x80\x04\x95\x02\0\0\0\0\0\0\0J\0\0\0\0N00",
        b"\x95\x02\0\0\0\0\0\0\0J\0\0\0\0.",
        &s("posix"),
        &s("system"),
        b"\x93",
        &s("id"),
        b"\x85R.",
    ]);
    expect(&stream, &["end Stop(34)", "pickle-frame-straddle", "posix.system('id')"]);
}

#[test]
fn what_a_reader_asks_by_the_way_is_told() {
    let made = b"cm\nC\n)R";
    // A list has no `__setstate__`: the Python reader asks the state, or the halves of a pair, whether they are true.
    expect(&cat(&[b"\x80\x02]", made, b"b."]), &["Indirect 10 m.C(...)()"]);
    expect(&cat(&[b"\x80\x02]N", made, b"\x86b."]), &["Indirect 12 m.C(...)()"]);
    // The items of `*args`, the keys of `**kwargs`, whether there is anything to call or not.
    expect(&cat(&[b"\x80\x02cn\nf\n", made, b"R."]), &["Indirect 14 m.C(...)()", "Reduce 14 n.f("]);
    expect(&cat(&[b"\x80\x02N", made, b"R."]), &["Indirect 10 m.C(...)()", "not callable"]);
    expect(&cat(&[b"\x80\x04cn\nf\n)", made, b"\x92."]), &["Indirect 15 m.C(...)()", "NewobjEx 15 n.f"]);
    // A list is indexed by whatever says which number it is; a slice takes what an object yields.
    expect(&cat(&[b"\x80\x02]Na", made, b"Ns."]), &["Indirect 13 m.C(...)()"]);
    expect(
        &cat(&[b"\x80\x02]cbuiltins\nslice\nN\x85R", made, b"s."]),
        &["Indirect 29 builtins.slice(...)()", "Indirect 29 m.C(...)()"],
    );
    // So is a bytearray, and what is put into it says which number it is.
    let bytes = b"\x80\x05\x96\x01\0\0\0\0\0\0\0a";
    expect(&cat(&[bytes, made, b"K\x01s."]), &["Indirect 21 m.C(...)()"]);
    expect(&cat(&[bytes, b"(", made, b"e."]), &["Indirect 20 m.C(...)()"]);
    // Plain values answer nothing of their own.
    for plain in [&b"\x80\x02]}b."[..], b"\x80\x02]N}\x86b.", b"\x80\x02]NaK\x00Ns.", b"\x80\x02]NaI00\nNs."]
    {
        assert!(!run(plain).contains("Indirect"), "{}", run(plain));
    }
}

#[test]
fn an_item_at_an_odd_index_is_the_new_one() {
    // `False` is the index 0.
    expect(b"\x80\x02cn\nf\n]NaI00\nK\x07s\x85R.", &["n.f([7])"]);
    expect(b"\x80\x02cn\nf\n]NaI-1\nK\x07s\x85R.", &["n.f([7])"]);
    // At an index that is not known nothing is known of the list.
    let log = run(b"\x80\x02cn\nf\n]NaG\0\0\0\0\0\0\0\0K\x07s\x85R.");
    assert!(log.contains("n.f([") && !log.contains("None"), "{log}");
}

#[test]
fn an_attribute_getter_without_names_hands_out_nothing_known() {
    expect(b"coperator\nattrgetter\n)R)R}b.", &["Build", "attrgetter(...)"]);
}

#[test]
fn a_number_that_crosses_the_end_of_its_frame_is_no_text() {
    // From a file that cannot peek the length is read inside the frame and the number behind it.
    let stream = cat(&[b"\x80\x04cn\nf\n\x95\x03\0\0\0\0\0\0\0\x8a\x01\x05\x07\x85R."]);
    let log = run(&cat(&[&stream[..7], &stream[7..]]));
    assert!(!log.contains("n.f('"), "{log}");
}

#[test]
fn readings_that_part_do_not_share_names() {
    // Behind the frame one reader calls `a.harmless`, the other `posix.system`: both under names of their own.
    struct Ids(Vec<(u32, String)>);
    impl wb_pickle::Observer for Ids {
        fn call(&mut self, call: &wb_pickle::PendingCall<'_>) {
            self.0.push((call.callee_id(), call.callee().rendering.clone()));
        }
    }
    let inside = b"X\x01\0\0\0";
    let behind = b"\x01\0\0\0a0ca\nb\n)R0cposix\nsystem\n)R.";
    let stream = cat(&[b"\x80\x04\x95", &3u64.to_le_bytes(), inside, behind]);
    let blob = wb_blob::Blob::from_vec(stream);
    let mut ids = Ids(Vec::new());
    wb_pickle::Machine::new(&blob, 0, &wb_blob::Budget::new(wb_blob::Limits::default())).run(&mut ids);
    for (id, name) in &ids.0 {
        assert!(ids.0.iter().all(|(other, n)| (other == id) == (n == name)), "{:?}", ids.0);
    }
}

#[test]
fn imports_that_are_kept_are_known_at_the_end() {
    let kept = |stream: &[u8]| {
        let blob = wb_blob::Blob::from_vec(stream.to_vec());
        let budget = wb_blob::Budget::new(wb_blob::Limits::default());
        let mut names = support::Names::default();
        let run = wb_pickle::Machine::new(&blob, 0, &budget).run(&mut names);
        let mut kept: Vec<String> =
            names.0.iter().filter(|(id, _)| run.kept.contains(id)).map(|n| n.1.clone()).collect();
        kept.dedup();
        kept
    };
    assert_eq!(kept(b"cm\nf\n)R."), Vec::<String>::new());
    assert_eq!(kept(b"cm\nf\n(cn\ng\ntR."), Vec::<String>::new());
    assert_eq!(kept(b"cm\nf\nq\x00)R0](h\x00e."), ["m.f"]);
    assert_eq!(kept(b"](((cm\nf\nttcn\ng\ne."), ["m.f", "n.g"]);
    assert_eq!(kept(b"cm\nC\n)R(Ncn\ng\ntb."), ["n.g"]);
    assert_eq!(kept(b"}(Ncm\nf\nu."), ["m.f"]);
    assert_eq!(kept(b"cm\nf\n."), ["m.f"]);
}
