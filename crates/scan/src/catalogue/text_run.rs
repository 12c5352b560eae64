//! Text that a library itself compiles while a state is set: is it the text that the library would have written?
//!
//! `scipy.stats` distributions keep the source of their argument parsers in the state and `exec` it; data objects
//! of statsmodels keep a formula and evaluate it. A class that does so is harmless only for such text.

use super::tables::Catalogue;
use wb_pickle::Value;
use wb_verdict::{CallClass, Effect};

/// The state of a distribution (`rv_generic.__setstate__`, scipy/stats/_distn_infrastructure.py, read in 1.2, 1.7
/// and 1.13). Since scipy 1.6 it is a dict whose `_parse_arg_template` is run; before it was
/// `(constructor's keywords, random state)`, and the shapes among the keywords are checked to be identifiers.
pub(super) fn distribution_state(state: Option<&Value>) -> CallClass {
    const CODE: CallClass = CallClass::Dangerous { effect: Effect::Code };
    match state {
        Some(Value::Dict(items)) => {
            if !items.iter().all(|(key, _)| whole_text(key).is_some()) {
                return CallClass::KnownUncatalogued;
            }
            let mut runs = items.iter().filter(|(key, _)| key.as_str() == Some("_parse_arg_template"));
            match runs.all(|(_, text)| whole_text(text).is_some_and(is_parser_template)) {
                true => CallClass::Harmless,
                false => CODE,
            }
        }
        // A dict of two keys would be taken for one pair of a name and a value.
        Some(Value::Tuple(parts)) => match parts.as_slice() {
            [Value::Dict(keywords), _] if keywords.len() != 2 && keywords.iter().all(|(_, v)| is_kept(v)) => {
                CallClass::Harmless
            }
            _ => CallClass::KnownUncatalogued,
        },
        _ => CallClass::KnownUncatalogued,
    }
}

/// The constructor makes arrays of these: numbers, texts, and what is one already.
fn is_kept(value: &Value) -> bool {
    match value {
        Value::Tuple(v) | Value::List(v) => v.iter().all(is_kept),
        Value::Object { made_by, .. } => made_by.starts_with("numpy.") && !made_by.ends_with(".scalar"),
        other => other.is_plain(),
    }
}

/// Is this scipy's `parse_arg_template`, filled with names of shape parameters?
fn is_parser_template(text: &str) -> bool {
    let filled = |shapes: &str, given: &str, passed: &str| {
        format!(
            "\ndef _parse_args(self, {shapes} {given}):\n    return ({shapes}), {passed}\n\n\
             def _parse_args_rvs(self, {shapes} {given}, size=None):\n    \
             return self._argcheck_rvs({shapes} {passed}, size=size)\n\n\
             def _parse_args_stats(self, {shapes} {given}, moments='mv'):\n    \
             return ({shapes}), {passed}, moments\n"
        )
    };
    let Some((shapes, _)) =
        text.strip_prefix("\ndef _parse_args(self, ").and_then(|rest| rest.split_once(" loc=0"))
    else {
        return false;
    };
    let mut names = shapes.split(',').map(str::trim).rev();
    names.next() == Some("")
        && names.all(is_identifier)
        && [("loc=0, scale=1", "loc, scale"), ("loc=0", "loc, 1")]
            .iter()
            .any(|(given, passed)| text == filled(shapes, given, passed))
}

/// The state of a data object (`ModelData.__setstate__`, statsmodels/base/data.py, read in 0.9 to 0.15): with
/// `restore_design_info` (`restore_model_spec`) in it the formula is evaluated, which is Python.
pub(super) fn formula_state(cat: &Catalogue<'_>, state: Option<&Value>) -> CallClass {
    let Some(Value::Dict(items)) = state else { return CallClass::KnownUncatalogued };
    if !items.iter().all(|(key, _)| whole_text(key).is_some()) {
        return CallClass::KnownUncatalogued;
    }
    let has = |name| items.iter().any(|(key, _)| key.as_str() == Some(name));
    if !has("restore_design_info") && !has("restore_model_spec") {
        return CallClass::Harmless;
    }
    let mut worst = CallClass::Harmless;
    for (_, formula) in items.iter().filter(|(key, _)| key.as_str() == Some("formula")) {
        match whole_text(formula) {
            None => return CallClass::KnownUncatalogued,
            Some(text) if is_plain_formula(text) => {}
            Some(text) if identifiers(text).any(|word| is_code(cat, word)) => {
                return CallClass::Dangerous { effect: Effect::Code };
            }
            Some(_) => worst = CallClass::CarriesCode,
        }
    }
    worst
}

