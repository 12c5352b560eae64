//! Hand-assembled streams, one for each way in which loaders reach code and readers were fooled.

mod support;

use std::io;
use std::sync::Arc;
use support::{CALL, Log, cat, expect, run, run_blob, s};
use wb_blob::{Blob, Budget, Limits, ReadAt};
use wb_pickle::{End, Machine};

/// `posix.system('id')` by STACK_GLOBAL and REDUCE, protocol 4.
fn payload() -> Vec<u8> {
    cat(&[&s("posix"), &s("system"), b"\x93", &s("id"), b"\x85R"])
}

#[test]
fn plain_calls_by_every_opcode() {
    expect(&cat(&[b"\x80\x04", &payload(), b"."]), &["Reduce", CALL, "end Stop"]);
    expect(b"cposix\nsystem\n(S'id'\ntR.", &["Reduce", CALL]);
    expect(b"(S'id'\niposix\nsystem\n.", &["Inst", CALL]);
    expect(b"(cposix\nsystem\nS'id'\no.", &["Obj", CALL]);
    expect(
        b"csubprocess\nPopen\n(S'id'\nt\x81.",
        &["Newobj", "subprocess.Popen.__new__(subprocess.Popen, 'id')"],
    );
    expect(
        &cat(&[b"\x80\x04csubprocess\nPopen\n(S'id'\nt}", &s("shell"), b"\x88s\x92."]),
        &["NewobjEx", "subprocess.Popen.__new__(subprocess.Popen, 'id', shell=True)"],
    );
}

#[test]
fn an_inst_without_its_last_newline_still_runs() {
    expect(b"(S'id'\niposix\nsystemX", &[CALL]);
}

#[test]
fn names_through_memo_dup_pop_and_every_string_opcode() {
    let spelled: [&[u8]; 7] = [
        b"S'posix'\n",
        b"Vposix\n",
        b"Vp\\u006fsix\n",
        b"T\x05\0\0\0posix",
        b"U\x05posix",
        b"X\x05\0\0\0posix",
        b"\x8d\x05\0\0\0\0\0\0\0posix",
    ];
    for module in spelled {
        expect(&cat(&[module, &s("system"), b"\x93", &s("id"), b"\x85R."]), &[CALL]);
    }
    // The memo is rewritten between fetch and use.
    expect(
        b"\x80\x02X\x05\0\0\0posixq\x000X\x06\0\0\0systemq\x010h\x00h\x01q\x00\x93X\x02\0\0\0id\x85R.",
        &[CALL],
    );
    let dup = cat(&[b"\x80\x04", &s("posix"), b"2\x940", &s("system"), b"\x93", &s("id"), b"\x85R."]);
    expect(&dup, &[CALL]);
    let poison = cat(&[
        b"\x80\x04",
        &s("posix"),
        &s("x"),
        b"0\x940",
        &s("system"),
        &s("x"),
        b"0\x940h\x00h\x01\x93",
        &s("id"),
        b"\x85R.",
    ]);
    expect(&poison, &[CALL]);
}

#[test]
fn readers_that_take_integers_differently() {
    expect(&cat(&[b"L0x10L\n0", &payload(), b"."]), &["structure 0 pickle-int-base", CALL]);
    expect(b"I0x1f\n.", &["structure 0 pickle-int-base"]);
    assert!(!run(b"(I00\nI01\nI-17\nL5L\nt.").contains("structure"));
}

#[test]
fn protocols_late_and_twice() {
    let late = cat(&[&s("posix"), &s("system"), b"\x93\x80\x04", &s("id"), b"\x85R."]);
    expect(&late, &[CALL, "pickle-late-proto"]);
    expect(&cat(&[b"\x80\x02\x80\x04", &payload(), b"."]), &[CALL, "pickle-late-proto"]);
}

