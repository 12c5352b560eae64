use super::*;

pub(super) fn call<'a>(module: &'a str, name: &'a str, how: How, args: &'a [Value]) -> Call<'a> {
    Call { how, args, plain_args: args.iter().all(Value::is_plain), ..Call::import(module, name) }
}

fn class(module: &str, name: &str, how: How, args: &[Value]) -> CallClass {
    classify(&call(module, name, how, args))
}

pub(super) fn text(s: &str) -> Value {
    Value::Str { text: s.into(), len: s.len() as u64, cut: false }
}

pub(super) fn global(module: &str, name: &str) -> Value {
    Value::Global { module: module.into(), name: name.into() }
}

fn dangerous(effect: Effect) -> CallClass {
    CallClass::Dangerous { effect }
}

#[test]
fn nothing_is_harmless_and_dangerous_in_the_same_use_without_looking_at_arguments() {
    let cat = &CATALOGUE;
    for (module, name, row) in cat.all() {
        if row.harmless.is_some_and(|e| !e.derived && e.allows(How::Reduce))
            && cat.danger(module, name).is_some()
        {
            let entry = row.harmless.unwrap();
            assert!(entry.looks_at_args(How::Reduce, false), "{module}.{name} is harmless and dangerous");
        }
    }
}

#[test]
fn known_dangerous_names_under_every_spelling() {
    for (module, name, effect) in [
        ("posix", "system", Effect::Process),
        ("nt", "system", Effect::Process),
        ("os", "system", Effect::Process),
        ("subprocess", "Popen", Effect::Process),
        ("subprocess", "Popen.__init__", Effect::Process),
        ("pathlib", "os.system", Effect::Process),
        ("numpy", "testing._private.utils.runstring", Effect::Code),
        ("torch", "serialization.load", Effect::Deserialise),
        ("importlib", "import_module", Effect::Import),
        ("importlib.util", "module_from_spec", Effect::Import),
        ("builtins", "eval", Effect::Code),
        ("builtins", "eval.__call__", Effect::Code),
        ("_operator", "methodcaller", Effect::Reach),
        ("anything.at.all", "Thing.method.__globals__", Effect::Reach),
        ("linecache", "os", Effect::File),
        ("somewhere", "os", Effect::Reach),
        ("pip._internal.cli.main", "main", Effect::Code),
        ("os.path", "join", Effect::Process),
    ] {
        assert_eq!(class(module, name, How::Reduce, &[text("x")]), dangerous(effect), "{module} {name}");
    }
}

#[test]
fn no_harmless_entry_means_not_harmless() {
    assert_eq!(class("gzip", "open", How::Reduce, &[text("f")]), CallClass::KnownUncatalogued);
    assert_eq!(class("torch.nn.functional", "not_listed", How::Data, &[]), CallClass::KnownUncatalogued);
    assert_eq!(class("models.net", "Net", How::Newobj, &[]), CallClass::Unknown);
    // Listed for NEWOBJ, not for REDUCE: the constructor is another piece of code.
    assert_eq!(class("torch.nn.modules.linear", "Linear", How::Newobj, &[]), CallClass::Harmless);
    assert_eq!(class("torch.nn.modules.linear", "Linear", How::Reduce, &[]), CallClass::KnownUncatalogued);
}

#[test]
fn a_changed_or_imported_thing_loses_its_harmlessness() {
    let state = [Value::Dict(vec![])];
    let mut build = call("collections", "OrderedDict", How::Build, &state);
    assert_eq!(classify(&build), CallClass::Harmless);
    build.on_import = true;
    assert_eq!(classify(&build), CallClass::Unresolved);
    build.on_import = false;
    build.tampered = true;
    assert_eq!(classify(&build), CallClass::Unresolved);
    build.tampered = false;
    build.plain_args = false;
    assert_eq!(classify(&build), CallClass::KnownUncatalogued);
}

#[test]
fn getattr_of_an_enum_member_and_of_anything_else() {
    let get = |module, name, attribute| {
        class("builtins", "getattr", How::Reduce, &[global(module, name), text(attribute)])
    };
    assert_eq!(get("transformers.training_args", "OptimizerNames", "ADAMW"), CallClass::Harmless);
    assert_eq!(get("subprocess", "Popen", "communicate"), dangerous(Effect::Process));
    assert_eq!(get("os", "", "system"), dangerous(Effect::Reach));
    assert_eq!(get("a.b", "Thing", "__globals__"), dangerous(Effect::Reach));
    assert_eq!(get("a.b", "thing", "run"), dangerous(Effect::Reach));
}

