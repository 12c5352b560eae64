//! When what was found happens: by importing, by what loaders call, or only if somebody calls it.

use super::walk::Walk;
use super::{Found, When};
use std::collections::HashMap;

/// Joins what was found with when it happens.
pub(super) fn told(mut walk: Walk<'_>) -> Vec<Found> {
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, function) in walk.functions.iter().enumerate().filter(|(_, f)| f.in_class.is_some()) {
        by_name.entry(function.name).or_default().push(at);
    }
    let mut when = vec![When::Call; walk.owners.len()];
    // What importing calls for certain; then what loaders call, and methods of that name on objects not known.
    let mut todo = vec![0];
    while let Some(at) = todo.pop() {
        if let (Some(place), Some(owner)) = (when.get_mut(at), walk.owners.get(at))
            && *place != When::Import
        {
            *place = When::Import;
            todo.extend(owner.calls.iter().map(|f| f + 1));
        }
    }
    let hooks = walk.owners.iter().enumerate().filter(|(_, o)| o.hook).map(|(at, _)| at);
    let imported = when.iter().enumerate().filter(|(_, w)| **w == When::Import).map(|(at, _)| at);
    let mut todo: Vec<usize> = hooks.chain(imported).collect();
    let mut seen = vec![false; walk.owners.len()];
    while let Some(at) = todo.pop() {
        let (Some(place), Some(owner), Some(seen)) =
            (when.get_mut(at), walk.owners.get(at), seen.get_mut(at))
        else {
            continue;
        };
        if !std::mem::replace(seen, true) {
            *place = (*place).max(When::Load);
            todo.extend(owner.calls.iter().map(|f| f + 1));
            let methods = owner.methods.iter().filter_map(|m| by_name.get(m.as_str()));
            todo.extend(methods.flatten().map(|f| f + 1));
        }
    }
    let mut out = Vec::new();
    for (owner, when) in walk.owners.iter_mut().zip(when) {
        super::external::chains(&mut owner.found, when);
        for mut found in owner.found.drain(..) {
            found.when = found.when.max(when);
            out.push(found);
        }
    }
    out
}
