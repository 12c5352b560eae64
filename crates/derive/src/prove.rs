//! Which uses of a class or function are harmless, and under which condition on what the stream gives.

use crate::ancestry::{Ancestry, Found};
use crate::classes::{check_bodies, dataclass_of};
use crate::follow::{Proof, Step, World};
use crate::index::{Class, Module};
use crate::known::{Container, Meta, Need};
use crate::objects::{Decoration, decoration};
use crate::value::{Flow, Keys, Value};
use std::collections::BTreeSet;
use wb_python::ast::StmtFunctionDef;

/// What was proved of one name.
#[derive(Debug, Clone, Default)]
pub struct Uses {
    /// `cls.__new__(cls, *args)`.
    pub new: Option<Condition>,
    /// The call itself.
    pub call: Option<Condition>,
    /// Setting the state: the keys at which it must hold literals, `*` if all its keys must be texts.
    pub build: Option<Keys>,
    /// The state must be a dict: of a tuple the second half would be set through properties.
    pub dict: bool,
    /// As a key or a member of a set.
    pub hash: bool,
    /// `append` and `extend`.
    pub append: bool,
    /// `__setitem__`.
    pub setitem: bool,
    /// `add`.
    pub additems: bool,
    /// Modules that were imported on the way.
    pub imports: BTreeSet<String>,
    /// Why a use is not proved: use and reason.
    pub why: Vec<(&'static str, String)>,
}

/// What arguments must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// Anything.
    Any,
    /// Literals and containers of literals.
    Plain,
}

impl Condition {
    fn value<'a>(self) -> Value<'a> {
        match self {
            Self::Any => Value::ANY,
            Self::Plain => Value::Literal,
        }
    }

    fn allows(self, need: Need) -> bool {
        match need {
            Need::Any => true,
            Need::Plain => self == Self::Plain,
            Need::Never => false,
        }
    }
}

/// A proof's outcome: how the object is left, what was imported.
struct Made<'a> {
    flow: Flow<'a>,
    imports: BTreeSet<String>,
    is_own: bool,
}

impl Uses {
    /// Notes what a proof needed, or why there is none. The condition under which the use is proved.
    fn settle(&mut self, of: &'static str, condition: Condition, made: Step<Made<'_>>) -> Option<Condition> {
        match made {
            Ok(made) => {
                self.imports.extend(made.imports);
                Some(condition)
            }
            Err(why) => {
                self.why.push((of, why));
                None
            }
        }
    }
}

/// Judges a class.
pub fn class_uses<'a>(world: &World<'_, 'a>, class: &'a Class<'a>) -> Uses {
    let mut out = Uses::default();
    let ancestry = world.ancestry(class);
    let ancestry = match &*ancestry {
        Ok(ancestry) => ancestry,
        Err(e) => {
            out.why.push(("all", e.clone()));
            return out;
        }
    };
    if let Err(e) = check_bodies(world, ancestry) {
        out.why.push(("all", e));
        return out;
    }
    // Every instance is thrown away some time.
    let mut keys = Keys::new();
    match thrown_away(world, class, ancestry) {
        Ok((wanted, imports)) => {
            keys.extend(wanted);
            out.imports.extend(imports);
        }
        Err(e) => {
            out.why.push(("all", format!("__del__: {e}")));
            return out;
        }
    }
    if matches!(ancestry.meta, Meta::Plain | Meta::NamedTuple) {
        match state(world, class, ancestry) {
            Ok((wanted, imports, dict)) => {
                keys.extend(wanted);
                out.imports.extend(imports);
                out.build = Some(keys.clone());
                out.dict = dict;
            }
            Err(e) => out.why.push(("build", e)),
        }
    }
    let literals = |made: &Made<'a>| match leaves_literals(&made.flow, &keys) {
        true => Ok(()),
        false => Err("an argument ends up where a literal is needed".to_string()),
    };
    for condition in [Condition::Any, Condition::Plain] {
        if out.new.is_none() {
            let made = new(world, class, ancestry, condition).and_then(|made| match made.is_own {
                true => literals(&made).map(|()| made),
                false => Err("__new__ returns something else".into()),
            });
            out.new = out.settle("new", condition, made);
        }
        if out.call.is_none() {
            let made =
                call(world, class, ancestry, condition).and_then(|made| literals(&made).map(|()| made));
            out.call = out.settle("call", condition, made);
        }
    }
    out.hash = hashes(world, ancestry);
    for known in ancestry.knowns() {
        let own = |names: &[&str]| {
            names.iter().all(|n| ancestry.find(world.index, n).iter().all(|f| matches!(f, Found::Known(_))))
        };
        match known.container {
            Container::List => out.append |= own(&["append", "extend"]),
            Container::Dict => out.setitem |= own(&["__setitem__"]),
            Container::Set => out.additems |= own(&["add", "update"]),
            Container::No => {}
        }
    }
    out
}

