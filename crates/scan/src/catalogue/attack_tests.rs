//! Harmless callables given what an attacker would give them, and the promise that answers can be kept by key.

use super::tables::CATALOGUE;
use super::tests::{global, text};
use super::vocabulary::Args;
use super::*;
use std::collections::HashMap;

fn object(made_by: &str, args: &[Value]) -> Value {
    Value::Object { made_by: made_by.into(), args: args.to_vec() }
}

/// Objects on which a stream can set attributes, or whose class answers for itself.
fn poisons() -> Vec<Value> {
    vec![
        object("argparse.Namespace", &[]),
        object("types.SimpleNamespace", &[]),
        object("evilpkg.Thing", &[]),
        object("functools.partial", &[global("numpy", "log1p")]),
        object("builtins.getattr", &[global("evilpkg", "Thing"), text("run")]),
        object("torch.nn.modules.linear.Linear", &[]),
        // Hands its argument back.
        object(
            "numpy.core.multiarray.scalar",
            &[object("numpy.dtype", &[text("O")]), object("evilpkg.Thing", &[])],
        ),
        object("torch.jit._pickle.restore_type_tag", &[object("evilpkg.Thing", &[]), text("x")]),
        object("builtins.tuple", &[Value::List(vec![object("evilpkg.Thing", &[])])]),
        Value::Opaque,
        Value::Truncated,
    ]
}

fn tame() -> Vec<Value> {
    vec![
        Value::None,
        Value::Bool(true),
        Value::Int(0),
        text("x"),
        text("latin1"),
        text("MT19937"),
        text("numpy.core._multiarray_umath"),
        text("log1p"),
        text("PURPLE"),
        Value::Bytes { len: 4, head: b"PK\x03\x04".to_vec() },
        Value::Tuple(vec![]),
        Value::Tuple(vec![Value::Int(1)]),
        Value::List(vec![text("a")]),
        Value::List(vec![Value::Tuple(vec![text("k"), Value::Int(1)])]),
        Value::Dict(vec![(text("k"), Value::Int(1))]),
        Value::Dict(vec![(text("k"), object("evilpkg.Thing", &[]))]),
        Value::Set(vec![]),
        Value::Persistent(Box::new(text("0"))),
        global("builtins", "object"),
        global("builtins", "dict"),
        global("numpy", "ndarray"),
        global("numpy", "log1p"),
        global("numpy.core.multiarray", "_reconstruct"),
        global("torch", "Tensor"),
        global("torch._utils", "_rebuild_tensor_v2"),
        global("collections", "OrderedDict"),
        global("transformers.training_args", "OptimizerNames"),
        global("evilpkg", "Thing"),
        global("posix", "system"),
        object("_codecs.encode", &[text("x")]),
        object("numpy.dtype", &[text("f8")]),
        object("numpy.core.multiarray._reconstruct", &[global("numpy", "ndarray")]),
        object("torch._utils._rebuild_tensor_v2", &[]),
        object("cloudpickle.cloudpickle._make_skeleton_class", &[]),
        object("cloudpickle.cloudpickle._make_function", &[]),
    ]
}

/// Small numbers without a seed of their own: the tests are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides.max(1) as u64) as usize
    }
}

fn use_with<'a>(module: &'a str, name: &'a str, how: How, args: &'a [Value], plain: bool) -> Call<'a> {
    Call { how, args, plain_args: plain, ..Call::import(module, name) }
}

fn class(module: &str, name: &str, how: How, args: &[Value]) -> CallClass {
    let plain = args.iter().all(Value::is_plain);
    classify(&use_with(module, name, how, args, plain))
}

