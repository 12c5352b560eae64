//! Every published gadget, in every use, with the arguments of attacks: none is harmless.

use super::tests::{call, global, text};
use super::*;
use std::path::Path;
use wb_pickle::Value;

/// Published because attacks use them, and harmless for the right arguments, or held as data by honest models. They
/// are tried with hostile arguments only.
const BY_ARGUMENTS: [(&str, &str); 18] = [
    ("_codecs", "encode"),
    ("codecs", "encode"),
    ("_operator", "itemgetter"),
    ("operator", "itemgetter"),
    ("_operator", "attrgetter"),
    ("operator", "attrgetter"),
    ("operator", "getitem"),
    ("argparse", "Namespace"),
    ("builtins", "getattr"),
    ("builtins", "setattr"),
    ("builtins", "type"),
    ("copyreg", "_reconstructor"),
    ("copyreg", "__newobj__"),
    ("copyreg", "__newobj_ex__"),
    ("functools", "partial"),
    ("joblib.numpy_pickle_compat", "NDArrayWrapper"),
    ("torch", "LongStorage"),
    ("torch._tensor", "_rebuild_from_type_v2"),
];

const USES: [How; 11] = [
    How::Data,
    How::Reduce,
    How::Inst,
    How::Obj,
    How::Newobj,
    How::NewobjEx,
    How::Indirect,
    How::Build,
    How::Append,
    How::SetItem,
    How::AddItems,
];

/// Arguments that name no callable, then arguments that do.
fn attacks() -> (Vec<Vec<Value>>, Vec<Vec<Value>>) {
    let system = || global("posix", "system");
    let made = || Value::Object { made_by: "functools.partial".into(), args: vec![system(), text("id")] };
    let bytes = Value::Bytes { len: 20, head: b"cposix\nsystem\n(S'id'".to_vec() };
    let plain = vec![
        vec![],
        vec![text("id")],
        vec![text("os"), text("system")],
        vec![Value::List(vec![text("sh"), text("-c"), text("id")])],
        vec![bytes],
        vec![Value::Dict(vec![(text("cmd"), text("id"))])],
    ];
    let calling = vec![
        vec![system()],
        vec![system(), text("id")],
        vec![system(), Value::Tuple(vec![text("id")])],
        vec![global("os", ""), text("system")],
        vec![system(), global("builtins", "object"), Value::None],
        vec![system(), global("torch", "Tensor"), Value::Tuple(vec![text("id")]), Value::Dict(vec![])],
        vec![made()],
    ];
    (plain, calling)
}

fn gadgets() -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../corpus/gadgets.tsv");
    let list = std::fs::read_to_string(path).expect("corpus/gadgets.tsv");
    let rows = list.lines().filter(|l| !l.starts_with('#'));
    let mut out = Vec::new();
    for row in rows {
        let (module, name) = row.split_once('\t').expect("two columns");
        match (module, name) {
            ("<attr>", attribute) => out.push(("somewhere".into(), format!("Thing.{attribute}"))),
            (module, "*") => {
                for any in ["system", "run", "load", "not_a_name_of_this_module"] {
                    out.push((module.into(), any.into()));
                }
            }
            _ => out.push((module.into(), name.into())),
        }
    }
    out
}

#[test]
fn no_published_gadget_is_harmless_in_any_use() {
    let gadgets = gadgets();
    assert!(gadgets.len() > 900, "{} names", gadgets.len());
    let (plain, calling) = attacks();
    let mut wrong = Vec::new();
    for (module, name) in &gadgets {
        let by_arguments = BY_ARGUMENTS.contains(&(module.as_str(), name.as_str()));
        for how in USES {
            // State, items and data are no arguments that decide.
            if by_arguments
                && !matches!(how, How::Reduce | How::Inst | How::Obj | How::Indirect | How::Newobj)
            {
                continue;
            }
            let tried = calling.iter().chain(if by_arguments { &[][..] } else { &plain });
            for args in tried {
                // A partial of a partial calls what the inner one was given, and was judged when that was made.
                if name == "partial" && matches!(args[..], [Value::Object { .. }]) {
                    continue;
                }
                let call = call(module, name, how, args);
                if classify(&call) == CallClass::Harmless {
                    wrong.push(format!("{module}.{name} {how:?} {args:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} harmless:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_state_that_runs_source_text_is_code() {
    let build = |module, name, key: &str, value: &str| {
        let state =
            [Value::Dict(vec![(text(key), text(value)), (text("restore_design_info"), Value::Bool(true))])];
        let call = call(module, name, How::Build, &state);
        classify(&call)
    };
    let code = CallClass::Dangerous { effect: Effect::Code };
    let hostile = "__import__('os').system('id')";
    assert_eq!(build("scipy.stats._continuous_distns", "norm_gen", "_parse_arg_template", hostile), code);
    assert_eq!(build("statsmodels.base.data", "PandasData", "formula", hostile), code);
    assert_eq!(build("statsmodels.base.data", "PandasData", "formula", "y ~ x"), CallClass::Harmless);
}
