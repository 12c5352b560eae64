//! Functions that a model defines: they resolve operators, and they may call each other.

use super::flow::Sources;
use super::operators::normal;
use crate::cx::Cx;
use std::collections::HashMap;
use wb_verdict::{FactKind, escape};

/// A function of the model.
#[derive(Default)]
struct Function {
    shown: String,
    /// Nodes of its own.
    nodes: u64,
    /// Functions it calls, once for each call.
    calls: Vec<usize>,
    /// Where its outputs come from.
    outcome: Option<Sources>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Functions {
    all: Vec<Function>,
    by_name: HashMap<(String, String), usize>,
    /// The one whose body is being read.
    current: Option<usize>,
    /// Functions that the graph calls.
    called: Vec<usize>,
}

impl Functions {
    /// Takes note of a function; false if there is one of that name.
    pub(super) fn add(&mut self, domain: &str, name: &str) -> bool {
        let key = (normal(domain).to_string(), name.to_string());
        if self.by_name.contains_key(&key) {
            return false;
        }
        let shown = format!("{}::{}", escape(&key.0), escape(name));
        self.by_name.insert(key, self.all.len());
        self.all.push(Function { shown, ..Function::default() });
        true
    }

    pub(super) fn find(&self, domain: &str, name: &str) -> Option<usize> {
        if self.all.is_empty() {
            return None;
        }
        self.by_name.get(&(normal(domain).to_string(), name.to_string())).copied()
    }

    /// From here on nodes belong to this function.
    pub(super) fn enter(&mut self, function: Option<usize>) {
        self.current = function;
    }

    /// Counts a node of the function being read.
    pub(super) fn node(&mut self) {
        if let Some(f) = self.current.and_then(|c| self.all.get_mut(c)) {
            f.nodes += 1;
        }
    }

    /// Takes note of a call.
    pub(super) fn call(&mut self, callee: usize) {
        match self.current.and_then(|c| self.all.get_mut(c)) {
            Some(f) => f.calls.push(callee),
            None => self.called.push(callee),
        }
    }

    pub(super) fn set_outcome(&mut self, function: usize, outcome: Sources) {
        if let Some(f) = self.all.get_mut(function) {
            f.outcome = Some(outcome);
        }
    }

    pub(super) fn outcome(&self, function: usize) -> Option<Sources> {
        self.all.get(function).and_then(|f| f.outcome)
    }

    /// Functions that call themselves never end; few that call each other twice each grow beyond any memory.
    pub(super) fn judge(&self, cx: &mut Cx<'_>) {
        const MOST: u64 = 20_000_000;
        // A function is done when all it calls are.
        let mut waiting: Vec<usize> = self.all.iter().map(|f| f.calls.len()).collect();
        let mut callers: Vec<Vec<usize>> = vec![Vec::new(); self.all.len()];
        for (caller, f) in self.all.iter().enumerate() {
            f.calls.iter().for_each(|c| callers[*c].push(caller));
        }
        let mut sizes: Vec<u64> = self.all.iter().map(|f| f.nodes).collect();
        let mut done: Vec<usize> = (0..self.all.len()).filter(|f| waiting[*f] == 0).collect();
        let mut count = 0;
        while let Some(f) = done.pop() {
            count += 1;
            for &caller in &callers[f] {
                sizes[caller] = sizes[caller].saturating_add(sizes[f]);
                waiting[caller] -= 1;
                if waiting[caller] == 0 {
                    done.push(caller);
                }
            }
        }
        if count < self.all.len() {
            let f = waiting.iter().position(|w| *w > 0).map_or("", |f| &self.all[f].shown);
            let detail = format!("{f} calls itself");
            cx.fact(None, FactKind::Resource { code: "onnx-function-recursion".into(), detail });
        } else if self.called.iter().fold(0u64, |n, f| n.saturating_add(sizes[*f])) > MOST {
            let detail = "inlined, the functions of the model have more nodes than memory holds".to_string();
            cx.fact(None, FactKind::Resource { code: "onnx-function-expansion".into(), detail });
        }
    }
}