#[test]
fn python_2_names_below_protocol_3_only() {
    expect(b"\x80\x02curllib2\nurlopen\nX\x01\0\0\0u\x85R.", &["urllib.request.urlopen('u')"]);
    expect(b"c__builtin__\neval\n(S'1+1'\ntR.", &["builtins.eval('1+1')"]);
    expect(b"\x80\x04c__builtin__\neval\n(S'1+1'\ntR.", &["__builtin__.eval('1+1')"]);
}

#[test]
fn payload_before_an_error_stands() {
    let broken = cat(&[b"\x80\x04", &payload(), b"0\x8c\xc8abc"]);
    expect(&broken, &[CALL, "end Error { at: 25, what: \"argument runs past the end\" }"]);
    // STACK_GLOBAL on an integer fails like the loader, after the call.
    let confused = cat(&[b"\x80\x04", &payload(), b"0K\x2a", &s("os"), b"\x93."]);
    expect(&confused, &[CALL, "STACK_GLOBAL needs two strings"]);
    expect(&cat(&[b"\x80\x04", &payload(), b"0g99\n."]), &[CALL, "memo entry does not exist"]);
    expect(&cat(&[b"\x80\x04", &payload(), b"000"]), &[CALL, "stack underflow"]);
}

#[test]
fn chains_are_followed() {
    let import_os = cat(&[&s("importlib"), &s("import_module"), b"\x93", &s("os"), b"\x85R"]);
    let getattr = cat(&[
        b"\x80\x04",
        &s("builtins"),
        &s("getattr"),
        b"\x93",
        &import_os,
        &s("system"),
        b"\x86R",
        &s("id"),
        b"\x85R.",
    ]);
    expect(&getattr, &["os.system('id') via builtins.getattr(...)"]);
    let caller = cat(&[
        b"\x80\x04",
        &s("operator"),
        &s("methodcaller"),
        b"\x93",
        &s("system"),
        &s("id"),
        b"\x86R",
        &import_os,
        b"\x85R.",
    ]);
    expect(&caller, &["operator.methodcaller(...)(os)", "Indirect", "os.system('id')"]);
    let getter = cat(&[
        b"\x80\x04",
        &s("_operator"),
        &s("attrgetter"),
        b"\x93",
        &s("system"),
        b"\x85R",
        &import_os,
        b"\x85R",
        &s("id"),
        b"\x85R.",
    ]);
    expect(&getter, &["os.system('id') via _operator.attrgetter(...)(...)"]);
    let partial = cat(&[
        b"\x80\x04",
        &s("functools"),
        &s("partial"),
        b"\x93",
        &s("posix"),
        &s("system"),
        b"\x93",
        &s("id"),
        b"\x86R)R.",
    ]);
    expect(&partial, &["functools.partial(posix.system, 'id')", "Indirect", CALL]);
    let mut by_state = cat(&[b"\x80\x04", &s("functools"), &s("partial"), b"\x93", &s("len"), b"\x85R("]);
    by_state.extend(cat(&[&s("posix"), &s("system"), b"\x93", &s("id"), b"\x85}Ntb)R."]));
    expect(&by_state, &["Indirect", CALL]);
    let locate = cat(&[
        b"\x80\x04",
        &s("pkgutil"),
        &s("resolve_name"),
        b"\x93",
        &s("os:system"),
        b"\x85R",
        &s("id"),
        b"\x85R.",
    ]);
    expect(&locate, &["os.system('id') via pkgutil.resolve_name(...)"]);
    let function = cat(&[b"\x80\x04", &s("types"), &s("FunctionType"), b"\x93N}\x86R)R."]);
    expect(&function, &["types.FunctionType(...)()"]);
    expect(
        &cat(&[b"\x80\x04", &s("pathlib"), &s("os.system"), b"\x93", &s("id"), b"\x85R."]),
        &["pathlib.os.system('id')"],
    );
}

#[test]
fn names_that_are_computed() {
    let rot = cat(&[
        b"\x80\x04",
        &s("codecs"),
        &s("decode"),
        b"\x93",
        &s("cbfvk"),
        &s("rot13"),
        b"\x86R",
        &s("system"),
        b"\x93",
        &s("id"),
        b"\x85R.",
    ]);
    expect(&rot, &[CALL]);
    let unknown =
        cat(&[b"\x80\x04", &s("mod"), &s("f"), b"\x93)R", &s("system"), b"\x93", &s("id"), b"\x85R."]);
    expect(&unknown, &["<computed>.system('id')"]);
}

