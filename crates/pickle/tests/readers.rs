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
