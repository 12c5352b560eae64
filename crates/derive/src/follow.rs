//! Follows the body of a method or function, statement by statement, over abstract values.
//!
//! Nothing is assumed: a construct that is not understood, a call that is not resolved, an operation on an object
//! that the stream made end the proof. Both sides of each branch are followed; loops until nothing changes.

use crate::ancestry::Ancestry;
use crate::classes::Patches;
use crate::index::{Class, Index, Module};
use crate::value::{Flow, Keys, Value};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use wb_python::ast::{ExceptHandler, Expr, Stmt, StmtFunctionDef};

/// Why a proof ended.
pub type Why = String;
/// The outcome of a step.
pub type Step<T = ()> = Result<T, Why>;

/// How deep calls are followed.
const MAX_CALLS: u32 = 16;
/// Most statements and expressions of one proof.
const MAX_STEPS: u32 = 6_000;
/// How often a loop's body is followed before what it changes is given up.
const MAX_ROUNDS: u32 = 4;

/// The outcome of a proof that is kept.
type Proved = Result<(), String>;

/// What proofs share.
pub struct World<'i, 'a> {
    /// Names.
    pub index: &'i Index<'a>,
    /// Ancestors of classes, by address.
    pub ancestries: RefCell<HashMap<usize, Rc<Result<Ancestry<'a>, String>>>>,
    /// Whether making an instance from literals is harmless, by class; `None` while it is being found out.
    pub makings: RefCell<HashMap<(usize, bool), Option<Proved>>>,
    /// Assignments to classes from outside of their bodies.
    patches: Patches,
}

impl<'i, 'a> World<'i, 'a> {
    /// Proofs over an index.
    pub fn new(index: &'i Index<'a>, patches: Patches) -> Self {
        Self { index, ancestries: RefCell::default(), makings: RefCell::default(), patches }
    }

    /// Is an attribute of `class` or of an ancestor assigned from outside? `None`: any.
    pub fn is_patched(&self, class: &'a Class<'a>, name: Option<&str>) -> bool {
        match &*self.ancestry(class) {
            Ok(ancestry) => {
                ancestry.sources().any(|c| self.patched(c).iter().any(|a| name.is_none_or(|n| a == n)))
            }
            Err(_) => true,
        }
    }

    /// What of `class` is assigned from outside of its body.
    pub fn patched(&self, class: &Class<'a>) -> Vec<String> {
        self.patches.of(class)
    }

    /// The ancestors of a class.
    pub fn ancestry(&self, class: &'a Class<'a>) -> Rc<Result<Ancestry<'a>, String>> {
        let key = std::ptr::from_ref(class) as usize;
        if let Some(found) = self.ancestries.borrow().get(&key) {
            return found.clone();
        }
        let found = Rc::new(Ancestry::of(self.index, class));
        self.ancestries.borrow_mut().insert(key, found.clone());
        found
    }
}

/// One proof: of one use of one class, or of one function.
pub struct Proof<'w, 'i, 'a> {
    /// What proofs share.
    pub world: &'w World<'i, 'a>,
    /// The class of the object being made; `None` for a function.
    pub class: Option<&'a Class<'a>>,
    /// True if the object can already have attributes that the stream set (its state is being set, or it is being
    /// thrown away); false while it is first made.
    pub filled: bool,
    /// Keys of the state at which only literals are harmless.
    pub keys: Keys,
    /// The proof needs the keys of the state to be texts.
    pub text_keys: bool,
    /// Modules that function bodies import.
    pub imports: BTreeSet<String>,
    steps: u32,
    calls: Vec<*const StmtFunctionDef>,
}