#[test]
fn calls_without_a_call_opcode() {
    // BUILD plants __setstate__, a second BUILD calls it.
    let mut planted =
        cat(&[b"\x80\x04", &s("types"), &s("SimpleNamespace"), b"\x93)\x81}(", &s("__setstate__")]);
    planted.extend(cat(&[&s("posix"), &s("system"), b"\x93ub", &s("id"), b"b."]));
    expect(&planted, &["Build 62", "not-plain", "Indirect", CALL]);
    // Items of something that is no container.
    expect(
        &cat(&[b"\x80\x04", &s("os"), &s("environ"), b"\x93", &s("A"), &s("b"), b"s."]),
        &["SetItem", "os.environ.update({'A': 'b'})"],
    );
    expect(b"cm\nC\n)R(K\x01K\x02e.", &["Append 12", "m.C(...).extend([1, 2])"]);
    expect(b"\x80\x04cm\nC\n)R(K\x01\x90.", &["AddItems"]);
    // Attributes set on a module change what a later import means.
    let mut override_ =
        cat(&[b"\x80\x04", &s("torch"), &s("_utils"), b"\x93}", &s("x"), &s("builtins"), b"sb0"]);
    override_.extend(cat(&[&s("torch._utils"), &s("x"), b"\x93", &s("eval"), b"\x93", &s("1"), b"\x85R."]));
    expect(&override_, &["builtins.eval('1')"]);
    let slots = cat(&[
        b"\x80\x05cnumpy\nprod\nN}(",
        &s("a"),
        &s("posix"),
        b"u\x86bcnumpy\nprod.a\n",
        &s("system"),
        b"\x93",
        &s("id"),
        b"\x85R.",
    ]);
    expect(&slots, &[CALL]);
    // An extension code that the stream registers itself.
    let ext = cat(&[
        b"\x80\x04",
        &s("copyreg"),
        &s("add_extension"),
        b"\x93",
        &s("posix"),
        &s("system"),
        b"K\xf0\x87R0\x82\xf0",
        &s("id"),
        b"\x85R.",
    ]);
    expect(&ext, &[CALL]);
    expect(b"\x80\x02\x82\x07)R.", &["Ext", "copyreg.extension(7)()"]);
}

#[test]
fn methods_that_the_stream_sets_itself() {
    // An instance attribute `append`, then APPENDS.
    let mut own = cat(&[b"\x80\x04", &s("types"), &s("SimpleNamespace"), b"\x93)\x81}", &s("append")]);
    own.extend(cat(&[&s("posix"), &s("system"), b"\x93sb(", &s("id"), b"e."]));
    expect(&own, &["Indirect", CALL]);
    // `__setstate__` and `__new__` set on the class.
    let mut class = cat(&[b"\x80\x04", &s("m"), &s("C"), b"\x93\x94N}(", &s("__setstate__")]);
    class.extend(cat(&[&s("posix"), &s("system"), b"\x93u\x86b0h\x00)\x81", &s("id"), b"b."]));
    expect(&class, &["Build", "Indirect", CALL]);
    let mut new = cat(&[b"\x80\x04", &s("m"), &s("C"), b"\x93\x94N}(", &s("__new__")]);
    new.extend(cat(&[&s("posix"), &s("system"), b"\x93u\x86b0h\x00", &s("id"), b"\x85\x81."]));
    expect(&new, &["Indirect", CALL]);
}

#[test]
fn modules_replaced_in_sys_modules() {
    let mut swap =
        cat(&[b"\x80\x04csys\nmodules\n\x94", &s("sys"), b"h\x00s0csys\nget\n", &s("os"), b"\x85R\x940"]);
    swap.extend(cat(&[b"h\x00", &s("sys"), b"h\x01s0csys\nsystem\n", &s("id"), b"\x85R."]));
    expect(&swap, &["sys.modules.get('os')", "os.system('id')"]);
}