/// Every name with an entry that calls or makes, and some with none.
fn names() -> Vec<(&'static str, &'static str)> {
    let all = CATALOGUE.all();
    let mut seen: HashMap<(String, u8), u32> = HashMap::new();
    let mut names: Vec<_> = all
        .into_iter()
        // Of names that differ in nothing but their spelling a few are enough.
        .filter(|(_, _, row)| {
            let kind = format!("{:?}", (row.harmless.map(|e| (e.args, e.derived)), row.danger, row.part));
            let uses = row.harmless.map_or(0, |e| How::ALL.iter().filter(|h| e.allows(**h)).count() as u8);
            let n = seen.entry((kind, uses)).or_default();
            *n += 1;
            *n <= 6
        })
        .map(|(m, n, _)| (m, n))
        .filter(|(m, n)| !m.contains('*') && *n != "*")
        .collect();
    names.extend([("evilpkg", "Thing"), ("torch", "unheard_of"), ("", "")]);
    for (m, n, row) in CATALOGUE.all() {
        // Of derived rows a few of each kind are enough.
        if row.harmless.is_some_and(|e| !e.derived && !matches!(e.args, Args::Any | Args::Plain)) {
            names.push((m, n));
        }
    }
    names
}

#[test]
fn an_answer_that_can_be_kept_by_its_key_is_the_same_for_all_arguments() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let values: Vec<Value> = tame().into_iter().chain(poisons()).collect();
    let mut checked = 0u32;
    for (module, name) in names() {
        for how in How::ALL {
            let mut known: HashMap<(bool, bool, bool), CallClass> = HashMap::new();
            for _ in 0..40 {
                let count = if how == How::Build { 1 } else { dice.roll(5) };
                let args: Vec<Value> = (0..count).map(|_| values[dice.roll(values.len())].clone()).collect();
                let kwargs: Vec<(Value, Value)> = match dice.roll(4) {
                    0 => vec![(text("key"), values[dice.roll(values.len())].clone())],
                    _ => Vec::new(),
                };
                let literal = args.iter().all(Value::is_plain) && kwargs.iter().all(|(_, v)| v.is_plain());
                // Whether a state is plain is another question than what it holds.
                let plain = if how == How::Build { dice.roll(2) == 0 } else { literal };
                let (tampered, on_import) = (dice.roll(6) == 0, dice.roll(6) == 0);
                if depends_on_args(module, name, how, plain) {
                    continue;
                }
                let call = Call {
                    kwargs: &kwargs,
                    tampered,
                    on_import,
                    ..use_with(module, name, how, &args, plain)
                };
                let answer = classify(&call);
                checked += 1;
                let kept = known.entry((plain, tampered, on_import)).or_insert_with(|| answer.clone());
                assert_eq!(*kept, answer, "{module} {name} {how:?} {args:?} {kwargs:?}");
            }
        }
    }
    assert!(checked > 50_000, "{checked}");
}

/// Whatever a predicate names, an object with attributes of the stream's choosing is never proved along with it, at
/// no place and under no name. Left out are the callables that only keep what they are given, and those that stand
/// for another call, which is judged as that call.
#[test]
fn no_predicate_takes_an_object_that_the_stream_has_dressed_up() {
    let keeps = |name: &str, args: Args| {
        matches!(
            args,
            Args::Any
                | Args::DictState
                | Args::Partial
                | Args::Factory
                | Args::Newobj
                | Args::Reconstructor
                | Args::DateState
        ) || matches!(name, "slice" | "object")
    };
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let (tame, poisons) = (tame(), poisons());
    let mut checked = 0u32;
    for (module, name, row) in CATALOGUE.all() {
        let Some(entry) = row.harmless.filter(|e| !e.derived && !keeps(name, e.args)) else { continue };
        for how in
            [How::Reduce, How::Newobj, How::NewobjEx, How::Obj].into_iter().filter(|h| entry.allows(*h))
        {
            for _ in 0..60 {
                let mut args: Vec<Value> =
                    (0..dice.roll(4)).map(|_| tame[dice.roll(tame.len())].clone()).collect();
                let poison = poisons[dice.roll(poisons.len())].clone();
                let at = dice.roll(args.len() + 1);
                let in_keyword = dice.roll(4) == 0;
                let kwargs = if in_keyword { vec![(text("key"), poison.clone())] } else { Vec::new() };
                if !in_keyword {
                    args.insert(at, poison);
                }
                let call = Call { kwargs: &kwargs, ..use_with(module, name, how, &args, false) };
                checked += 1;
                assert_ne!(
                    classify(&call),
                    CallClass::Harmless,
                    "{module}.{name} {how:?} {args:?} {kwargs:?}"
                );
            }
        }
    }
    assert!(checked > 2_000, "{checked}");
}