/// Judges a function.
pub fn function_uses<'a>(world: &World<'_, 'a>, module: &'a Module<'a>, def: &'a StmtFunctionDef) -> Uses {
    let mut out = Uses::default();
    if !matches!(decoration(module, def, world.index), Decoration::Plain) {
        out.why.push(("call", "it is decorated".into()));
        return out;
    }
    for condition in [Condition::Any, Condition::Plain] {
        let mut proof = Proof::new(world, None, false);
        let given = [(None, condition.value())];
        match proof.invoke(None, module, def, None, &[], &given, &mut Flow::default()) {
            Ok(_) => {
                out.call = Some(condition);
                out.imports = proof.imports;
                return out;
            }
            Err(e) => out.why.push(("call", e)),
        }
    }
    out
}

/// Is making an instance harmless, from literals or from anything? For calls in bodies.
pub fn making<'a>(world: &World<'_, 'a>, class: &'a Class<'a>, plain: bool) -> Result<(), String> {
    let key = (std::ptr::from_ref(class) as usize, plain);
    match world.makings.borrow().get(&key) {
        Some(Some(known)) => return known.clone(),
        Some(None) => return Err("it makes itself".into()),
        None => {}
    }
    world.makings.borrow_mut().insert(key, None);
    let condition = if plain { Condition::Plain } else { Condition::Any };
    let result = (|| {
        let ancestry = world.ancestry(class);
        let ancestry = ancestry.as_ref().as_ref().map_err(Clone::clone)?;
        check_bodies(world, ancestry)?;
        if !ancestry.find(world.index, "__del__").is_empty() {
            return Err("it has a __del__".into());
        }
        call(world, class, ancestry, condition).map(drop)
    })();
    world.makings.borrow_mut().insert(key, Some(result.clone()));
    result
}

fn leaves_literals(flow: &Flow<'_>, keys: &Keys) -> bool {
    let literal = |v: &Value<'_>| matches!(v, Value::Literal | Value::Text(_) | Value::Bool(_));
    keys.is_empty()
        || flow.scattered.is_none() && flow.attributes.iter().all(|(k, v)| !keys.contains(k) || literal(v))
}

/// The function found under a name, if it is an ordinary method.
fn method<'a>(
    world: &World<'_, 'a>,
    found: &Found<'a>,
    name: &str,
) -> Step<Option<(&'a Class<'a>, &'a StmtFunctionDef)>> {
    match found {
        Found::Function(c, def) => match decoration(c.module, def, world.index) {
            Decoration::Plain => Ok(Some((c, def))),
            Decoration::Static if name == "__new__" => Ok(Some((c, def))),
            _ => Err(format!("{name} is decorated")),
        },
        Found::Known(_) => Ok(None),
        // `__hash__ = None`
        Found::Value(_, wb_python::ast::Expr::NoneLiteral(_)) => Ok(None),
        _ => Err(format!("{name} is computed")),
    }
}

fn thrown_away<'a>(
    world: &World<'_, 'a>,
    class: &'a Class<'a>,
    ancestry: &Ancestry<'a>,
) -> Step<(Keys, BTreeSet<String>)> {
    let mut proof = Proof::new(world, Some(class), true);
    for found in ancestry.find(world.index, "__del__") {
        if let Some((c, def)) = method(world, &found, "__del__")? {
            proof.invoke(Some(c), c.module, def, Some(Value::This), &[], &[], &mut Flow::default())?;
        }
    }
    Ok(finish(proof))
}

fn finish(proof: Proof<'_, '_, '_>) -> (Keys, BTreeSet<String>) {
    let mut keys = proof.keys;
    if proof.text_keys {
        keys.insert("*".into());
    }
    (keys, proof.imports)
}

fn state<'a>(
    world: &World<'_, 'a>,
    class: &'a Class<'a>,
    ancestry: &Ancestry<'a>,
) -> Step<(Keys, BTreeSet<String>, bool)> {
    let mut proof = Proof::new(world, Some(class), true);
    let mut dict = false;
    for name in ["__getattribute__", "__dict__"] {
        if proof.overrides(name) {
            return Err(format!("defines {name}"));
        }
    }
    let found = ancestry.find(world.index, "__setstate__");
    for found in &found {
        match method(world, found, "__setstate__")? {
            Some((c, def)) => {
                let args = [Value::State];
                proof.invoke(Some(c), c.module, def, Some(Value::This), &args, &[], &mut Flow::default())?;
            }
            None => return Err("__setstate__ is not known".into()),
        }
    }
    if found.is_empty() {
        // Looked for on the object: `__getattr__` is asked, and what it returns is called.
        let mut flow = Flow::default();
        let answer = proof.read("__setstate__", &mut flow)?;
        // `read` counts the object's own attribute in; a planted `__setstate__` is refused before any of this.
        proof.keys.remove("__setstate__");
        for answer in answer.each() {
            match &answer {
                Value::Literal | Value::Text(_) | Value::Bool(_) => {}
                Value::Any(Some(keys)) if keys.iter().all(|k| k == "__setstate__") => {}
                Value::Any(Some(_)) => proof.need(&answer, "a call")?,
                _ => return Err("__getattr__ answers for __setstate__".into()),
            }
        }
        proof.keys.remove("__setstate__");
        // The second half of a state is set attribute by attribute; a dict goes straight into `__dict__`.
        let mut setting = Proof::new(world, Some(class), true);
        match setting.write(None, Value::ANY, false, &mut Flow::default()) {
            Ok(()) => {
                let (keys, imports) = finish(setting);
                proof.keys.extend(keys);
                proof.imports.extend(imports);
            }
            Err(_) => dict = true,
        }
    }
    let (keys, imports) = finish(proof);
    Ok((keys, imports, dict))
}