/// One activation of a function.
pub struct Frame<'a> {
    /// Where its global names are looked up.
    pub module: &'a Module<'a>,
    /// The class whose body defines it.
    pub owner: Option<&'a Class<'a>>,
    /// Its first parameter, for `super()`.
    pub first: Option<Value<'a>>,
    /// What it returned so far.
    pub returned: Option<Value<'a>>,
    /// What held where it was left early: by `return`, or by an exception that somebody may catch.
    pub exits: Option<Flow<'a>>,
    /// What held where an exception was raised, since the innermost `try` began.
    pub raised: Option<Flow<'a>>,
    /// Of each loop around: what held where it was left or begun anew early.
    pub loops: Vec<Option<Flow<'a>>>,
}

impl<'a> Frame<'a> {
    /// A frame of a function of `module`.
    pub fn new(module: &'a Module<'a>, owner: Option<&'a Class<'a>>, first: Option<Value<'a>>) -> Self {
        Self { module, owner, first, returned: None, exits: None, raised: None, loops: Vec::new() }
    }
}

/// Both of what held before and what holds now.
fn also<'a>(kept: &mut Option<Flow<'a>>, flow: &Flow<'a>) {
    let open = Flow { ended: false, ..flow.clone() };
    *kept = Some(match kept.take() {
        Some(old) => old.join(open),
        None => open,
    });
}

impl<'w, 'i, 'a> Proof<'w, 'i, 'a> {
    /// A proof about `class`.
    pub fn new(world: &'w World<'i, 'a>, class: Option<&'a Class<'a>>, filled: bool) -> Self {
        Self {
            world,
            class,
            filled,
            keys: Keys::new(),
            text_keys: false,
            imports: BTreeSet::new(),
            steps: 0,
            calls: Vec::new(),
        }
    }

    /// Counts one step.
    pub fn step(&mut self) -> Step {
        self.steps += 1;
        if self.steps > MAX_STEPS { Err("the code is too long to follow".into()) } else { Ok(()) }
    }

