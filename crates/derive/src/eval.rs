//! Follows expressions.

use crate::ancestry::Found;
use crate::follow::{Frame, Proof, Step, container, join_keys};
use crate::index::{Class, Meaning, Module, Place};
use crate::known::Meta;
use crate::value::{Flow, Keys, Value};
use std::rc::Rc;
use wb_python::ast::{BoolOp, CmpOp, Comprehension, Expr, InterpolatedStringElement, UnaryOp};

impl<'a> Proof<'_, '_, 'a> {
    /// The value of an expression.
    pub fn eval(&mut self, expr: &'a Expr, frame: &mut Frame<'a>, flow: &mut Flow<'a>) -> Step<Value<'a>> {
        self.step()?;
        Ok(match expr {
            Expr::StringLiteral(s) => Value::Text(s.value.to_str().into()),
            Expr::BooleanLiteral(b) => Value::Bool(b.value),
            Expr::BytesLiteral(_)
            | Expr::NumberLiteral(_)
            | Expr::NoneLiteral(_)
            | Expr::EllipsisLiteral(_) => Value::Literal,
            Expr::Name(n) => match flow.locals.get(n.id.as_str()) {
                Some(value) => value.clone(),
                None => self.global_of(frame.module.name, n.id.as_str()),
            },
            Expr::Attribute(a) => {
                let owner = self.eval(&a.value, frame, flow)?;
                self.attribute(&owner, a.attr.as_str(), flow)?
            }
            Expr::Call(call) => self.call_expression(call, frame, flow)?,
            Expr::Subscript(s) => {
                let owner = self.eval(&s.value, frame, flow)?;
                let key = self.eval(&s.slice, frame, flow)?;
                self.item(&owner, &key, flow)?
            }
            Expr::Slice(s) => {
                for part in [&s.lower, &s.upper, &s.step].into_iter().flatten() {
                    let value = self.eval(part, frame, flow)?;
                    self.need(&value, "a slice")?;
                }
                Value::Literal
            }
            Expr::Tuple(t) => self.collection(&t.elts, frame, flow)?,
            Expr::List(l) => self.collection(&l.elts, frame, flow)?,
            Expr::Set(s) => {
                let value = self.collection(&s.elts, frame, flow)?;
                self.need(&value, "a hash")?;
                value
            }
            Expr::Dict(d) => {
                let mut keys = Some(Rc::new(Keys::new()));
                for item in &d.items {
                    match &item.key {
                        Some(key) => {
                            let key = self.eval(key, frame, flow)?;
                            self.need(&key, "a hash")?;
                            let value = self.eval(&item.value, frame, flow)?;
                            keys = join_keys(keys, self.keys_of(&value));
                        }
                        None => {
                            let other = self.eval(&item.value, frame, flow)?;
                            let element = self.iterate(&other)?;
                            keys = join_keys(keys, self.keys_of(&element));
                        }
                    }
                }
                container(keys)
            }
            Expr::BinOp(b) => {
                let left = self.eval(&b.left, frame, flow)?;
                let right = self.eval(&b.right, frame, flow)?;
                // Two lists make a list, whatever is in them.
                if let (Value::Container(a), Value::Container(b)) = (&left, &right) {
                    return Ok(container(join_keys(a.clone(), b.clone())));
                }
                self.need(&left, "an operator")?;
                self.need(&right, "an operator")?;
                Value::Literal
            }
            Expr::UnaryOp(u) if u.op == UnaryOp::Not => match self.condition(&u.operand, frame, flow)? {
                Some(truth) => Value::Bool(!truth),
                None => Value::Literal,
            },
            Expr::UnaryOp(u) => {
                let value = self.eval(&u.operand, frame, flow)?;
                self.need(&value, "an operator")?;
                Value::Literal
            }
            Expr::BoolOp(_) | Expr::Compare(_) => self.logic(expr, frame, flow)?,
            Expr::If(i) => match self.condition(&i.test, frame, flow)? {
                Some(true) => self.eval(&i.body, frame, flow)?,
                Some(false) => self.eval(&i.orelse, frame, flow)?,
                None => {
                    let body = self.eval(&i.body, frame, flow)?;
                    body.join(&self.eval(&i.orelse, frame, flow)?)
                }
            },
            Expr::Named(n) => {
                let value = self.eval(&n.value, frame, flow)?;
                self.assign(&n.target, value.clone(), frame, flow)?;
                value
            }
            Expr::FString(f) => {
                for part in f.value.elements() {
                    if let InterpolatedStringElement::Interpolation(i) = part {
                        let value = self.eval(&i.expression, frame, flow)?;
                        self.need(&value, "formatting")?;
                        if i.format_spec.is_some() && !matches!(value, Value::Literal | Value::Text(_)) {
                            self.need(&value, "formatting")?;
                        }
                    }
                }
                Value::Literal
            }
            Expr::ListComp(c) => self.comprehension(&[&c.elt], &c.generators, frame, flow)?,
            Expr::Generator(c) => self.comprehension(&[&c.elt], &c.generators, frame, flow)?,
            Expr::SetComp(c) => {
                let value = self.comprehension(&[&c.elt], &c.generators, frame, flow)?;
                self.need(&value, "a hash")?;
                value
            }
            Expr::DictComp(c) => {
                let parts: Vec<&'a Expr> = c.key.iter().map(|k| &**k).chain([&*c.value]).collect();
                if c.key.is_none() {
                    return Err("holds an expression that is not followed".into());
                }
                self.comprehension(&parts, &c.generators, frame, flow)?
            }
            // Made, not called.
            Expr::Lambda(_) => Value::ANY,
            Expr::Starred(s) => {
                let value = self.eval(&s.value, frame, flow)?;
                self.iterate(&value)?
            }
            _ => return Err("holds an expression that is not followed".into()),
        })
    }

    fn collection(
        &mut self,
        elements: &'a [Expr],
        frame: &mut Frame<'a>,
        flow: &mut Flow<'a>,
    ) -> Step<Value<'a>> {
        let mut keys = Some(Rc::new(Keys::new()));
        for element in elements {
            let value = self.eval(element, frame, flow)?;
            keys = join_keys(keys, self.keys_of(&value));
        }
        Ok(container(keys))
    }

