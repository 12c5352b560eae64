//! Small pickles assembled by hand, from bytes to verdict.

use wb_blob::Blob;
use wb_pickle::{Call, Value};
use wb_scan::{Options, catalogue, judge, scan};
use wb_verdict::*;

fn report(pickle: &[u8]) -> Report {
    let blob = Blob::from_vec(pickle.to_vec());
    judge(&scan(&blob, &Options::default()), "model.pkl", None)
}

/// A protocol 4 stream of `parts`.
fn stream(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = b"\x80\x04".to_vec();
    parts.iter().for_each(|p| out.extend_from_slice(p));
    out.push(b'.');
    out
}

fn text(s: &str) -> Vec<u8> {
    let mut out = vec![0x8c, s.len() as u8];
    out.extend_from_slice(s.as_bytes());
    out
}

/// STACK_GLOBAL of `module`, `name`.
fn global(module: &str, name: &str) -> Vec<u8> {
    let mut out = text(module);
    out.extend(text(name));
    out.push(0x93);
    out
}

fn worst(report: &Report) -> (&str, &str) {
    report.findings.first().map_or(("", ""), |f| (f.rule.as_str(), f.evidence.as_str()))
}

#[test]
fn a_shell_command_in_every_dialect() {
    let dialects: Vec<Vec<u8>> = vec![
        b"cposix\nsystem\n(S'id'\ntR.".to_vec(),
        b"(S'id'\niposix\nsystem\n.".to_vec(),
        b"(cposix\nsystem\nS'id'\no.".to_vec(),
        stream(&[&global("posix", "system"), &text("id"), b"\x85R"]),
        stream(&[&text("posix"), b"\x94", &text("system"), b"\x940h\x00h\x01\x93", &text("id"), b"\x85R"]),
    ];
    for pickle in dialects {
        let report = report(&pickle);
        assert_eq!(report.verdict, Verdict::Malicious, "{report:?}");
        let (rule, evidence) = worst(&report);
        assert_eq!(rule, "WB-PKL-002");
        assert!(evidence.contains("posix.system('id')"), "{evidence}");
        assert_eq!(report.findings[0].message, "loading this pickle calls posix.system");
    }
}

#[test]
fn what_runs_before_an_error_has_run() {
    let mut pickle = stream(&[&global("posix", "system"), &text("id"), b"\x85R"]);
    *pickle.last_mut().expect("not empty") = 0xff;
    let report = report(&pickle);
    assert_eq!((report.verdict, report.coverage), (Verdict::Malicious, Coverage::Partial));
}

#[test]
fn plain_data_and_catalogued_classes_are_clean() {
    for parts in [
        vec![b"}".to_vec(), text("a"), b"K\x01s".to_vec()],
        vec![global("collections", "OrderedDict"), b")R".to_vec(), text("a"), b"K\x01s".to_vec()],
        vec![global("datetime", "timedelta"), b"K\x01K\x02K\x03\x87R".to_vec()],
        vec![global("functools", "partial"), global("numpy", "log1p"), b"\x85R".to_vec()],
    ] {
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let report = report(&stream(&parts));
        assert_eq!(report.verdict, Verdict::Clean, "{report:?}");
    }
}

#[test]
fn a_third_party_class_is_unknown_as_data_and_suspicious_as_a_call() {
    let class = global("mine.models", "Regressor");
    let rebuilt = report(&stream(&[&class, b")\x81}", &text("n"), b"K\x01sb"]));
    assert_eq!(
        (rebuilt.verdict, rebuilt.reason),
        (Verdict::Unknown, Some(UnknownReason::UnknownClass)),
        "{rebuilt:?}"
    );
    // Protocol 1 writes the same rebuilding through copyreg.
    let old =
        b"ccopy_reg\n_reconstructor\n(cmine.models\nRegressor\nc__builtin__\nobject\nNtR}(S'n'\nK\x01ub.";
    let rebuilt = report(old);
    assert_eq!(
        (rebuilt.verdict, rebuilt.reason),
        (Verdict::Unknown, Some(UnknownReason::UnknownClass)),
        "{rebuilt:?}"
    );
    let called = report(&stream(&[&class, &text("n"), b"\x85R"]));
    assert_eq!((called.verdict, worst(&called).0), (Verdict::Suspicious, "WB-PKL-020"), "{called:?}");
    let modified = report(&stream(&[&class, b")\x81", &text("n"), b"K\x01s"]));
    assert_eq!((modified.verdict, worst(&modified).0), (Verdict::Suspicious, "WB-PKL-024"), "{modified:?}");
}