#[test]
fn containers_may_hold_anything_but_are_made_of_containers() {
    let thing = || object("evilpkg.Thing", &[]);
    let made = |name, args: &[Value]| class("builtins", name, How::Reduce, args);
    for container in [Value::List(vec![thing()]), Value::Tuple(vec![thing()])] {
        assert_eq!(made("list", std::slice::from_ref(&container)), CallClass::Harmless);
        // The machine tells what is hashed.
        assert_eq!(made("set", std::slice::from_ref(&container)), CallClass::Harmless);
        assert_eq!(made("str", std::slice::from_ref(&container)), CallClass::KnownUncatalogued);
        assert_eq!(made("dict", &[container]), CallClass::KnownUncatalogued);
    }
    assert_eq!(made("set", &[thing()]), CallClass::KnownUncatalogued);
    assert_eq!(made("dict", &[Value::Dict(vec![(text("k"), thing())])]), CallClass::Harmless);
    // Each item of a set would be asked for two items of its own.
    assert_eq!(made("dict", &[Value::Set(vec![thing()])]), CallClass::KnownUncatalogued);
    let pairs = |key| Value::List(vec![Value::List(vec![key, thing()])]);
    let ordered = |arg| class("collections", "OrderedDict", How::Reduce, &[arg]);
    assert_eq!(ordered(pairs(text("weight"))), CallClass::Harmless);
    assert_eq!(ordered(Value::List(vec![thing()])), CallClass::KnownUncatalogued);
    assert_eq!(
        class("collections", "deque", How::Reduce, &[Value::List(vec![thing()])]),
        CallClass::Harmless
    );
    assert_ne!(
        class("collections", "deque", How::Reduce, &[Value::List(vec![]), thing()]),
        CallClass::Harmless
    );
}

#[test]
fn a_state_is_looked_into_where_the_class_looks_into_it() {
    let build = |module, name, state: Value| classify(&use_with(module, name, How::Build, &[state], true));
    let held = |v| Value::Dict(vec![(text("is_safe"), v)]);
    assert_eq!(build("uuid", "UUID", held(Value::Int(0))), CallClass::Harmless);
    assert_ne!(build("uuid", "UUID", held(object("evilpkg.Thing", &[]))), CallClass::Harmless);
    let random = Value::Tuple(vec![Value::Int(2), Value::Tuple(vec![object("evilpkg.Thing", &[])])]);
    assert_ne!(build("random", "Random", random), CallClass::Harmless);
    // A state that is only stored may hold anything.
    let ordered = |v| build("torch.nn.modules.linear", "Linear", v);
    assert_eq!(ordered(held(object("evilpkg.Thing", &[]))), CallClass::Harmless);
    let partial = |state: Vec<Value>| build("functools", "partial", Value::Tuple(state));
    let f = || global("numpy", "log1p");
    let good = vec![f(), Value::Tuple(vec![]), Value::Dict(vec![]), Value::None];
    assert_eq!(partial(good.clone()), CallClass::Harmless);
    for at in 1..4 {
        let mut bad = good.clone();
        bad[at] = object("evilpkg.Thing", &[]);
        assert_ne!(partial(bad), CallClass::Harmless, "item {at}");
    }
}

