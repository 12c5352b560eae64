//! Attributes and items of abstract values, as `getattr` and `[]` find them.

use crate::heap::{Callee, Kind};
use crate::observer::Observer;
use crate::state::State;
use crate::text_calls::METHODS;
use crate::val::{Tag, Val};
use wb_verdict::How;

impl State {
    /// An imported module.
    pub(crate) fn module(&mut self, name: &str, at: u64, obs: &mut dyn Observer) -> Val {
        self.global(Callee::import(name, ""), at, obs)
    }

    /// `getattr(object, name)`, dotted names included.
    pub(crate) fn attr(
        &mut self,
        object: Val,
        name: &str,
        via: &str,
        at: u64,
        obs: &mut dyn Observer,
    ) -> Option<Val> {
        let callee = match object.tag() {
            Tag::Global => {
                let c = self.heap.callee(object.payload() as u32);
                if c.module.is_empty() {
                    Callee::other(format!("{}.{name}", c.rendering), &c.rendering)
                } else if c.name.is_empty() {
                    Callee { via: via.into(), ..Callee::import(&c.module, name) }
                } else {
                    Callee { via: via.into(), ..Callee::import(&c.module, &format!("{}.{name}", c.name)) }
                }
            }
            Tag::Object => {
                let o = self.heap.get_object(object)?;
                let made_by = &self.heap.callee(o.callee).rendering;
                Callee::other(format!("{made_by}(...).{name}"), made_by)
            }
            Tag::Persistent | Tag::Opaque => Callee::other(format!("<unknown object>.{name}"), "<unknown>"),
            _ => {
                let path = format!("{}.{name}", self.type_name(object));
                let method =
                    self.global(Callee { via: via.into(), ..Callee::import("builtins", &path) }, at, obs);
                if !METHODS.contains(&name) || method.tag() != Tag::Global {
                    return Some(method);
                }
                // A bound method: its text is its first argument.
                let bound = self.heap.intern(Callee::import("types", "MethodType"));
                let args = self.heap.seq(Kind::Tuple, &[method, object]);
                return Some(self.heap.object(bound, How::Indirect, args, Val::EMPTY_TUPLE, true));
            }
        };
        Some(self.global(callee, at, obs))
    }

    fn type_name(&self, v: Val) -> &'static str {
        match v.tag() {
            Tag::None => "NoneType",
            Tag::True | Tag::False => "bool",
            Tag::Str | Tag::Dunder => "str",
            Tag::Bytes => "bytes",
            Tag::Text => match self.heap.texts.get(v.index()) {
                Some(t) if t.is_str => "str",
                _ => "bytes",
            },
            Tag::Num => "int",
            _ => match self.heap.get_seq(v).map(|s| s.kind) {
                Some(Kind::List) => "list",
                Some(Kind::Dict) => "dict",
                Some(Kind::Set) => "set",
                Some(Kind::FrozenSet) => "frozenset",
                _ => "tuple",
            },
        }
    }

    /// `object[key]`.
    pub(crate) fn item(&mut self, object: Val, key: Val, at: u64, obs: &mut dyn Observer) -> Option<Val> {
        match object.tag() {
            Tag::Global => {
                let c = self.heap.callee(object.payload() as u32).clone();
                let key = self.name(key)?;
                if c.rendering == "sys.modules" {
                    return Some(self.module(&key, at, obs));
                }
                let owner = c.name.strip_suffix("__dict__")?.trim_end_matches('.').to_string();
                let name = if owner.is_empty() { key } else { format!("{owner}.{key}") };
                Some(self.global(
                    Callee { via: "item of __dict__".into(), ..Callee::import(&c.module, &name) },
                    at,
                    obs,
                ))
            }
            Tag::Object => {
                let o = self.heap.get_object(object)?;
                let made_by = self.heap.callee(o.callee).rendering.clone();
                let key = self.name(key)?;
                if key == "__builtins__" {
                    return Some(self.module("builtins", at, obs));
                }
                Some(self.global(Callee::other(format!("{made_by}(...)[{key}]"), &made_by), at, obs))
            }
            Tag::Str | Tag::Dunder | Tag::Text => self.text_item(object, key),
            Tag::Node | Tag::Span => {
                if self.heap.get_seq(object).is_some_and(|s| s.kind == Kind::Dict) {
                    let wanted = self.value(key);
                    let items = self.heap.get_seq(object)?.items.clone();
                    let found = items.chunks_exact(2).rev().find(|p| self.value(p[0]) == wanted)?;
                    return found.get(1).copied();
                }
                let i = self.value(key).as_int()?;
                let items = self.items(object)?;
                let i = if i < 0 { i + items.len() as i64 } else { i };
                items.get(usize::try_from(i).ok()?).copied()
            }
            _ => None,
        }
    }
}