#[test]
fn folds_are_followed() {
    let mut fold =
        cat(&[b"\x80\x04", &s("functools"), &s("reduce"), b"\x93", &s("builtins"), &s("getattr"), b"\x93]("]);
    fold.extend(cat(&[
        &s("path"),
        &s("os"),
        &s("system"),
        b"e",
        &s("importlib"),
        &s("import_module"),
        b"\x93",
    ]));
    fold.extend(cat(&[&s("shutil"), b"\x85R\x87R", &s("id"), b"\x85R."]));
    expect(&fold, &["shutil.path.os.system('id')"]);
}

#[test]
fn arguments_grown_after_they_were_pushed() {
    expect(
        &cat(&[b"\x80\x04(cpty\nspawn\n]", &s("/bin/true"), b"ao."]),
        &["Obj", "pty.spawn(['/bin/true'])"],
    );
}

#[test]
fn reconstructors() {
    expect(
        b"\x80\x02ccopy_reg\n_reconstructor\n(csubprocess\nPopen\nc__builtin__\nobject\nNtR.",
        &["copyreg._reconstructor(subprocess.Popen, builtins.object, None)", "subprocess.Popen.__new__"],
    );
    expect(b"\x80\x02ccopy_reg\n__newobj__\n(csubprocess\nPopen\nX\x02\0\0\0idtR.", &["Newobj"]);
    expect(
        b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cposix\nsystem\ncm\nT\nX\x02\0\0\0id\x85}tR.",
        &["Indirect", CALL],
    );
}

#[test]
fn nested_pickles_are_exposed() {
    let mut nested = cat(&[b"\x80\x04", &s("pickle"), &s("loads"), b"\x93C\x05\x80\x04K\x01.\x85R."]);
    expect(&nested, &["nested 26 pickle.loads Range(20..25)"]);
    nested = cat(&[
        b"\x80\x04",
        &s("pickle"),
        &s("load"),
        b"\x93",
        &s("io"),
        &s("BytesIO"),
        b"\x93C\x05\x80\x04K\x01.\x85R\x85R.",
    ]);
    expect(&nested, &["pickle.load Range("]);
    let text =
        b"\x80\x02cpickle\nloads\nc_codecs\nencode\nX\x05\0\0\0\xc2\x80\x04K.X\x06\0\0\0latin1\x86R\x85R.";
    expect(text, &["nested", "Bytes([128, 4, 75, 46])"]);
}

#[test]
fn resource_bombs() {
    expect(b"\x80\x02Nr\xff\xff\xff\xff.", &["resource 3 pickle-memo-jump", "end Stop"]);
    expect(b"\x80\x04\x8e\0\0\0\0\0\0\0\x40abc", &["resource 2 pickle-length-beyond-end"]);
    let mut laughs = b"\x80\x04]\x94".to_vec();
    for i in 0..30u8 {
        laughs.push(b'(');
        for _ in 0..10 {
            laughs.extend([b'h', i]);
        }
        laughs.extend([b'l', b'q', i + 1]);
    }
    laughs.push(b'.');
    expect(&laughs, &["pickle-expansion", "end Stop"]);
    let doubled = cat(&[b"\x80\x04]", &b"2\x86".repeat(60), b"."]);
    expect(&doubled, &["pickle-expansion", "end Stop"]);
    let digits = cat(&[b"I", &b"9".repeat(200_000), b"\n."]);
    expect(&digits, &["pickle-huge-integer", "end Stop"]);
}