#[test]
fn tensors_are_made_of_tensors() {
    let storage = || Value::Persistent(Box::new(Value::Tuple(vec![text("storage")])));
    let rebuilt = |first| {
        let args =
            [first, Value::Int(0), Value::Tuple(vec![Value::Int(2)]), Value::Tuple(vec![Value::Int(1)])];
        class("torch._utils", "_rebuild_tensor_v2", How::Reduce, &args)
    };
    assert_eq!(rebuilt(storage()), CallClass::Harmless);
    // `storage.dtype` of an object that looks attributes up by importing them.
    assert_ne!(rebuilt(object("transformers.utils.import_utils._LazyModule", &[])), CallClass::Harmless);
    let parameter = |data| {
        let hooks = object("collections.OrderedDict", &[]);
        class("torch._utils", "_rebuild_parameter", How::Reduce, &[data, Value::Bool(true), hooks])
    };
    assert_eq!(parameter(object("torch._utils._rebuild_tensor_v2", &[storage()])), CallClass::Harmless);
    // `data.detach()` of an object with a `detach` that the stream has set.
    assert_ne!(parameter(object("types.SimpleNamespace", &[])), CallClass::Harmless);
    let typed = |state| {
        let inner = Value::Tuple(vec![storage(), Value::Int(0), Value::Tuple(vec![]), Value::Tuple(vec![])]);
        let args = [global("torch._utils", "_rebuild_tensor_v2"), global("torch", "Tensor"), inner, state];
        class("torch._tensor", "_rebuild_from_type_v2", How::Reduce, &args)
    };
    assert_eq!(typed(Value::Dict(vec![(text("tag"), Value::Int(1))])), CallClass::Harmless);
    let planted = Value::Dict(vec![(text("detach"), object("functools.partial", &[]))]);
    assert_ne!(typed(planted), CallClass::Harmless);
}

#[test]
fn arrays_are_made_of_numpys_own_classes() {
    let made = |class_| {
        let args = [class_, Value::Tuple(vec![Value::Int(0)]), Value::Bytes { len: 1, head: b"b".to_vec() }];
        class("numpy.core.multiarray", "_reconstruct", How::Reduce, &args)
    };
    assert_eq!(made(global("numpy", "ndarray")), CallClass::Harmless);
    assert_ne!(made(global("pathlib", "PosixPath")), CallClass::Harmless);
    assert_ne!(made(global("sklearn.tree._tree", "Tree")), CallClass::Harmless);
    assert_ne!(made(global("evilpkg", "Array")), CallClass::Harmless);
    assert_eq!(made(global("posix", "system")), CallClass::Dangerous { effect: Effect::Process });
    // `numpy.dtype(x)` asks for `x.dtype`.
    assert_ne!(class("numpy", "dtype", How::Reduce, &[object("evilpkg.Thing", &[])]), CallClass::Harmless);
    assert_eq!(
        class("numpy", "dtype", How::Reduce, &[text("V8"), Value::Bool(false), Value::Bool(true)]),
        CallClass::Harmless
    );
    // numpy's own resolver of bit generators calls its second argument.
    let state =
        |ctor| class("numpy.random._pickle", "__randomstate_ctor", How::Reduce, &[text("MT19937"), ctor]);
    assert_eq!(state(global("numpy.random._pickle", "__bit_generator_ctor")), CallClass::Harmless);
    assert_ne!(state(global("numpy.random.mtrand", "shuffle")), CallClass::Harmless);
}

#[test]
fn rebuilding_through_copyreg_is_no_way_around_what_an_opcode_may_do() {
    let newobj = |args: &[Value]| class("copyreg", "__newobj__", How::Reduce, args);
    let thing = || object("evilpkg.Thing", &[]);
    assert_eq!(newobj(&[global("collections", "OrderedDict")]), CallClass::Harmless);
    // `str.__new__(str, thing)` calls `thing.__str__`.
    assert_ne!(newobj(&[global("builtins", "str"), thing()]), CallClass::Harmless);
    assert_eq!(newobj(&[global("evilpkg", "Thing"), Value::Int(1)]), CallClass::Unknown);
    // Not the rebuilding of an unknown class from plain data, so not let through as one.
    assert_eq!(newobj(&[global("evilpkg", "Thing"), thing()]), CallClass::KnownUncatalogued);
    let ex = |args: &[Value]| class("copyreg", "__newobj_ex__", How::Reduce, args);
    let none = || Value::Dict(vec![]);
    assert_eq!(ex(&[global("uuid", "UUID"), Value::Tuple(vec![]), none()]), CallClass::Harmless);
    let planted = Value::Dict(vec![(text("hex"), thing())]);
    assert_ne!(ex(&[global("uuid", "UUID"), Value::Tuple(vec![]), planted]), CallClass::Harmless);
    assert_ne!(ex(&[global("uuid", "UUID"), thing(), none()]), CallClass::Harmless);

    let rebuild = |base: &str, state| {
        let args = [global("collections", "OrderedDict"), global("builtins", base), state];
        class("copyreg", "_reconstructor", How::Reduce, &args)
    };
    assert_eq!(rebuild("object", Value::None), CallClass::Harmless);
    assert_eq!(rebuild("dict", Value::Dict(vec![(text("k"), thing())])), CallClass::Harmless);
    // `dict.__init__(x, state)` calls `state.keys`.
    assert_ne!(rebuild("dict", thing()), CallClass::Harmless);
    assert_ne!(rebuild("set", thing()), CallClass::Harmless);
    assert_ne!(rebuild("type", Value::None), CallClass::Harmless);
}