#[test]
fn a_second_state_is_no_plain_rebuilding() {
    let class = global("mine.models", "Regressor");
    let state = |key: &str| [b"}".as_slice(), &text(key), b"K\x01sb"].concat();
    let once = report(&stream(&[&class, b")\x81", &state("n")]));
    assert_eq!(once.reason, Some(UnknownReason::UnknownClass));
    let twice = report(&stream(&[&class, b")\x81", &state("n"), &state("m")]));
    assert_eq!((twice.verdict, worst(&twice).0), (Verdict::Suspicious, "WB-PKL-024"), "{twice:?}");
}

#[test]
fn library_names_without_an_entry_are_suspicious() {
    let report = report(&stream(&[&global("gzip", "open"), &text("f"), b"\x85R"]));
    assert_eq!((report.verdict, worst(&report).0), (Verdict::Suspicious, "WB-PKL-021"), "{report:?}");
}

#[test]
fn writing_into_a_module_is_suspicious_even_if_the_module_is_listed() {
    let report = report(&stream(&[&global("torch", "Size"), b"}", &text("x"), b"K\x01sb"]));
    assert_eq!((report.verdict, worst(&report).0), (Verdict::Suspicious, "WB-PKL-024"), "{report:?}");
}

#[test]
fn a_planted_setstate_calls_what_it_was_given() {
    let planted = stream(&[
        &global("argparse", "Namespace"),
        b")\x81}",
        &text("__setstate__"),
        &global("posix", "system"),
        b"sb",
        &text("id"),
        b"b",
    ]);
    let report = report(&planted);
    assert_eq!(report.verdict, Verdict::Malicious, "{report:?}");
    assert!(report.findings.iter().any(|f| f.evidence.contains("posix.system")), "{report:?}");
}

#[test]
fn a_dangerous_callable_behind_a_harmless_one() {
    for (what, pickle) in [
        ("functools.partial", stream(&[&global("functools", "partial"), &global("os", "system"), b"\x85R"])),
        ("copyreg._reconstructor", {
            let (maker, class, base) = (
                global("copyreg", "_reconstructor"),
                global("subprocess", "Popen"),
                global("builtins", "object"),
            );
            stream(&[&maker, &class, &base, b"N\x87R"])
        }),
        (
            "collections.defaultdict",
            stream(&[&global("collections", "defaultdict"), &global("os", "system"), b"\x85R"]),
        ),
        ("os.system", stream(&[&global("pathlib", "os.system"), &text("id"), b"\x85R"])),
        ("os.system", {
            let get = global("builtins", "getattr");
            let import = global("importlib", "import_module");
            stream(&[&get, &import, &text("os"), b"\x85R", &text("system"), b"\x86R", &text("id"), b"\x85R"])
        }),
    ] {
        let report = report(&pickle);
        assert_eq!(report.verdict, Verdict::Malicious, "{what}: {report:?}");
        let named = |f: &Finding| f.verdict == Verdict::Malicious && f.evidence.contains(what);
        assert!(report.findings.iter().any(named), "{what}: {report:?}");
    }
}

#[test]
fn serialisers_helpers_that_import_are_followed() {
    let fetch = |module: &str, name: &str, arg: &[u8]| {
        let (get, import) = (global("dill._dill", "_get_attr"), global("dill._dill", "_import_module"));
        stream(&[&get, &import, &text(module), b"\x85R", &text(name), b"\x86R", arg, b"R"])
    };
    let shell = report(&fetch("os", "system", &[text("id"), b"\x85".to_vec()].concat()));
    assert_eq!(shell.verdict, Verdict::Malicious, "{shell:?}");
    assert!(shell.findings.iter().any(|f| f.evidence.contains("os.system('id')")), "{shell:?}");
    let array = [global("numpy", "ndarray"), b"K\x00\x85C\x01b\x87".to_vec()].concat();
    let honest = report(&fetch("numpy.core._multiarray_umath", "_reconstruct", &array));
    assert_eq!(honest.verdict, Verdict::Clean, "{honest:?}");
}