#[test]
fn what_a_partial_a_factory_and_a_reconstructor_are_given_decides() {
    let partial = |f| class("functools", "partial", How::Reduce, &[f]);
    assert_eq!(partial(global("numpy", "log1p")), CallClass::Harmless);
    assert_eq!(partial(global("posix", "system")), dangerous(Effect::Process));
    assert_eq!(partial(global("mine", "f")), CallClass::Unknown);
    let state = [Value::Tuple(vec![
        global("posix", "system"),
        Value::Tuple(vec![]),
        Value::Dict(vec![]),
        Value::None,
    ])];
    assert_eq!(class("functools", "partial", How::Build, &state), dangerous(Effect::Process));

    let factory = |f| class("collections", "defaultdict", How::Reduce, &[f]);
    assert_eq!(factory(global("builtins", "list")), CallClass::Harmless);
    assert_eq!(factory(global("builtins", "eval")), dangerous(Effect::Code));

    let rebuild =
        |class_, base| class("copyreg", "_reconstructor", How::Reduce, &[class_, base, Value::None]);
    let object = || global("builtins", "object");
    assert_eq!(rebuild(global("acme.svm", "SVC"), object()), CallClass::Unknown);
    assert_eq!(rebuild(global("subprocess", "Popen"), object()), dangerous(Effect::Process));
    assert_eq!(
        rebuild(global("collections", "OrderedDict"), global("builtins", "dict")),
        CallClass::Harmless
    );
    assert_eq!(rebuild(global("acme.svm", "SVC"), global("mine", "Base")), CallClass::KnownUncatalogued);
}

#[test]
fn derived_rows_hold_for_the_states_they_were_proved_for() {
    let of = |module, name, state: Value| {
        let args = [state];
        let plain = Call { how: How::Build, args: &args, plain_args: true, ..Call::import(module, name) };
        (classify(&plain), classify(&Call { plain_args: false, ..plain }))
    };
    let state = || Value::Dict(vec![(text("a"), Value::Int(1))]);
    let pair = || Value::Tuple(vec![Value::None, state()]);
    let trainer = ("transformers.training_args", "TrainingArguments");
    assert_eq!(of(trainer.0, trainer.1, state()).0, CallClass::Harmless);
    // A state with a second half is set through properties.
    assert_eq!(of(trainer.0, trainer.1, pair()).0, CallClass::Unknown);
    assert_eq!(
        of("sklearn.svm._classes", "SVC", state()),
        (CallClass::Harmless, CallClass::KnownUncatalogued)
    );
    // Of a distribution whose names are open, what is not proved stays unknown; of another it is suspicious.
    assert_eq!(of("transformers.nobody", "Knows", state()).0, CallClass::Unknown);
    assert_eq!(of("sklearn.nobody", "Knows", state()).0, CallClass::KnownUncatalogued);
}

#[test]
fn rebuild_from_type_is_as_harmless_as_what_it_calls() {
    let with = |f, args| {
        let args = [f, global("torch", "Tensor"), Value::Tuple(args), Value::Dict(vec![])];
        class("torch._tensor", "_rebuild_from_type_v2", How::Reduce, &args)
    };
    assert_eq!(with(global("torch._utils", "_rebuild_tensor_v2"), vec![]), CallClass::Harmless);
    assert_eq!(with(global("posix", "system"), vec![text("id")]), dangerous(Effect::Process));
    assert_eq!(with(global("gzip", "open"), vec![text("id")]), CallClass::KnownUncatalogued);
}

#[test]
fn numpys_ufunc_resolver_resolves_numpy_only() {
    let with =
        |module, name| class("numpy.core", "_ufunc_reconstruct", How::Reduce, &[text(module), text(name)]);
    assert_eq!(with("numpy.core._multiarray_umath", "log1p"), CallClass::Harmless);
    assert_eq!(with("os", "system"), dangerous(Effect::Import));
    assert_eq!(with("numpy", "load"), dangerous(Effect::Import));
}