fn new<'a>(
    world: &World<'_, 'a>,
    class: &'a Class<'a>,
    ancestry: &Ancestry<'a>,
    condition: Condition,
) -> Step<Made<'a>> {
    match ancestry.meta {
        Meta::Plain => {}
        // One field each argument.
        Meta::NamedTuple if !overrides(ancestry, "__new__") => {
            return Ok(Made { flow: Flow::default(), imports: BTreeSet::new(), is_own: true });
        }
        _ => return Err("the class is not made by its __new__".into()),
    }
    let mut proof = Proof::new(world, Some(class), false);
    let mut flow = Flow::default();
    let mut is_own = true;
    let given = [(None, condition.value())];
    for found in ancestry.find(world.index, "__new__") {
        if let Some((c, def)) = method(world, &found, "__new__")? {
            let this = Some(Value::Class(class));
            let made = proof.invoke(Some(c), c.module, def, this, &[], &given, &mut flow)?;
            is_own &= matches!(made, Value::This);
        }
    }
    for known in ancestry.knowns() {
        if !condition.allows(known.new) {
            return Err(format!("{} takes literals only", known.name));
        }
    }
    Ok(Made { flow, imports: proof.imports, is_own })
}

fn overrides(ancestry: &Ancestry<'_>, name: &str) -> bool {
    ancestry.sources().any(|c| c.body.names.contains_key(name))
}

fn call<'a>(
    world: &World<'_, 'a>,
    class: &'a Class<'a>,
    ancestry: &Ancestry<'a>,
    condition: Condition,
) -> Step<Made<'a>> {
    match ancestry.meta {
        // A look-up among the members, by value; the class is asked for what is none.
        Meta::Enum if condition == Condition::Plain => {
            let mut proof = Proof::new(world, Some(class), false);
            for found in ancestry.find(world.index, "_missing_") {
                let Found::Function(c, def) = found else { return Err("_missing_ is computed".into()) };
                if decoration(c.module, def, world.index) != Decoration::Class {
                    return Err("_missing_ is decorated".into());
                }
                let (this, given) = (Some(Value::Class(class)), [condition.value()]);
                proof.invoke(Some(c), c.module, def, this, &given, &[], &mut Flow::default())?;
            }
            return Ok(Made { flow: Flow::default(), imports: proof.imports, is_own: true });
        }
        Meta::Enum => return Err("looks a member up by an object it is given".into()),
        Meta::Plain | Meta::NamedTuple => {}
    }
    let mut made = new(world, class, ancestry, condition)?;
    if !made.is_own {
        return Err("__new__ returns something else".into());
    }
    let mut proof = Proof::new(world, Some(class), false);
    let given = [(None, condition.value())];
    for found in ancestry.find(world.index, "__init__") {
        if let Some((c, def)) = method(world, &found, "__init__")? {
            proof.invoke(Some(c), c.module, def, Some(Value::This), &[], &given, &mut made.flow)?;
        }
    }
    if let Some(fields) = dataclass_of(world, ancestry)? {
        for field in fields {
            proof.write(Some(field), condition.value(), false, &mut made.flow)?;
        }
        for found in ancestry.find(world.index, "__post_init__") {
            if let Some((c, def)) = method(world, &found, "__post_init__")? {
                proof.invoke(Some(c), c.module, def, Some(Value::This), &[], &given, &mut made.flow)?;
            }
        }
    }
    if ancestry.knowns().any(|k| k.init == Need::Plain && !condition.allows(k.init)) {
        return Err("a built-in base takes literals only".into());
    }
    made.imports.extend(proof.imports);
    Ok(made)
}

/// Identity, or no hash at all.
fn hashes<'a>(world: &World<'_, 'a>, ancestry: &Ancestry<'a>) -> bool {
    if !ancestry.knowns().all(|k| k.hash) || ancestry.meta != Meta::Plain {
        return false;
    }
    !overrides(ancestry, "__hash__")
        && !overrides(ancestry, "__eq__")
        && matches!(dataclass_of(world, ancestry), Ok(None))
}