/// Names, numbers and operators of a formula, and calls of its usual transformations only.
fn is_plain_formula(text: &str) -> bool {
    const CALLED: [&str; 16] = [
        "C",
        "Q",
        "I",
        "bs",
        "cr",
        "cc",
        "te",
        "center",
        "scale",
        "standardize",
        "np.log",
        "np.log1p",
        "np.log10",
        "np.exp",
        "np.sqrt",
        "np.abs",
    ];
    const AROUND: &str = " \t~+-*:/|^,()=";
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first.is_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.').unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            let called = after.trim_start().starts_with('(');
            if (called || word.contains('.')) && !(called && CALLED.contains(&word)) || word.contains("__") {
                return false;
            }
            rest = after;
        } else if first.is_ascii_digit() {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        } else if AROUND.contains(first) {
            rest = rest.strip_prefix(first).unwrap_or("");
            // `x (...)` and `)(...)` call what is not named here.
            if first == ')' && rest.trim_start().starts_with('(') {
                return false;
            }
        } else {
            return false;
        }
    }
    true
}

/// A word that no formula over columns needs. `eval` and the like are ordinary words in models, not here.
fn is_code(cat: &Catalogue<'_>, word: &str) -> bool {
    const BUILTINS: [&str; 8] = ["eval", "exec", "open", "compile", "getattr", "globals", "locals", "vars"];
    word.contains("__") || BUILTINS.contains(&word) || cat.is_code_word(word)
}

fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn whole_text(value: &Value) -> Option<&str> {
    match value {
        Value::Str { text, cut: false, .. } => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(s: &str) -> Value {
        Value::Str { text: s.into(), len: s.len() as u64, cut: false }
    }

    fn dict(items: &[(&str, &str)]) -> Value {
        Value::Dict(items.iter().map(|(k, v)| (text(k), text(v))).collect())
    }

    const NORM: &str = "\ndef _parse_args(self,  loc=0, scale=1):\n    return (), loc, scale\n\n\
        def _parse_args_rvs(self,  loc=0, scale=1, size=None):\n    return self._argcheck_rvs( loc, scale, size=size)\n\n\
        def _parse_args_stats(self,  loc=0, scale=1, moments='mv'):\n    return (), loc, scale, moments\n";

    #[test]
    fn only_the_parser_that_scipy_writes_is_harmless() {
        let class = |template: &str| {
            distribution_state(Some(&dict(&[("name", "norm"), ("_parse_arg_template", template)])))
        };
        assert_eq!(class(NORM), CallClass::Harmless);
        let binom =
            NORM.replace("scale=1", "SCALE").replace("loc=0, SCALE", "loc=0").replace("loc, scale", "loc, 1");
        let binom = binom.replace("self,  ", "self, n, p,  ").replace("return ()", "return (n, p, )");
        let binom = binom.replace("_argcheck_rvs( ", "_argcheck_rvs(n, p,  ");
        assert_eq!(class(&binom), CallClass::Harmless, "{binom}");
        for hostile in [
            "import os\nos.system('id')\n",
            &format!("{NORM}import os\n"),
            &NORM.replace("self,  loc", "self, a=f(),  loc"),
            &NORM.replace("scale=1", "scale=f()"),
            "",
        ] {
            assert_eq!(class(hostile), CallClass::Dangerous { effect: Effect::Code }, "{hostile}");
        }
        // A name worked out at load time cannot be told from the one that is run.
        let key = Value::Object { made_by: "builtins.str".into(), args: vec![] };
        let hidden = Value::Dict(vec![(key, text("import os"))]);
        assert_eq!(distribution_state(Some(&hidden)), CallClass::KnownUncatalogued);
        let pair = Value::Tuple(vec![dict(&[("_parse_arg_template", ""), ("import os", "")]), Value::None]);
        assert_eq!(distribution_state(Some(&pair)), CallClass::KnownUncatalogued);
        let cut = Value::Str { text: NORM.into(), len: 9000, cut: true };
        let cut = Value::Dict(vec![(text("_parse_arg_template"), cut)]);
        assert_eq!(distribution_state(Some(&cut)), CallClass::Dangerous { effect: Effect::Code });
    }

    #[test]
    fn a_formula_is_harmless_while_it_names_columns() {
        let cat = &super::super::tables::CATALOGUE;
        let class = |formula: &str| {
            formula_state(cat, Some(&dict(&[("restore_design_info", "1"), ("formula", formula)])))
        };
        for honest in
            ["y ~ x1 + x2", "np.log(y) ~ C(kind):x - 1", "y ~ (a + b)**2", "y ~ bs(x, df=4) + I(a*b)"]
        {
            assert_eq!(class(honest), CallClass::Harmless, "{honest}");
        }
        for hostile in
            ["y ~ __import__('os').system('id')", "y ~ x + eval(z)", "y ~ os.system(x)", "y ~ x.__class__"]
        {
            assert_eq!(class(hostile), CallClass::Dangerous { effect: Effect::Code }, "{hostile}");
        }
        assert_eq!(class("y ~ np.power(x, 2)"), CallClass::CarriesCode);
        assert_eq!(class("y ~ C(x)(y)"), CallClass::CarriesCode);
        let plain = dict(&[("formula", "y ~ f(x)")]);
        assert_eq!(formula_state(cat, Some(&plain)), CallClass::Harmless);
    }
}