#[test]
fn a_lambda_by_value_carries_code_and_running_it_is_worse() {
    let code = |names: &str, tail: &[u8]| {
        let builtin = global("cloudpickle.cloudpickle", "_builtin_type");
        let make = global("cloudpickle.cloudpickle", "_make_function");
        stream(&[
            &make,
            &builtin,
            &text("CodeType"),
            b"\x85R(K\x00K\x00K\x00K\x00K\x01K\x43C\x04d\x00S\x00N\x85",
            &text(names),
            b"\x85)",
            &text("<lambda>"),
            b"tR}N\x87R",
            tail,
        ])
    };
    let lambda = report(&code("predict", b""));
    assert_eq!(
        (lambda.verdict, lambda.findings[0].family),
        (Verdict::Suspicious, Family::CarriesCode),
        "{lambda:?}"
    );
    let called = report(&code("predict", b")R"));
    assert_eq!((called.verdict, worst(&called).0), (Verdict::Malicious, "WB-PKL-001"), "{called:?}");
    let shell = report(&code("system", b""));
    assert_eq!((shell.verdict, worst(&shell).0), (Verdict::Malicious, "WB-PKL-001"), "{shell:?}");
}

#[test]
fn a_method_called_by_a_container_that_asks_for_keys() {
    let path = [global("pathlib", "PosixPath"), text("x"), b"\x85R".to_vec()].concat();
    let put_off = |module, method| {
        let partial =
            [&global("functools", "partial")[..], &global(module, method), &path, b"\x86R"].concat();
        let object = [global("argparse", "Namespace"), b")R}".to_vec(), text("keys")].concat();
        report(&stream(&[&global("builtins", "dict"), &object, &partial, b"sb\x85R"]))
    };
    for (module, method) in
        [("pathlib", "PosixPath.unlink"), ("numpy", "ndarray.tofile"), ("pandas", "DataFrame.eval")]
    {
        let found = put_off(module, method);
        assert!(found.verdict >= Verdict::Suspicious, "{module}.{method}: {found:?}");
    }
    let same_as_data = report(&stream(&[&path]));
    assert_eq!(same_as_data.verdict, Verdict::Clean, "{same_as_data:?}");
}