#[test]
fn torch_bytes_must_be_a_torch_file() {
    let with = |head: &[u8]| {
        let bytes = Value::Bytes { len: head.len() as u64, head: head.to_vec() };
        class("torch.storage", "_load_from_bytes", How::Reduce, &[bytes])
    };
    assert_eq!(with(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.rest"), CallClass::Harmless);
    assert_eq!(with(b"\x80\x02cposix\nsystem\n"), dangerous(Effect::Deserialise));
}

#[test]
fn rebuilt_code_is_code_by_design_until_its_words_or_a_call_say_more() {
    let make = |names: &[&str]| {
        let names = Value::Tuple(names.iter().map(|n| text(n)).collect());
        class("cloudpickle.cloudpickle", "_make_function", How::Reduce, &[names])
    };
    assert_eq!(make(&["model", "predict", "eval"]), CallClass::CarriesCode);
    assert_eq!(make(&["os", "system"]), dangerous(Effect::Code));
    let mut called = call("", "", How::Reduce, &[]);
    called.made_by = "cloudpickle.cloudpickle._make_function";
    assert_eq!(classify(&called), dangerous(Effect::Code));
    called.made_by = "cloudpickle.cloudpickle._builtin_type";
    assert_eq!(classify(&called), CallClass::CarriesCode);
    called.made_by = "operator.attrgetter";
    assert_eq!(classify(&called), dangerous(Effect::Reach));
    called.made_by = "mine.factory";
    assert_eq!(classify(&called), CallClass::Unresolved);
    let module = Value::Object { made_by: "dill._dill._import_module".into(), args: vec![text("os")] };
    assert_eq!(
        class("dill._dill", "_get_attr", How::Reduce, &[module, text("system")]),
        dangerous(Effect::Process)
    );
}

#[test]
fn the_cache_key_rule_covers_every_answer_that_arguments_change() {
    for (module, name, how) in [
        ("builtins", "getattr", How::Reduce),
        ("functools", "partial", How::Reduce),
        ("functools", "partial", How::Build),
        ("torch.storage", "_load_from_bytes", How::Reduce),
        ("cloudpickle.cloudpickle", "_make_function", How::Reduce),
        ("", "", How::Reduce),
    ] {
        assert!(depends_on_args(module, name, how, false), "{module}.{name}");
    }
    assert!(!depends_on_args("posix", "system", How::Reduce, false));
    assert!(!depends_on_args("numpy", "ndarray", How::Data, false));
}

/// A method kept is a call put off: `dict(Namespace(keys=partial(DataFrame.eval, ...)))` runs it without a call
/// opcode of its own.
#[test]
fn methods_of_harmless_classes_are_not_harmless_data() {
    for (module, name) in [
        ("numpy", "ndarray.tofile"),
        ("pathlib", "PosixPath.unlink"),
        ("pandas", "DataFrame.eval"),
        ("torch", "UntypedStorage.from_file"),
        ("builtins", "str.format"),
    ] {
        assert_ne!(class(module, name, How::Data, &[]), CallClass::Harmless, "{module}.{name}");
        let partial = class("functools", "partial", How::Reduce, &[global(module, name)]);
        assert_ne!(partial, CallClass::Harmless, "partial({module}.{name})");
        let (owner, attribute) = name.split_once('.').unwrap();
        let read = class("builtins", "getattr", How::Reduce, &[global(module, owner), text(attribute)]);
        assert_ne!(read, CallClass::Harmless, "getattr({module}.{owner}, {attribute})");
    }
    let member = [global("transformers.training_args", "OptimizerNames"), text("ADAMW_TORCH")];
    assert_eq!(class("builtins", "getattr", How::Reduce, &member), CallClass::Harmless);
}

#[test]
fn containers_are_not_made_from_objects_with_attributes() {
    let object = |made_by: &str| Value::Object { made_by: made_by.into(), args: Vec::new() };
    for name in ["dict", "list", "str"] {
        let made = |by: &str| class("builtins", name, How::Reduce, &[object(by)]);
        assert_eq!(made("argparse.Namespace"), CallClass::KnownUncatalogued, "{name}");
        assert_eq!(made("evilpkg.Thing"), CallClass::KnownUncatalogued, "{name}");
        assert_eq!(made("_codecs.encode"), CallClass::Harmless, "{name}");
    }
    let state = Value::Tuple(vec![
        global("evilpkg", "run"),
        Value::Tuple(vec![text("x")]),
        Value::Dict(vec![]),
        Value::None,
    ]);
    assert_eq!(class("functools", "partial", How::Build, &[state]), CallClass::Unresolved);
}

/// scikit-learn compares and prints the version that a state says it is of: it must be no object.
#[test]
fn the_version_in_a_state_is_a_literal_or_absent() {
    let state = |version: Value| {
        Value::Dict(vec![(text("coef_"), global("os", "path")), (text("_sklearn_version"), version)])
    };
    assert!(predicate::version_is_literal(&state(text("1.0"))));
    assert!(predicate::version_is_literal(&Value::Dict(vec![(text("coef_"), Value::Opaque)])));
    assert!(predicate::version_is_literal(&Value::None));
    assert!(!predicate::version_is_literal(&state(Value::Opaque)));
    assert!(!predicate::version_is_literal(&Value::Tuple(vec![Value::None, state(global("os", "system"))])));
    assert!(!predicate::version_is_literal(&Value::Dict(vec![(Value::Truncated, Value::Truncated)])));
    assert!(!predicate::version_is_literal(&Value::Truncated));
}