#[test]
fn frames_that_are_straddled_are_read_both_ways() {
    let payload = b"cposix\nsystem\nVid\n\x85R";
    let mut bytes = b"\x80\x05N(\x95\x02\0\0\0\0\0\0\0B".to_vec();
    // From the frame's end the length reads 1; read on it is 0x107.
    bytes.extend(b"\x07\x01\0\0\0\0");
    bytes.extend(payload);
    bytes.push(b'(');
    bytes.resize(bytes.len() + 300, b'N');
    bytes.extend(b"1.");
    expect(&bytes, &["structure 13 pickle-frame-straddle", CALL]);
    // Short and empty frames do not stop the other reading.
    expect(&cat(&[b"\x80\x04\x95\x03\0\0\0\0\0\0\0", &payload_4(), b"."]), &[CALL, "pickle-frame-straddle"]);
    let empty = run(&cat(&[b"\x80\x04\x95\0\0\0\0\0\0\0\0", &payload_4(), b"."]));
    assert!(empty.contains(CALL) && !empty.contains("straddle"), "{empty}");
}

fn payload_4() -> Vec<u8> {
    payload()
}

#[test]
fn honest_frames_are_not_reported() {
    let body = cat(&[b"]\x94(K\x01K\x02e."]);
    let mut bytes = b"\x80\x04\x95".to_vec();
    bytes.extend((body.len() as u64).to_le_bytes());
    bytes.extend(&body);
    let log = run(&bytes);
    assert_eq!(log, format!("end Stop({}) after 9 steps\n", bytes.len()));
}

#[test]
fn buffers_and_byte_arrays_do_not_stop_the_machine() {
    expect(&cat(&[b"\x80\x05\x96\x03\0\0\0\0\0\0\0abc0", &payload(), b"."]), &[CALL]);
    expect(&cat(&[b"\x80\x05C\x01x\x980\x970", &payload(), b"."]), &[CALL]);
}

#[test]
fn a_million_opcodes_of_padding_hide_nothing() {
    let mut bytes = b"\x80\x04".to_vec();
    for _ in 0..1_000_000 {
        bytes.extend(b"N0");
    }
    bytes.extend(payload());
    bytes.push(b'.');
    expect(&bytes, &[CALL]);
    let mut text = b"V".to_vec();
    text.resize(3_000_000, b'a');
    text.extend(b"\n0");
    text.extend(payload());
    text.push(b'.');
    expect(&text, &[CALL]);
}

#[test]
fn persistent_ids() {
    expect(
        b"\x80\x02(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x0cNtQ.",
        &["persistent", "FloatStorage", "Int(12)"],
    );
    expect(b"Pabc\n.", &["persistent 0 Str { text: \"abc\""]);
}

#[test]
fn tuples_keep_their_items_however_they_were_made() {
    expect(b"cm\nf\n(K\x01(K\x02\x88t)NK\x03tR.", &["m.f(1, (2, True), (), None, 3)"]);
    expect(b"cm\nf\nK\x01K\x02\x860K\x07\x85R.", &["m.f(7)"]);
    // An item fetched from the memo or left from before is not what lies between the others in the stream.
    expect(b"cm\nf\nK\x01q\x000K\x09h\x00\x86R.", &["m.f(9, 1)"]);
    expect(b"cm\nf\nK\x01K\x050K\x02\x86R.", &["m.f(1, 2)"]);
    expect(b"cm\nf\nK\x01(K\x08K\x091K\x02\x86R.", &["m.f(1, 2)"]);
    expect(b"cm\nf\n(NNI01\nF1.5\nL7L\nS'q'\nVu\ntR.", &["m.f(None, None, True, 1.5, 7, 'q', 'u')"]);
}

struct Hidden(Vec<u8>);
impl ReadAt for Hidden {
    fn len(&self) -> u64 {
        self.0.as_slice().len() as u64
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }
}

