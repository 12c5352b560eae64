//! Methods that proofs cannot follow and that were read instead: a small table, each with what it does.
//!
//! Asked of each: does it run anything of the objects that it is given, beyond what their types define?

/// What a method does with what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// Keeps the value under the name, as `object.__setattr__` does.
    Sets,
}

/// Full name of the method and what it does.
const TABLE: &[(&str, Does)] = &[
    // torch/nn/modules/module.py (1.0 to 2.15): files a parameter, module or buffer into the object's own dicts, by its
    // type; hooks are called that the process has registered, and no stream can.
    ("torch.nn.modules.module.Module.__setattr__", Does::Sets),
];

/// What is known of a method.
pub fn reviewed(class: &str, method: &str) -> Option<Does> {
    let is = |name: &str| name.strip_prefix(class).and_then(|rest| rest.strip_prefix('.')) == Some(method);
    TABLE.iter().find(|(name, _)| is(name)).map(|(_, does)| *does)
}