#[test]
fn keywords_take_no_other_way_round_a_predicate() {
    let with = |module, name, args: &[Value], key: &str, value: Value| {
        let kwargs = [(text(key), value)];
        classify(&Call { kwargs: &kwargs, ..use_with(module, name, How::NewobjEx, args, false) })
    };
    let thing = || object("evilpkg.Thing", &[]);
    assert_ne!(with("builtins", "str", &[], "object", thing()), CallClass::Harmless);
    assert_ne!(with("builtins", "bytes", &[], "source", thing()), CallClass::Harmless);
    assert_ne!(with("uuid", "UUID", &[], "hex", thing()), CallClass::Harmless);
    assert_ne!(with("datetime", "datetime", &[], "year", thing()), CallClass::Harmless);
    assert_eq!(with("builtins", "str", &[], "object", text("x")), CallClass::Harmless);
}

#[test]
fn dates_keep_their_time_zone_and_ask_for_nothing_else() {
    let date = |args: &[Value]| class("datetime", "datetime", How::Reduce, args);
    let zone = || object("pytz._UTC", &[]);
    let packed = || Value::Bytes { len: 10, head: vec![7; 10] };
    assert_eq!(date(&[packed(), zone()]), CallClass::Harmless);
    assert_eq!(date(&[object("_codecs.encode", &[text("x"), text("latin1")]), zone()]), CallClass::Harmless);
    // `year.__index__`.
    assert_ne!(date(&[object("evilpkg.Thing", &[]), Value::Int(1), Value::Int(1)]), CallClass::Harmless);
}

/// The rule for rebuilding through `copyreg` is for `copyreg` alone.
#[test]
fn a_function_named_like_copyregs_is_a_call_like_any_other() {
    let rule = |callable: &str| {
        let fact = wb_verdict::Fact {
            location: wb_verdict::Location::default(),
            kind: wb_verdict::FactKind::Call {
                callable: callable.into(),
                module: "evilpkg".into(),
                name: "Thing".into(),
                how: How::Reduce,
                call: CallClass::Unknown,
                rendering: format!("{callable}(evilpkg.Thing)"),
                plain_args: false,
                count: 1,
            },
        };
        crate::rules::rule_for(&fact, "model.pkl").map(|r| r.id)
    };
    assert_eq!(rule("copyreg._reconstructor"), Some("WB-PKL-022"));
    assert_eq!(rule("evilpkg._reconstructor"), Some("WB-PKL-020"));
    assert_eq!(rule("evilpkg.copyreg.__newobj__"), Some("WB-PKL-020"));
    let class = CallClass::Unknown;
    let args = [global("evilpkg", "Thing")];
    let rebuilt = use_with("copyreg", "__newobj__", How::Reduce, &args, false);
    assert_eq!(subject(&rebuilt, &class), ("evilpkg", "Thing"));
    assert_eq!(subject(&rebuilt, &CallClass::Harmless), ("copyreg", "__newobj__"));
    let other = use_with("evilpkg", "__newobj__", How::Reduce, &args, false);
    assert_eq!(subject(&other, &class), ("evilpkg", "__newobj__"));
}