    /// Runs a function body with its parameters bound in `flow.locals`. Recursion ends the proof.
    pub fn run(
        &mut self,
        def: &'a StmtFunctionDef,
        frame: &mut Frame<'a>,
        flow: &mut Flow<'a>,
    ) -> Step<Value<'a>> {
        let key = std::ptr::from_ref(def);
        if self.calls.contains(&key) {
            return Err(format!("{} calls itself", def.name));
        }
        if self.calls.len() as u32 >= MAX_CALLS {
            return Err("calls are nested too deeply to follow".into());
        }
        self.calls.push(key);
        let done = self.block(&def.body, frame, flow);
        self.calls.pop();
        done.map_err(|e| format!("{}: {e}", def.name))?;
        let falls_through = !flow.ended;
        // Whoever called goes on with what held at any way out.
        if let Some(exits) = frame.exits.take() {
            *flow = match falls_through {
                true => exits.join(flow.clone()),
                false => exits,
            };
        }
        flow.ended = false;
        Ok(match frame.returned.take() {
            Some(value) if falls_through => value.join(&Value::Literal),
            Some(value) => value,
            None => Value::Literal,
        })
    }

    /// Follows statements in turn.
    pub fn block(&mut self, body: &'a [Stmt], frame: &mut Frame<'a>, flow: &mut Flow<'a>) -> Step {
        for stmt in body {
            if flow.ended {
                break;
            }
            self.statement(stmt, frame, flow)?;
        }
        Ok(())
    }

    fn statement(&mut self, stmt: &'a Stmt, frame: &mut Frame<'a>, flow: &mut Flow<'a>) -> Step {
        self.step()?;
        match stmt {
            Stmt::Pass(_) => {}
            // It is named so to be assigned to: what other code relies on would change for good.
            Stmt::Global(_) | Stmt::Nonlocal(_) => return Err("changes a global".into()),
            Stmt::Expr(s) => drop(self.eval(&s.value, frame, flow)?),
            Stmt::Return(s) => {
                let value = match &s.value {
                    Some(value) => self.eval(value, frame, flow)?,
                    None => Value::Literal,
                };
                frame.returned = Some(frame.returned.take().map_or(value.clone(), |old| old.join(&value)));
                also(&mut frame.exits, flow);
                flow.ended = true;
            }
            Stmt::Raise(s) => {
                // Nobody catches it: the process ends.
                if s.exc.as_deref().and_then(wb_python::dotted).is_some_and(|d| d == "SystemExit") {
                    return Err("ends the process".into());
                }
                for part in s.exc.iter().chain(&s.cause) {
                    // `raise TypeError(…)` makes the exception; whoever reports it may print it.
                    self.eval(part, frame, flow)?;
                }
                also(&mut frame.exits, flow);
                also(&mut frame.raised, flow);
                flow.ended = true;
            }
            Stmt::Break(_) | Stmt::Continue(_) => {
                if let Some(around) = frame.loops.last_mut() {
                    also(around, flow);
                }
                flow.ended = true;
            }
            Stmt::Assign(s) => {
                let value = self.eval(&s.value, frame, flow)?;
                for target in &s.targets {
                    self.assign(target, value.clone(), frame, flow)?;
                }
            }
            Stmt::AnnAssign(s) => {
                if let Some(value) = &s.value {
                    let value = self.eval(value, frame, flow)?;
                    self.assign(&s.target, value, frame, flow)?;
                }
            }
            Stmt::AugAssign(s) => {
                let old = self.eval(&s.target, frame, flow)?;
                let value = self.eval(&s.value, frame, flow)?;
                self.need(&old, "an operator")?;
                self.need(&value, "an operator")?;
                self.assign(&s.target, Value::Literal, frame, flow)?;
            }
            Stmt::Delete(s) => {
                for target in &s.targets {
                    self.delete(target, frame, flow)?;
                }
            }
            Stmt::If(s) => {
                let truth = self.condition(&s.test, frame, flow)?;
                let mut outcomes = Vec::new();
                if truth != Some(false) {
                    let mut branch = flow.clone();
                    self.block(&s.body, frame, &mut branch)?;
                    outcomes.push(branch);
                }
                let mut open = truth != Some(true);
                for clause in &s.elif_else_clauses {
                    if !open {
                        break;
                    }
                    let truth = match &clause.test {
                        Some(test) => self.condition(test, frame, flow)?,
                        None => Some(true),
                    };
                    if truth != Some(false) {
                        let mut branch = flow.clone();
                        self.block(&clause.body, frame, &mut branch)?;
                        outcomes.push(branch);
                    }
                    open = truth != Some(true);
                }
                if open {
                    outcomes.push(flow.clone());
                }
                if let Some(joined) = outcomes.into_iter().reduce(Flow::join) {
                    *flow = joined;
                }
            }
            Stmt::For(s) if !s.is_async => {
                let iterated = self.eval(&s.iter, frame, flow)?;
                let element = self.iterate(&iterated)?;
                let pairs = is_items_call(&s.iter) && matches!(iterated, Value::Container(None));
                self.repeat(frame, flow, |proof, frame, flow| {
                    match (&*s.target, pairs, proof.items_of_state(&s.iter, frame, flow)) {
                        // `for key, value in state.items()`
                        (Expr::Tuple(t), true, true) if t.elts.len() == 2 => {
                            proof.assign(&t.elts[0], Value::StateKey, frame, flow)?;
                            proof.assign(&t.elts[1], Value::ANY, frame, flow)?;
                        }
                        _ => proof.assign(&s.target, element.clone(), frame, flow)?,
                    }
                    proof.block(&s.body, frame, flow)
                })?;
                self.block(&s.orelse, frame, flow)?;
            }
            Stmt::While(s) => {
                self.repeat(frame, flow, |proof, frame, flow| {
                    proof.condition(&s.test, frame, flow)?;
                    proof.block(&s.body, frame, flow)
                })?;
                self.block(&s.orelse, frame, flow)?;
            }
            Stmt::Try(s) => {
                // An exception can leave the body anywhere: what held before or after each statement can hold.
                let mut thrown = flow.clone();
                let outer = frame.raised.take();
                for stmt in &s.body {
                    if flow.ended {
                        break;
                    }
                    self.statement(stmt, frame, flow)?;
                    let mut after = flow.clone();
                    after.ended = false;
                    thrown = thrown.join(after);
                }
                if let Some(raised) = std::mem::replace(&mut frame.raised, outer) {
                    // Caught here, or by a `try` around.
                    also(&mut frame.raised, &raised);
                    thrown = thrown.join(raised);
                }
                if !flow.ended {
                    self.block(&s.orelse, frame, flow)?;
                }
                let mut joined = flow.clone();
                for ExceptHandler::ExceptHandler(h) in &s.handlers {
                    let mut branch = thrown.clone();
                    if let Some(kind) = &h.type_ {
                        self.eval(kind, frame, &mut branch)?;
                    }
                    if let Some(name) = &h.name {
                        branch.locals.insert(name.to_string(), Value::ANY);
                    }
                    self.block(&h.body, frame, &mut branch)?;
                    joined = joined.join(branch);
                }
                *flow = joined;
                let ended = std::mem::replace(&mut flow.ended, false);
                self.block(&s.finalbody, frame, flow)?;
                flow.ended |= ended;
            }
            Stmt::With(s) if !s.is_async => {
                let mut swallows = false;
                for item in &s.items {
                    let value = self.eval(&item.context_expr, frame, flow)?;
                    for value in value.each() {
                        match value {
                            Value::OutsideMade("threading.Lock" | "warnings.catch_warnings") => {}
                            Value::OutsideMade("contextlib.suppress") => swallows = true,
                            _ => return Err("enters a context that is not known".into()),
                        }
                    }
                    if let Some(target) = &item.optional_vars {
                        self.assign(target, Value::ANY, frame, flow)?;
                    }
                }
                let before = flow.clone();
                self.block(&s.body, frame, flow)?;
                if swallows {
                    flow.ended = false;
                    *flow = before.join(flow.clone());
                }
            }
            Stmt::Assert(s) => {
                self.condition(&s.test, frame, flow)?;
                if let Some(text) = &s.msg {
                    self.eval(text, frame, flow)?;
                }
            }
            Stmt::Import(s) => {
                for alias in &s.names {
                    let module = alias.name.as_str();
                    self.imports.insert(module.to_string());
                    let (name, bound) = match &alias.asname {
                        Some(name) => (name.as_str(), module),
                        None => {
                            let top = module.split('.').next().unwrap_or(module);
                            (top, top)
                        }
                    };
                    flow.locals.insert(name.to_string(), Value::Module(bound.into()));
                }
            }
            Stmt::ImportFrom(s) => {
                let Some(module) = wb_python::absolute(frame.module.package, s.level, s.module.as_deref())
                else {
                    return Err("imports from beyond its package".into());
                };
                self.imports.insert(module.clone());
                for alias in &s.names {
                    let name = alias.asname.as_ref().unwrap_or(&alias.name);
                    let value = self.global_of(&module, alias.name.as_str());
                    flow.locals.insert(name.to_string(), value);
                }
            }
            // Made, not called: a call of it is a call of something unknown.
            Stmt::FunctionDef(s) if s.decorator_list.is_empty() => {
                flow.locals.insert(s.name.to_string(), Value::ANY);
            }
            _ => return Err("holds a statement that is not followed".into()),
        }
        Ok(())
    }

    /// Follows a loop's body until what it changes has settled.
    fn repeat(
        &mut self,
        frame: &mut Frame<'a>,
        flow: &mut Flow<'a>,
        mut body: impl FnMut(&mut Self, &mut Frame<'a>, &mut Flow<'a>) -> Step,
    ) -> Step {
        for round in 0..=MAX_ROUNDS {
            let mut once = flow.clone();
            frame.loops.push(None);
            let done = body(self, frame, &mut once);
            let left = frame.loops.pop().flatten();
            done?;
            // `break` and `continue` leave the body with what was set until then.
            once.ended = false;
            if let Some(left) = left {
                once = once.join(left);
            }
            let joined = flow.clone().join(once);
            if joined.same(flow) {
                return Ok(());
            }
            *flow = joined;
            if round + 1 == MAX_ROUNDS {
                flow.locals.values_mut().for_each(|v| *v = Value::ANY);
                flow.attributes.values_mut().for_each(|v| *v = Value::ANY);
            }
        }
        Err("holds a loop that does not settle".into())
    }

    /// Is this `state.items()` of the state, before the library put values into it?
    fn items_of_state(&mut self, iter: &'a Expr, frame: &mut Frame<'a>, flow: &mut Flow<'a>) -> bool {
        let Expr::Call(call) = iter else { return false };
        let Expr::Attribute(a) = &*call.func else { return false };
        flow.state.is_empty()
            && !flow.state_scattered
            && matches!(self.eval(&a.value, frame, flow), Ok(Value::State))
    }

    /// `target = value`.
    pub fn assign(
        &mut self,
        target: &'a Expr,
        value: Value<'a>,
        frame: &mut Frame<'a>,
        flow: &mut Flow<'a>,
    ) -> Step {
        match target {
            Expr::Name(n) => {
                flow.locals.insert(n.id.to_string(), value);
                Ok(())
            }
            Expr::Tuple(_) | Expr::List(_) => {
                let elements = match target {
                    Expr::Tuple(t) => &t.elts,
                    Expr::List(t) => &t.elts,
                    _ => return Ok(()),
                };
                let element = self.iterate(&value)?;
                elements.iter().try_for_each(|t| self.assign(t, element.clone(), frame, flow))
            }
            Expr::Starred(s) => {
                let keys = self.keys_of(&value);
                self.assign(&s.value, container(keys), frame, flow)
            }
            Expr::Attribute(a) => {
                let owner = self.eval(&a.value, frame, flow)?;
                for owner in owner.each() {
                    match owner {
                        Value::This => self.write(Some(a.attr.as_str()), value.clone(), false, flow)?,
                        _ => return Err(format!("sets the attribute {} of something else", a.attr)),
                    }
                }
                Ok(())
            }
            Expr::Subscript(s) => {
                let key = self.eval(&s.slice, frame, flow)?;
                let owner = self.eval(&s.value, frame, flow)?;
                self.put(&s.value, &owner, &key, value, flow)
            }
            _ => Err("assigns to something that is not followed".into()),
        }
    }

    /// `owner[key] = value`, where `place` is how the code writes `owner`.
    pub fn put(
        &mut self,
        place: &Expr,
        owner: &Value<'a>,
        key: &Value<'a>,
        value: Value<'a>,
        flow: &mut Flow<'a>,
    ) -> Step {
        for owner in owner.each() {
            if is_plain(&owner) && is_shared(place, flow) {
                return Err("changes a container of the module's".into());
            }
            match (&owner, key) {
                (Value::ThisDict, Value::Text(key)) => {
                    flow.attributes.insert(key.to_string(), value.clone());
                }
                (Value::ThisDict, Value::StateKey) if matches!(value, Value::Any(None)) => {
                    self.text_keys = true
                }
                (Value::ThisDict, key) => {
                    self.need(key, "a hash")?;
                    scatter(flow, value.clone());
                }
                (Value::State, Value::Text(key)) => {
                    flow.state.insert(key.to_string(), value.clone());
                }
                (Value::State, key) => {
                    self.need(key, "a hash")?;
                    flow.state_scattered = true;
                }
                (Value::Literal | Value::Container(_), key) => {
                    self.need(key, "a hash")?;
                    let keys = join_keys(self.keys_of(&owner), self.keys_of(&value));
                    match place {
                        Expr::Name(n) if flow.locals.contains_key(n.id.as_str()) => {
                            flow.locals.insert(n.id.to_string(), container(keys));
                        }
                        // The container stays what it is if only literals go in.
                        _ if keys.as_ref().is_some_and(|k| k.is_empty()) => {}
                        _ => return Err("puts an object into a container that is kept elsewhere".into()),
                    }
                }
                (Value::Any(Some(_)), key) => {
                    // A literal, or the proof ends; what is put into it makes it a container.
                    self.need(&owner, "an item")?;
                    self.need(key, "a hash")?;
                    self.need(&value, "an item of a container")?;
                }
                _ => return Err("sets an item of something else".into()),
            }
        }
        Ok(())
    }

    fn delete(&mut self, target: &'a Expr, frame: &mut Frame<'a>, flow: &mut Flow<'a>) -> Step {
        match target {
            Expr::Name(n) => {
                flow.locals.remove(n.id.as_str());
                Ok(())
            }
            Expr::Attribute(a) => match self.eval(&a.value, frame, flow)? {
                Value::This if !self.overrides("__delattr__") => {
                    flow.attributes.remove(a.attr.as_str());
                    Ok(())
                }
                _ => Err(format!("deletes the attribute {} of something else", a.attr)),
            },
            Expr::Subscript(s) => {
                let key = self.eval(&s.slice, frame, flow)?;
                self.need(&key, "a hash")?;
                let owner = self.eval(&s.value, frame, flow)?;
                if owner.each().iter().any(is_plain) && is_shared(&s.value, flow) {
                    return Err("changes a container of the module's".into());
                }
                match owner {
                    Value::State | Value::ThisDict | Value::Literal | Value::Container(_) => Ok(()),
                    other => self.need(&other, "an item"),
                }
            }
            Expr::Tuple(t) => t.elts.iter().try_for_each(|t| self.delete(t, frame, flow)),
            _ => Err("deletes something that is not followed".into()),
        }
    }

    /// Does any class of the object's define this method itself?
    pub fn overrides(&self, name: &str) -> bool {
        let Some(class) = self.class else { return false };
        match &*self.world.ancestry(class) {
            Ok(ancestry) => ancestry.sources().any(|c| c.body.names.contains_key(name)),
            Err(_) => true,
        }
    }
}