/// Streams that touch everything above, for splitting.
fn corpus() -> Vec<Vec<u8>> {
    let import_os = cat(&[&s("importlib"), &s("import_module"), b"\x93", &s("os"), b"\x85R"]);
    let mut long = b"\x80\x02".to_vec();
    long.extend(b"S'");
    long.resize(700, b'q');
    long.extend(b"'\n0cposix\nsystem\n(Vid\ntR.");
    vec![
        cat(&[b"\x80\x04", &payload(), b"0\x8c\xc8abc"]),
        cat(&[
            b"\x80\x04",
            &s("operator"),
            &s("attrgetter"),
            b"\x93",
            &s("system"),
            b"\x85R",
            &import_os,
            b"\x85R",
            &s("id"),
            b"\x85R.",
        ]),
        b"(dp0\nS'a'\np1\n(lp2\nI1\naI2\nasVb\np3\nF1.5\ns.".to_vec(),
        b"\x80\x04\x95\x03\0\0\0\0\0\0\0\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.".to_vec(),
        b"(S'id'\niposix\nsystemX".to_vec(),
        long,
    ]
}

#[test]
fn any_window_gives_the_same_events() {
    for bytes in corpus() {
        let whole = run(&bytes);
        for chunk in 1..80 {
            let log = run_blob(&Blob::new(Arc::new(Hidden(bytes.clone()))), chunk);
            assert_eq!(log, whole, "chunk {chunk}");
        }
    }
}

mod random {
    use super::*;
    use proptest::prelude::*;

