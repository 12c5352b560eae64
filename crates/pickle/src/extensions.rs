//! EXT1, EXT2, EXT4: objects by number, from a registry that the stream itself may have filled.
//!
//! Both readers look into `copyreg._extension_cache` first, then into `copyreg._inverted_registry`, and cache what
//! they find; so the first use of a number decides what it means from then on. The C reader refuses numbers below
//! one at once, the Python reader only if they are not registered.

use crate::heap::Callee;
use crate::observer::{Args, Observer};
use crate::state::State;
use crate::val::Val;
use crate::value::Value;
use hashbrown::HashMap;
use wb_verdict::How;

/// What the stream put into the registries.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extensions {
    /// Module and name, by number.
    registered: HashMap<i64, (Val, Val)>,
    cached: HashMap<i64, Val>,
}

impl State {
    /// EXT1, EXT2, EXT4.
    pub(crate) fn extension(
        &mut self,
        code: i64,
        at: u64,
        obs: &mut dyn Observer,
    ) -> Result<Val, &'static str> {
        if let Some(&v) = self.extensions.cached.get(&code) {
            return Ok(v);
        }
        if let Some(&(module, name)) = self.extensions.registered.get(&code) {
            // Imported now, under the protocol that holds now.
            let v = self.stack_global(module, name, at, obs)?;
            self.extensions.cached.insert(code, v);
            return Ok(v);
        }
        let callee = Callee::other(format!("copyreg.extension({code})"), "copyreg");
        let v = self.global(callee, at, obs);
        self.emit(obs, at, How::Ext, v.payload() as u32, Args::Items(&[]), None, false);
        Ok(v)
    }

    /// `copyreg._inverted_registry[code] = (module, name)`.
    pub(crate) fn register_extensions(&mut self, items: &[Val]) {
        for pair in items.chunks_exact(2) {
            if let [k, v] = *pair
                && let Some([m, n]) = self.items(v).as_deref().and_then(|i| <[Val; 2]>::try_from(i).ok())
            {
                self.register_extension(m, n, k);
            }
        }
    }

    /// Registers the number `code` for `module.name`.
    pub(crate) fn register_extension(&mut self, module: Val, name: Val, code: Val) {
        if let Some(code) = self.number(code) {
            self.heap.charge(64);
            self.extensions.registered.insert(code, (module, name));
        }
    }

    /// `copyreg._extension_cache[code] = object`.
    pub(crate) fn cache_extensions(&mut self, items: &[Val]) {
        for pair in items.chunks_exact(2) {
            if let [k, v] = *pair
                && let Some(code) = self.number(k)
            {
                self.heap.charge(64);
                self.extensions.cached.insert(code, v);
            }
        }
    }

    /// The integer that this is as a key: `True` and `1.0` are 1.
    fn number(&self, v: Val) -> Option<i64> {
        match self.value(v) {
            Value::Int(n) => Some(n),
            Value::Bool(b) => Some(i64::from(b)),
            Value::Float(f) if f.fract() == 0.0 && f.abs() < 1e15 => Some(f as i64),
            _ => None,
        }
    }
}