    /// `parts` are the element, or key and value.
    fn comprehension(
        &mut self,
        parts: &[&'a Expr],
        generators: &'a [Comprehension],
        frame: &mut Frame<'a>,
        flow: &mut Flow<'a>,
    ) -> Step<Value<'a>> {
        let saved = flow.locals.clone();
        for generator in generators {
            if generator.is_async {
                return Err("holds an expression that is not followed".into());
            }
            let iterated = self.eval(&generator.iter, frame, flow)?;
            let element = self.iterate(&iterated)?;
            self.assign(&generator.target, element, frame, flow)?;
            for test in &generator.ifs {
                self.condition(test, frame, flow)?;
            }
        }
        let mut keys = Some(Rc::new(Keys::new()));
        for (at, part) in parts.iter().enumerate() {
            let value = self.eval(part, frame, flow)?;
            if at + 1 < parts.len() {
                self.need(&value, "a hash")?;
            }
            keys = join_keys(keys, self.keys_of(&value));
        }
        flow.locals = saved;
        Ok(container(keys))
    }

    /// The truth of a condition, if it is known.
    pub fn condition(
        &mut self,
        expr: &'a Expr,
        frame: &mut Frame<'a>,
        flow: &mut Flow<'a>,
    ) -> Step<Option<bool>> {
        let value = self.eval(expr, frame, flow)?;
        self.truth(&value)?;
        Ok(match value {
            Value::Bool(truth) => Some(truth),
            _ => None,
        })
    }

    /// `and`, `or`, comparisons.
    fn logic(&mut self, expr: &'a Expr, frame: &mut Frame<'a>, flow: &mut Flow<'a>) -> Step<Value<'a>> {
        match expr {
            Expr::BoolOp(b) => {
                let mut joined: Option<Value<'a>> = None;
                for (at, part) in b.values.iter().enumerate() {
                    let value = self.eval(part, frame, flow)?;
                    let last = at + 1 == b.values.len();
                    if !last {
                        self.truth(&value)?;
                    }
                    match (&value, b.op) {
                        // Decided: what follows is not evaluated.
                        (Value::Bool(false), BoolOp::And) | (Value::Bool(true), BoolOp::Or) => {
                            return Ok(joined.map_or(value.clone(), |old| old.join(&value)));
                        }
                        (Value::Bool(_), _) if !last => {}
                        _ => joined = Some(joined.map_or(value.clone(), |old| old.join(&value))),
                    }
                }
                Ok(joined.unwrap_or(Value::Literal))
            }
            Expr::Compare(c) => {
                let mut left = self.eval(&c.left, frame, flow)?;
                let mut known = None;
                for (op, right) in c.ops.iter().zip(&c.comparators) {
                    let right = self.eval(right, frame, flow)?;
                    known = match (op, &left, &right) {
                        (CmpOp::Is | CmpOp::IsNot, ..) => None,
                        (CmpOp::Eq, Value::Text(a), Value::Text(b)) => Some(a == b),
                        (CmpOp::NotEq, Value::Text(a), Value::Text(b)) => Some(a != b),
                        // A look-up by hash: the keys' own are the stream's business, judged where the container is made.
                        (CmpOp::In | CmpOp::NotIn, key, Value::State | Value::ThisDict) => {
                            self.need(key, "a hash")?;
                            None
                        }
                        _ => {
                            self.need(&left, "a comparison")?;
                            self.need(&right, "a comparison")?;
                            None
                        }
                    };
                    left = right;
                }
                Ok(match (known, c.ops.len()) {
                    (Some(truth), 1) => Value::Bool(truth),
                    _ => Value::Literal,
                })
            }
            _ => Ok(Value::Literal),
        }
    }

    /// What a global name of a module is.
    pub fn global_of(&self, module: &str, name: &str) -> Value<'a> {
        self.world
            .index
            .lookup(module, name)
            .iter()
            .map(|m| self.meaning(m))
            .reduce(|a, b| a.join(&b))
            .unwrap_or(Value::ANY)
    }