    fn opcode_soup() -> impl Strategy<Value = Vec<u8>> {
        let codes: Vec<u8> = wb_pickle::OPCODES.iter().map(|o| o.code).collect();
        let piece = prop_oneof![
            3 => proptest::sample::select(codes).prop_map(|c| vec![c]),
            1 => proptest::collection::vec(any::<u8>(), 1..6),
            1 => Just(s("os")),
            1 => Just(b"cos\nsystem\n".to_vec()),
            1 => Just(b"K\x01".to_vec()),
            1 => Just(b"h\x00".to_vec()),
            1 => Just(b"}(".to_vec()),
        ];
        proptest::collection::vec(piece, 0..60).prop_map(|v| v.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_make_it_panic_and_splits_change_nothing(bytes in opcode_soup(), chunk in 16usize..64) {
            let whole = run(&bytes);
            let split = run_blob(&Blob::new(Arc::new(Hidden(bytes))), chunk);
            prop_assert_eq!(whole, split);
        }

        #[test]
        fn truncation_keeps_what_came_before(cut in 0usize..200, which in 0usize..6) {
            let bytes = corpus().swap_remove(which);
            let cut = cut.min(bytes.len());
            let part = run(&bytes[..cut]);
            let ended = part.contains("end Stop") || part.contains("end Error");
            prop_assert!(ended);
        }
    }
}

#[test]
fn memory_stays_within_the_budget() {
    let limits = Limits { memory: 4 << 20, ..Limits::default() };
    // A million tuples that cannot be kept as ranges, all memoised.
    let mut bytes = b"\x80\x04K\x01\x940".to_vec();
    for _ in 0..1_000_000 {
        bytes.extend(b"h\x00h\x00\x86\x940");
    }
    bytes.extend(b"N.");
    let mut log = Log::default();
    let run = Machine::new(&Blob::from_vec(bytes), 0, &Budget::new(limits)).run(&mut log);
    assert!(matches!(run.end, End::Exhausted(_)), "{:?}", run.end);
}

#[test]
fn names_that_the_stream_computes_are_followed() {
    let call = |module: &[u8], name: &[u8]| cat(&[b"\x80\x04", module, name, b"\x93", &s("id"), b"\x85R."]);
    let posix = s("posix");
    for name in [
        cat(&[b"cbuiltins\nstr.join\n", &s(""), b"](", &s("sys"), &s("tem"), b"e\x86R"]),
        cat(&[b"cbuiltins\nstr.format\n", &s("{}{}"), &s("sys"), &s("tem"), b"\x87R"]),
        cat(&[b"coperator\nmod\n", &s("sys%s"), &s("tem"), b"\x86R"]),
        cat(&[b"cbuiltins\nstr.replace\n(", &s("sysXtem"), &s("X"), &s(""), b"tR"]),
        cat(&[b"cbuiltins\nstr.lower\n", &s("SYSTEM"), b"\x85R"]),
        // 'metsys'[::-1]
        cat(&[b"coperator\ngetitem\n", &s("metsys"), b"cbuiltins\nslice\nNNJ\xff\xff\xff\xff\x87R\x86R"]),
        cat(&[b"cbuiltins\nstr.join\n", &s(""), b"cbuiltins\nreversed\n", &s("metsys"), b"\x85R\x86R"]),
        cat(&[
            b"cbuiltins\nstr.join\n",
            &s(""),
            b"cbuiltins\nmap\ncbuiltins\nchr\n](KsKyKsKtKeKme\x86R\x86R",
        ]),
        // ''.join(['sys', 'tem']) by getattr of the text
        cat(&[b"cbuiltins\ngetattr\n", &s(""), &s("join"), b"\x86R](", &s("sys"), &s("tem"), b"e\x85R"]),
        cat(&[b"cbuiltins\nbytes.decode\ncbuiltins\nbytes\n](KsKyKsKtKeKme\x85R\x85R"]),
        cat(&[b"cbuiltins\nstr\nC\x06system", &s("utf-8"), b"\x86R"]),
        cat(&[b"ccodecs\ndecode\n", &s("flfgrz"), &s("rot_13"), b"\x86R"]),
    ] {
        expect(&call(&posix, &name), &["posix.system('id')"]);
    }
    // Too much to work out is not guessed.
    let log = run(&call(&posix, &cat(&[b"coperator\nmul\n", &s("a"), b"J\xff\xff\xff\x7f\x86R"])));
    assert!(log.contains("posix.<computed>"), "{log}");
}

#[test]
fn compressed_pickles_are_decompressed() {
    // zlib.compress(b'N.')
    let zlib = b"\x78\x9c\xf3\xd3\x03\x00\x00\xcc\x00\x7d";
    let stream =
        cat(&[b"\x80\x04cpickle\nloads\nczlib\ndecompress\nC", &[zlib.len() as u8], zlib, b"\x85R\x85R."]);
    expect(&stream, &["nested 48 pickle.loads Bytes([78, 46])"]);
    let broken = cat(&[b"\x80\x04cpickle\nloads\nczlib\ndecompress\nC\x02ab\x85R\x85R."]);
    expect(&broken, &["pickle-nested-unread"]);
}

#[test]
fn functions_that_are_mapped_are_called_for_each_item() {
    let stream =
        cat(&[b"\x80\x04citertools\nstarmap\ncposix\nsystem\n](", &s("a"), b"\x85", &s("b"), b"\x85e\x86R."]);
    expect(&stream, &["posix.system('a')", "posix.system('b')"]);
}

#[test]
fn many_objects_with_a_state_each_are_not_taken_for_one_with_many() {
    // Far beyond what is kept one by one.
    let mut stream = b"\x80\x04](".to_vec();
    for i in 0..400_000u32 {
        stream.extend(b"cm\nC\n)\x81}X\x01\0\0\0aJ");
        stream.extend(i.to_le_bytes());
        stream.extend(b"sb");
    }
    // One of them plants; those after it do not.
    stream.extend(b"cm\nC\n)\x81}X\x0c\0\0\0__setstate__cn\nf\nsb");
    stream.extend(b"cm\nC\n)\x81}X\x01\0\0\0aK\x01sb");
    stream.extend(b"e.");
    let mut seen = Builds::default();
    Machine::new(&Blob::from_vec(stream), 0, &Budget::new(Limits::default())).run(&mut seen);
    assert_eq!(seen, Builds { all: 400_002, tampered: 0, unplain: 1 });
}

#[derive(Default, Debug, PartialEq)]
struct Builds {
    all: u32,
    tampered: u32,
    unplain: u32,
}

impl wb_pickle::Observer for Builds {
    fn call(&mut self, call: &wb_pickle::PendingCall<'_>) {
        if format!("{:?}", call.how) == "Build" {
            self.all += 1;
            self.tampered += u32::from(call.tampered);
            self.unplain += u32::from(!call.plain());
        }
    }
}