/// A computed attribute was set: it may be any.
pub fn scatter<'a>(flow: &mut Flow<'a>, value: Value<'a>) {
    flow.scattered = Some(flow.scattered.take().map_or(value.clone(), |old| old.join(&value)));
}

/// Keys at which both must be literals.
pub fn join_keys(a: Option<Rc<Keys>>, b: Option<Rc<Keys>>) -> Option<Rc<Keys>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(Rc::new(a.union(&b).cloned().collect())),
        _ => None,
    }
}

/// A container whose elements are literals if the state is at these keys.
pub fn container<'a>(keys: Option<Rc<Keys>>) -> Value<'a> {
    match keys {
        Some(keys) if keys.is_empty() => Value::Literal,
        keys => Value::Container(keys),
    }
}

fn is_items_call(expr: &Expr) -> bool {
    matches!(expr, Expr::Call(c) if c.arguments.args.is_empty()
        && matches!(&*c.func, Expr::Attribute(a) if matches!(a.attr.as_str(), "items" | "iteritems")))
}

/// Data that may be a container.
pub fn is_plain(value: &Value<'_>) -> bool {
    matches!(value, Value::Literal | Value::Container(_) | Value::Any(Some(_)))
}

/// Is what an expression names there before and after the call: a global of the module, something of another module?
pub fn is_shared(place: &Expr, flow: &Flow<'_>) -> bool {
    match place {
        Expr::Name(n) => !flow.locals.contains_key(n.id.as_str()),
        Expr::Attribute(a) => is_shared(&a.value, flow),
        Expr::Subscript(s) => is_shared(&s.value, flow),
        // What a function hands out may be kept by it.
        Expr::Call(call) => match &*call.func {
            Expr::Attribute(a) => is_shared(&a.value, flow),
            Expr::Name(n) => !matches!(n.id.as_str(), "dict" | "list" | "set" | "super" | "vars"),
            _ => true,
        },
        _ => false,
    }
}