#[test]
fn long_texts_for_a_deserialiser_are_decoded() {
    let inner = [&b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."[..], b"cposix\nsystem\n(S'id'\ntR."].concat();
    let nested = |inner: &[u8]| {
        let long: String =
            inner.iter().copied().chain(std::iter::repeat_n(0, 2 << 20)).map(char::from).collect();
        let mut code = [global("torch.storage", "_load_from_bytes"), global("_codecs", "encode")].concat();
        code.push(b'X');
        code.extend((long.len() as u32).to_le_bytes());
        code.extend(long.as_bytes());
        report(&stream(&[&code, &text("latin1"), b"\x86R\x85R"]))
    };
    let found = nested(&inner);
    assert_eq!((found.verdict, worst(&found).0), (Verdict::Malicious, "WB-PKL-002"), "{found:?}");
}

#[test]
fn names_too_long_to_follow_are_no_clean_text() {
    let walk = format!("cos\n{}system\n(S'id'\ntR.", "path.os.".repeat(40_000));
    for head in [&b"\x80\x04"[..], b"N0\x80\x04"] {
        let found = report(&[head, walk.as_bytes()].concat());
        assert!(found.verdict >= Verdict::Suspicious, "{found:?}");
    }
}

#[test]
fn text_that_imports_something_before_it_fails_is_judged_by_its_name() {
    let judged = |bytes: &[u8], name: &str| {
        let report = judge(&scan(&Blob::from_vec(bytes.to_vec()), &Options::default()), name, None);
        (report.verdict, report.reason)
    };
    let unknown = (Verdict::Unknown, Some(UnknownReason::UnknownClass));
    for text in [&b"cat\ndog\n"[..], b"cat\n", b"catalyst"] {
        assert_eq!(judged(text, "model.pkl"), unknown, "{text:?}");
        assert_eq!(judged(text, "weights"), unknown, "{text:?}");
        assert_eq!(judged(text, "labels.txt"), (Verdict::Clean, None), "{text:?}");
    }
    assert_eq!(judged(b"a cat\nand a dog\n", "model.pkl"), (Verdict::Clean, None));
}

#[test]
fn a_call_of_an_odd_name_that_comes_to_stop_is_no_text() {
    // Followed by something that is no pickle, and called by a name that no import statement can spell.
    let report = report(b"(S'x'\nimodels\n1\n.J");
    assert_eq!(report.verdict, Verdict::Suspicious, "{report:?}");
}

#[test]
fn facts_of_one_opcode_keep_their_order() {
    let pickle = b"\x80\x02ccopyreg\n_reconstructor\nccollections\nOrderedDict\ncbuiltins\nobject\nN\x87R.";
    let names = || -> Vec<String> {
        let facts = scan(&Blob::from_vec(pickle.to_vec()), &Options::default());
        let call = |f: &Fact| match &f.kind {
            FactKind::Call { callable, how, .. } => Some(format!("{callable} {}", how.opcode())),
            _ => None,
        };
        facts.facts.iter().filter_map(call).collect()
    };
    let expected =
        ["builtins.object GLOBAL", "copyreg._reconstructor REDUCE", "collections.OrderedDict NEWOBJ"];
    for _ in 0..20 {
        assert_eq!(names(), expected);
    }
}

#[test]
fn an_empty_first_stream_hides_nothing() {
    use std::io::Write;
    let zlib = |data: &[u8]| {
        let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        out.write_all(data).unwrap();
        out.finish().unwrap()
    };
    let found = report(&[zlib(b""), zlib(b"cposix\nsystem\n(S'id'\ntR.")].concat());
    assert_eq!(found.verdict, Verdict::Malicious, "{found:?}");
}

#[test]
fn a_persistent_id_is_a_call_of_whoever_loads_it() {
    for id in [&b"Pmodel-42\n"[..], &[&text("model-42")[..], b"Q"].concat()] {
        let report = report(&stream(&[id]));
        assert_eq!((report.verdict, worst(&report).0), (Verdict::Suspicious, "WB-PKL-026"), "{report:?}");
        assert_eq!(worst(&report).1, "persistent_load('model-42')");
        assert_eq!(report.loaders["pickle.load"], LoaderVerdict::Refuses);
    }
}

/// torch's format before 1.6 with this object, which has one storage.
fn legacy(object: &[u8]) -> Vec<u8> {
    let mut out = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02".to_vec();
    out.extend(b"((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01NtQ");
    out.extend(object);
    out.extend(b"t.\x80\x02]X\x01\0\0\x000a.");
    out.extend(1u64.to_le_bytes());
    out.extend(0f32.to_le_bytes());
    out
}

#[test]
fn storages_of_a_torch_file_are_no_foreign_ids() {
    let weights = report(&legacy(b"}"));
    assert_eq!((weights.verdict, weights.loaders.len()), (Verdict::Clean, 0), "{weights:?}");
    // What torch's weights-only unpickler does not take is told, whatever it is worth elsewhere.
    for object in
        [&b"cposix\nsystem\nX\x02\0\0\0id\x85R"[..], b"X\x01\0\0\0aQ", b"(cposix\nsystem\nX\x02\0\0\0ido"]
    {
        let report = report(&legacy(object));
        assert_eq!(report.loaders["torch.load(weights_only=True)"], LoaderVerdict::Refuses, "{report:?}");
    }
    let whole = report(&legacy(b"ctorch\ndevice\nX\x03\0\0\0cpu\x85RI5\n"));
    assert_eq!(whole.verdict, Verdict::Clean, "{whole:?}");
    assert_eq!(whole.loaders["torch.load(weights_only=True)"], LoaderVerdict::Refuses);
}

#[test]
fn keys_with_methods_of_their_own_are_suspicious() {
    let made = [&global("mine", "Key")[..], b")\x81"].concat();
    let rebuilt = report(&stream(&[&made]));
    assert_eq!((rebuilt.verdict, worst(&rebuilt).0), (Verdict::Unknown, "WB-PKL-022"));
    for hashed in [
        stream(&[b"}", &made, b"Ns"]),
        stream(&[b"\x8f(", &made, b"\x90"]),
        stream(&[b"}", &made, b"K\x01\x86Ns"]),
        stream(&[&global("builtins", "set"), b"](", &made, b"e\x85R"]),
    ] {
        let report = report(&hashed);
        assert_eq!(report.verdict, Verdict::Suspicious);
        assert!(report.findings.iter().any(|f| f.rule == "WB-PKL-028"), "{report:?}");
    }
    // Ordinary keys, made by calls.
    for ordinary in [
        stream(&[b"}", &global("decimal", "Decimal"), &text("1"), b"\x85RNs"]),
        stream(&[b"}", &global("collections", "OrderedDict"), b"Ns"]),
        stream(&[b"}", &global("builtins", "complex"), b"K\x01K\x02\x86RNs"]),
    ] {
        let report = report(&ordinary);
        assert_eq!(report.verdict, Verdict::Clean, "{report:?}");
    }
}

#[test]
fn classes_are_not_made_by_calls() {
    for maker in [("builtins", "type"), ("types", "new_class"), ("abc", "ABCMeta"), ("enum", "EnumMeta")] {
        let bases = [&b"("[..], &global("mine", "Base"), b"t"].concat();
        let report = report(&stream(&[&global(maker.0, maker.1), &text("X"), &bases, b"}\x87R"]));
        assert!(report.verdict >= Verdict::Suspicious, "{maker:?}: {report:?}");
    }
}

#[test]
fn a_pickle_inside_compressed_bytes_is_read() {
    // base64.b64encode(zlib.compress(b"cposix\nsystem\n(S'id'\ntR."))
    let packed = "eJxLLsgvzqzgKq4sLknN5dIIVs9MUecqCdIDAG0vB+Q=";
    let decoded = [
        &global("pickle", "loads")[..],
        &global("zlib", "decompress"),
        &global("base64", "b64decode"),
        &text(packed),
        b"\x85R\x85R\x85R",
    ];
    let report = report(&stream(&decoded));
    let inner =
        report.findings.iter().any(|f| f.rule == "WB-PKL-002" && f.evidence.contains("posix.system('id')"));
    assert!(inner, "{report:?}");
}

/// `_pickle.c` reads an argument that crosses the end of its frame from behind it where the file cannot peek, as `BytesIO`
/// cannot; whoever reads on in a straight line fails at the second string. Found by differential fuzzing.
#[test]
fn only_the_reader_of_files_reaches_the_call_behind_a_short_frame() {
    let command = |module: &str, name: &str| {
        let mut out = b"\x80\x04\x95\x03\0\0\0\0\0\0\0\x8c\x05Q".to_vec();
        out.extend_from_slice(module.as_bytes());
        out.extend(text(name));
        out.push(0x93);
        out.extend(text("id"));
        out.extend_from_slice(b"\x85R.");
        report(&out)
    };
    let evil = command("posix", "system");
    assert_eq!(evil.verdict, Verdict::Malicious, "{evil:?}");
    assert!(evil.findings.iter().any(|f| f.evidence.contains("posix.system('id')")), "{evil:?}");
}

/// Opcodes that chance makes a MessagePack value of are not clean.
#[test]
fn short_opcodes_are_no_messagepack_document() {
    let r = report(b"\x8f\x63zzz\nf\n\x29\x94\0\0\0\0cc))");
    assert_ne!(r.verdict, Verdict::Clean, "{r:?}");
}

#[test]
fn a_harmless_call_does_not_hide_that_the_same_name_is_kept() {
    let getattr = global("builtins", "getattr");
    let member =
        [&global("transformers.utils.generic", "PaddingStrategy")[..], &text("LONGEST"), b"\x86R"].concat();
    let call = [&getattr[..], b"\x94", &member].concat();
    assert_eq!(report(&stream(&[&call])).verdict, Verdict::Clean);
    let kept = report(&stream(&[&call, b"0}", &text("f"), b"h\x00s"]));
    assert_eq!(kept.verdict, Verdict::Suspicious, "{kept:?}");
    assert_eq!(worst(&kept), ("WB-PKL-012", "builtins.getattr"));
}

#[test]
fn what_a_plain_unpickler_finds_in_the_bytes_of_an_array_is_told() {
    let array = |bytes: &[u8]| {
        let dtype = [&global("numpy", "dtype")[..], &text("u1"), b"\x89\x88\x87R"].concat();
        let subclass = global("numpy", "ndarray");
        let wrapper = global("joblib.numpy_pickle", "NumpyArrayWrapper");
        let state = [
            &text("subclass")[..],
            &subclass,
            &text("shape"),
            &[b'K', bytes.len() as u8, 0x85],
            &text("order"),
            &text("C"),
            &text("dtype"),
            &dtype,
            &text("allow_mmap"),
            b"\x88",
        ]
        .concat();
        // What follows the array calls as many names as the array does, and in the same way.
        report(&stream(&[
            &wrapper,
            b")\x81}(",
            &state,
            b"ub",
            bytes,
            &global("collections", "OrderedDict"),
            b")R\x86",
        ]))
    };
    assert_eq!(array(b"plain").verdict, Verdict::Clean);
    assert_eq!(array(b"cposix\nsystem\n(S'id'\ntR.").verdict, Verdict::Malicious);
    assert_eq!(array(b"cposix\nsystem\n)R").verdict, Verdict::Malicious);
    assert_eq!(array(b"cantigravity\nfly\n").verdict, Verdict::Malicious);
    assert_eq!(array(b"cantigravity\nno name\n").verdict, Verdict::Malicious);
    assert_eq!(array(b"cmypkg\nf\n)R.").verdict, Verdict::Suspicious);
    assert_eq!(array(b"cmypkg\nf\n").reason, Some(UnknownReason::UnknownClass));
    // Numbers spell this by chance.
    assert_eq!(array(b"c\x02\n\xff\n)R.").verdict, Verdict::Clean);
}

#[test]
fn a_known_module_is_imported_whatever_is_looked_for_in_it() {
    for name in ["0", " ", "a b", ""] {
        let alone = format!("cantigravity\n{name}\n");
        let second = format!("N.cantigravity\n{name}\n");
        for stream in [&alone[..], &second, &format!("{alone}."), &format!("{alone}.(")] {
            let report = report(stream.as_bytes());
            assert!(report.verdict >= Verdict::Suspicious, "{stream:?}: {report:?}");
        }
    }
}

#[test]
fn the_next_load_of_a_text_may_import() {
    for text in ["](e.c__", "N.cmypkg\nthing\n", "N.N.](e.cmypkg\nthing\n"] {
        let report = report(text.as_bytes());
        assert_eq!(
            (report.verdict, report.reason),
            (Verdict::Unknown, Some(UnknownReason::UnknownClass)),
            "{text:?}"
        );
    }
    assert_eq!(report(b"N.N.](e.").verdict, Verdict::Clean);
}

#[test]
fn the_halves_of_a_state_are_asked_where_the_class_has_no_setstate() {
    let class = |module, name| [&global(module, name)[..], b")\x81"].concat();
    let built = |state: &[u8]| report(&stream(&[&class("collections", "OrderedDict"), state, b"b"])).verdict;
    let odd = class("weights_helper", "Lazy");
    assert_eq!(built(b"N}\x86"), Verdict::Clean);
    assert_eq!(built(&[b"N", &odd[..], b"\x86"].concat()), Verdict::Suspicious);
    assert_eq!(built(&[&odd[..], b"}\x86"].concat()), Verdict::Suspicious);
    // Arrays and numbers answer for themselves; a class of its own package may take pairs of what it likes.
    assert_eq!(built(&[b"N", &class("fractions", "Fraction")[..], b"\x86"].concat()), Verdict::Clean);
    let own = |part: &[u8]| report(&stream(&[&class("mypkg", "Model"), b"N", part, b"\x86b"]));
    assert_eq!(own(&class("fractions", "Fraction")).reason, Some(UnknownReason::UnknownClass));
    assert_eq!(own(&odd).verdict, Verdict::Suspicious);
}

#[test]
fn what_is_put_into_a_container_that_asks_it_must_answer_for_itself() {
    let put = |module, name, how, args: &[Value]| {
        let plain_args = args.iter().all(Value::is_plain);
        catalogue::classify(&Call { how, args, plain_args, ..Call::import(module, name) })
    };
    let odd = || Value::Object { made_by: "mypkg.Lazy".into(), args: vec![] };
    let bound = || Value::Object { made_by: "builtins.slice".into(), args: vec![Value::None] };
    assert_eq!(put("builtins", "list", How::Append, &[odd()]), CallClass::Harmless);
    assert_eq!(put("builtins", "list", How::SetItem, &[Value::Int(0), odd()]), CallClass::Harmless);
    for (name, items) in
        [("list", [odd(), Value::None]), ("list", [bound(), odd()]), ("bytearray", [Value::Int(0), odd()])]
    {
        assert_ne!(put("builtins", name, How::SetItem, &items), CallClass::Harmless, "{name} {items:?}");
    }
    assert_ne!(put("builtins", "bytearray", How::Append, &[odd()]), CallClass::Harmless);
    assert_eq!(put("builtins", "bytearray", How::Append, &[Value::Int(7)]), CallClass::Harmless);
    assert_ne!(put("collections", "deque", How::SetItem, &[odd(), Value::None]), CallClass::Harmless);
    assert_eq!(put("collections", "OrderedDict", How::SetItem, &[odd(), odd()]), CallClass::Harmless);
    assert_ne!(put("scipy.sparse", "dok_matrix", How::SetItem, &[Value::Int(0), odd()]), CallClass::Harmless);
}