    /// A meaning as a value.
    pub fn meaning(&self, meaning: &Meaning<'a>) -> Value<'a> {
        match meaning {
            Meaning::Here(Place::Class(class)) => Value::Class(class),
            Meaning::Here(Place::Function(module, def)) => Value::Function(module, def),
            Meaning::Here(Place::Value(module, expr)) => self.constant(module, expr),
            Meaning::Module(name) => Value::Module(name.as_str().into()),
            Meaning::Outside(name) => Value::Outside(name.as_str().into()),
            Meaning::Dynamic => Value::ANY,
        }
    }

    /// A value that the library bound when it was imported.
    pub fn constant(&self, module: &'a Module<'a>, expr: &'a Expr) -> Value<'a> {
        match expr {
            Expr::StringLiteral(s) => Value::Text(s.value.to_str().into()),
            Expr::BooleanLiteral(_)
            | Expr::BytesLiteral(_)
            | Expr::NumberLiteral(_)
            | Expr::NoneLiteral(_)
            | Expr::EllipsisLiteral(_)
            | Expr::FString(_) => Value::Literal,
            Expr::Tuple(t) => self.constants(module, &t.elts),
            Expr::List(t) => self.constants(module, &t.elts),
            Expr::Set(t) => self.constants(module, &t.elts),
            Expr::Dict(d) => {
                let all = d.items.iter().all(|i| {
                    i.key.as_ref().is_some_and(|k| self.is_literal(module, k))
                        && self.is_literal(module, &i.value)
                });
                if all { Value::Literal } else { Value::ANY }
            }
            Expr::UnaryOp(u) if self.is_literal(module, &u.operand) => Value::Literal,
            Expr::BinOp(b) if self.is_literal(module, &b.left) && self.is_literal(module, &b.right) => {
                Value::Literal
            }
            Expr::Name(_) | Expr::Attribute(_) => {
                let all = self.world.index.resolve(module, expr);
                let all = all.iter().map(|m| match m {
                    // One step only: circles.
                    Meaning::Here(Place::Value(..)) => Value::ANY,
                    m => self.meaning(m),
                });
                all.reduce(|a, b| a.join(&b)).unwrap_or(Value::ANY)
            }
            Expr::Call(call) => {
                let all = self.world.index.resolve(module, &call.func);
                let [one] = all.as_slice() else { return Value::ANY };
                match crate::calls::full_name(one).as_deref() {
                    Some("builtins.object") => Value::Literal,
                    Some(name) => crate::calls::instance_of(name).map_or(Value::ANY, Value::OutsideMade),
                    None => Value::ANY,
                }
            }
            _ => Value::ANY,
        }
    }

    fn constants(&self, module: &'a Module<'a>, elements: &'a [Expr]) -> Value<'a> {
        if elements.iter().all(|e| self.is_literal(module, e)) { Value::Literal } else { Value::ANY }
    }

    fn is_literal(&self, module: &'a Module<'a>, expr: &'a Expr) -> bool {
        !matches!(expr, Expr::Name(_) | Expr::Attribute(_))
            && matches!(self.constant(module, expr), Value::Literal | Value::Text(_))
    }

    /// `owner.name`, read.
    pub fn attribute(&mut self, owner: &Value<'a>, name: &str, flow: &mut Flow<'a>) -> Step<Value<'a>> {
        let mut out: Option<Value<'a>> = None;
        for owner in owner.each() {
            let value = match &owner {
                Value::This => self.read(name, flow)?,
                Value::Literal | Value::Text(_) | Value::Bool(_) => Value::Literal,
                Value::StateKey => {
                    self.text_keys = true;
                    Value::Literal
                }
                Value::Any(_) => {
                    self.need(&owner, &format!("the attribute {name}"))?;
                    Value::Literal
                }
                Value::TypeOf if matches!(name, "__name__" | "__qualname__" | "__module__" | "__doc__") => {
                    Value::Literal
                }
                Value::Class(class) => self.class_attribute(class, name, &owner)?,
                Value::Module(module) => self.global_of(module, name),
                Value::Outside(outside) => Value::Outside(format!("{outside}.{name}").as_str().into()),
                Value::OutsideMade(class) => Value::Outside(format!("{class}().{name}").as_str().into()),
                Value::Super(after, this) => self.super_attribute(after, this, name)?,
                Value::Function(..) | Value::Method(..) if name.starts_with("__") && name.ends_with("__") => {
                    match name {
                        "__name__" | "__qualname__" | "__module__" | "__doc__" => Value::Literal,
                        "__func__" => owner.clone(),
                        _ => return Err(format!("reads {name} of a function")),
                    }
                }
                _ => return Err(format!("reads the attribute {name} of something else")),
            };
            out = Some(out.map_or(value.clone(), |old| old.join(&value)));
        }
        Ok(out.unwrap_or(Value::ANY))
    }

    fn class_attribute(&mut self, class: &'a Class<'a>, name: &str, owner: &Value<'a>) -> Step<Value<'a>> {
        if matches!(name, "__name__" | "__qualname__" | "__module__" | "__doc__" | "__version__") {
            return Ok(Value::Literal);
        }
        if self.world.is_patched(class, Some(name)) {
            return Err(format!("reads {name} of a class, which is assigned from outside"));
        }
        let ancestry = self.world.ancestry(class);
        let ancestry = ancestry.as_ref().as_ref().map_err(Clone::clone)?;
        // Names and values of members.
        if ancestry.meta == Meta::Enum && matches!(name, "_value2member_map_" | "_member_names_") {
            return Ok(Value::Literal);
        }
        let mut out: Option<Value<'a>> = None;
        for found in ancestry.find(self.world.index, name) {
            let value = match found {
                Found::Function(c, def) => {
                    match crate::objects::decoration(c.module, def, self.world.index) {
                        crate::objects::Decoration::Plain | crate::objects::Decoration::Static => {
                            Value::Function(c.module, def)
                        }
                        crate::objects::Decoration::Class => Value::Method(Box::new(owner.clone()), c, def),
                        _ => return Err(format!("reads {name} of a class, which is computed")),
                    }
                }
                Found::Value(c, expr) => match self.constant(c.module, expr) {
                    Value::Any(_) => Value::ANY,
                    value => value,
                },
                Found::Class(c) => Value::Class(c),
                Found::Known(k) => Value::Outside(format!("{}.{name}", k.name).as_str().into()),
                Found::Dynamic => Value::ANY,
            };
            out = Some(out.map_or(value.clone(), |old| old.join(&value)));
        }
        Ok(out.unwrap_or(Value::ANY))
    }

    fn super_attribute(&mut self, after: &'a Class<'a>, this: &Value<'a>, name: &str) -> Step<Value<'a>> {
        let Some(class) = self.class else { return Err("calls super() outside of a class".into()) };
        if self.world.is_patched(class, Some(name)) {
            return Err(format!("reads {name} of a base class, which is assigned from outside"));
        }
        let ancestry = self.world.ancestry(class);
        let ancestry = ancestry.as_ref().as_ref().map_err(Clone::clone)?;
        let mut out: Option<Value<'a>> = None;
        for found in ancestry.find_after(self.world.index, after, name) {
            let value = match found {
                Found::Function(c, def) => {
                    use crate::objects::Decoration;
                    match crate::objects::decoration(c.module, def, self.world.index) {
                        Decoration::Plain | Decoration::Class => {
                            Value::Method(Box::new(this.clone()), c, def)
                        }
                        Decoration::Static => Value::Function(c.module, def),
                        _ => return Err(format!("reads {name} of a base class, which is computed")),
                    }
                }
                Found::Known(k) => {
                    let name = format!("{}.{name}", k.name);
                    // A method of the table's class, bound to the object.
                    Value::Outside(format!("super:{name}").as_str().into())
                }
                _ => return Err(format!("{name} of a base class is computed")),
            };
            out = Some(out.map_or(value.clone(), |old| old.join(&value)));
        }
        // No base has it: reading it raises.
        Ok(out.unwrap_or(Value::Outside("missing".into())))
    }
}
