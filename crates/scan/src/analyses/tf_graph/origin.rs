//! Where the name of a file comes from: followed backwards through inputs, functions and variables.

use super::{Function, Graph, Node};
use std::cell::Cell;
use std::collections::{HashMap, HashSet};

/// All steps backwards in one graph: enough for a hundred thousand savers.
const MAX_ALL_VISITS: u32 = 4_000_000;

/// What a tensor is made of: the union over everything that can flow into it.
#[derive(Debug, Default, Clone)]
pub(super) struct Origin {
    /// The saver's file name, which only the saver feeds.
    pub saver: bool,
    /// The path of an asset of the model.
    pub asset: bool,
    /// Given by whoever runs the graph.
    pub given: bool,
    /// Something that was not followed.
    pub unknown: bool,
    /// Constants.
    pub texts: Vec<Vec<u8>>,
    /// How many of them are graphs that are judged on their own.
    pub graphs: usize,
}

impl Origin {
    /// For messages: the constants, or where else it comes from.
    pub(super) fn say(&self) -> String {
        let texts: Vec<_> = self.texts.iter().take(4).map(|t| format!("\"{}\"", short(t))).collect();
        let other = [
            (self.given, "an input"),
            (self.saver, "the saver's file name"),
            (self.unknown, "a computed value"),
        ];
        let other = other.iter().filter(|(is, _)| *is).map(|(_, what)| (*what).to_string());
        texts.into_iter().chain(other).collect::<Vec<_>>().join(", ")
    }
}

fn short(text: &[u8]) -> String {
    wb_verdict::escape_bytes(&text[..text.len().min(120)])
}

/// The main graph, or a function by index.
pub(super) type Scope = Option<usize>;

/// Look-ups by name.
pub(super) struct Index<'g> {
    graph: &'g Graph,
    nodes: HashMap<(Scope, &'g str), Vec<usize>>,
    functions: HashMap<&'g str, usize>,
    /// Nodes that call a function, by function.
    callers: HashMap<usize, Vec<(Scope, usize)>>,
    /// Nodes that assign to a variable, by the name of the variable's node.
    assigns: HashMap<&'g str, Vec<(Scope, usize)>>,
    /// Arguments of functions, by function and name.
    arguments: HashMap<(usize, &'g str), usize>,
    assets: HashSet<&'g str>,
    savers: HashSet<&'g str>,
    bound: HashSet<(&'g str, usize)>,
    /// Steps that may still be taken backwards in this graph.
    visits: Cell<u32>,
}

/// The node that an input names, without output and control marks.
pub(super) fn base(input: &str) -> &str {
    let input = input.strip_prefix('^').unwrap_or(input);
    input.split(':').next().unwrap_or(input)
}

impl<'g> Index<'g> {
    pub(super) fn new(graph: &'g Graph) -> Self {
        let mut index = Self {
            graph,
            nodes: HashMap::new(),
            functions: graph.functions.iter().enumerate().map(|(i, f)| (&f.name[..], i)).collect(),
            callers: HashMap::new(),
            assigns: HashMap::new(),
            arguments: HashMap::new(),
            assets: graph.assets.iter().map(|a| base(a)).collect(),
            savers: graph.saver_names.iter().map(|a| base(a)).collect(),
            bound: graph.bound_assets.iter().map(|(f, k)| (&f[..], *k)).collect(),
            visits: Cell::new(MAX_ALL_VISITS),
        };
        for (f, function) in graph.functions.iter().enumerate() {
            for (k, argument) in function.arguments.iter().enumerate() {
                index.arguments.entry((f, &argument[..])).or_insert(k);
            }
        }
        let scopes = std::iter::once(None).chain((0..graph.functions.len()).map(Some));
        for scope in scopes {
            for (i, node) in index.nodes_of(scope).iter().enumerate() {
                index.nodes.entry((scope, &node.name[..])).or_default().push(i);
                for called in node.functions.iter().chain(&node.ops) {
                    if let Some(f) = index.functions.get(&called[..]) {
                        index.callers.entry(*f).or_default().push((scope, i));
                    }
                }
                if node.ops.iter().any(|o| matches!(&o[..], "Assign" | "AssignVariableOp"))
                    && let Some(variable) = node.inputs.first()
                {
                    index.assigns.entry(base(variable)).or_default().push((scope, i));
                }
            }
        }
        index
    }

    pub(super) fn nodes_of(&self, scope: Scope) -> &'g [Node] {
        match scope {
            None => &self.graph.nodes,
            Some(f) => &self.graph.functions[f].nodes,
        }
    }

    pub(super) fn function(&self, name: &str) -> Option<usize> {
        self.functions.get(name).copied()
    }

    pub(super) fn named(&self, scope: Scope, name: &'g str) -> &[usize] {
        self.nodes.get(&(scope, name)).map_or(&[], Vec::as_slice)
    }

    fn argument(&self, scope: Scope, name: &str) -> Option<(&'g Function, usize, usize)> {
        let f = scope?;
        self.arguments.get(&(f, name)).map(|k| (&self.graph.functions[f], f, *k))
    }

    /// What flows into `input` of a node in `scope`.
    pub(super) fn origin(&self, scope: Scope, input: &'g str) -> Origin {
        const MAX_VISITS: usize = 20_000;
        let mut out = Origin::default();
        let mut seen = HashSet::new();
        let mut todo = vec![(scope, base(input))];
        while let Some((scope, name)) = todo.pop() {
            if !seen.insert((scope, name)) {
                continue;
            }
            let left = self.visits.get();
            if seen.len() > MAX_VISITS || left == 0 {
                out.unknown = true;
                break;
            }
            self.visits.set(left - 1);
            let mut known = false;
            if let Some((function, f, k)) = self.argument(scope, name) {
                known = true;
                self.argument_origin(function, f, k, &mut out, &mut todo);
            }
            if scope.is_none() && self.assets.contains(name) {
                out.asset = true;
                continue;
            }
            let saver = scope.is_none() && self.savers.contains(name);
            out.saver |= saver;
            for &i in self.named(scope, name) {
                known = true;
                self.through(scope, &self.nodes_of(scope)[i], saver, &mut out, &mut todo);
            }
            out.unknown |= !known;
        }
        out
    }

    /// One step backwards through a node.
    fn through(
        &self,
        scope: Scope,
        node: &'g Node,
        saver: bool,
        out: &mut Origin,
        todo: &mut Vec<(Scope, &'g str)>,
    ) {
        const MAX_TEXTS: usize = 64;
        if node.is("Const") || node.is("HostConst") {
            out.unknown |= node.more_values || out.texts.len() >= MAX_TEXTS;
            if out.texts.len() < MAX_TEXTS {
                out.texts.extend(node.values.iter().cloned());
                out.graphs += node.graphs;
            }
            return;
        }
        if node.is("Placeholder") || node.is("PlaceholderV2") || node.is("_Arg") {
            out.given |= !saver;
            return;
        }
        if node.is("PlaceholderWithDefault") && !saver {
            // A saver that this meta graph does not name: several savers leave their nodes in one graph.
            let default = node.inputs.first().map(|i| self.origin_of_default(scope, i));
            if default.as_ref().is_some_and(super::judge::is_savers) {
                out.saver = true;
            } else {
                out.given = true;
            }
        }
        let variable =
            ["ReadVariableOp", "Variable", "VariableV2", "VarHandleOp"].iter().any(|op| node.is(op));
        if variable {
            let name: &str = if node.is("ReadVariableOp") {
                node.inputs.first().map_or("", |i| base(i))
            } else {
                &node.name
            };
            let assigns = self.assigns.get(name).map_or(&[][..], Vec::as_slice);
            out.unknown |= assigns.is_empty();
            for &(scope, i) in assigns {
                if let Some(value) = self.nodes_of(scope)[i].inputs.get(1) {
                    todo.push((scope, base(value)));
                }
            }
            return;
        }
        // A function's results are not followed.
        out.unknown |= node.functions.iter().chain(&node.ops).any(|f| self.functions.contains_key(&f[..]));
        let data = node.inputs.iter().filter(|i| !i.starts_with('^'));
        let before = todo.len();
        todo.extend(data.map(|i| (scope, base(i))));
        out.unknown |= todo.len() == before;
    }

    fn origin_of_default(&self, scope: Scope, input: &'g str) -> Origin {
        let mut out = Origin::default();
        let mut name = base(input);
        // `save/Const` takes its default from `save/filename`, and that from a constant.
        for _ in 0..4 {
            let Some(node) = self.named(scope, name).first().map(|i| &self.nodes_of(scope)[*i]) else {
                break;
            };
            if node.is("Const") {
                out.texts.extend(node.values.iter().cloned());
                out.unknown |= node.more_values;
                return out;
            }
            if !(node.is("PlaceholderWithDefault") || node.is("Identity")) {
                break;
            }
            let Some(next) = node.inputs.first() else { break };
            name = base(next);
        }
        out.unknown = true;
        out
    }

    /// An argument is what callers give, what loaders bind, or else whatever a user calls the function with.
    fn argument_origin(
        &self,
        function: &'g Function,
        f: usize,
        k: usize,
        out: &mut Origin,
        todo: &mut Vec<(Scope, &'g str)>,
    ) {
        let bound = self.bound.contains(&(&function.name[..], k));
        out.asset |= bound;
        let callers = self.callers.get(&f).map_or(&[][..], Vec::as_slice);
        out.given |= callers.is_empty() && !bound;
        for &(scope, i) in callers {
            let node = &self.nodes_of(scope)[i];
            let offset = match node.ops.first().map_or("", String::as_str) {
                "PartitionedCall" | "StatefulPartitionedCall" | "While" | "StatelessWhile" => 0,
                "If" | "StatelessIf" | "Case" | "StatelessCase" | "RemoteCall" => 1,
                op if op == function.name => 0,
                _ => {
                    out.unknown = true;
                    continue;
                }
            };
            match node.inputs.iter().filter(|i| !i.starts_with('^')).nth(k + offset) {
                Some(input) => todo.push((scope, base(input))),
                None => out.unknown = true,
            }
        }
    }

    /// Everything that running `roots` runs, functions included.
    pub(super) fn reachable(&self, roots: &'g [String]) -> HashSet<(Scope, usize)> {
        let mut seen = HashSet::new();
        let mut todo: Vec<(Scope, usize)> =
            roots.iter().flat_map(|r| self.named(None, base(r)).iter().map(|i| (None, *i))).collect();
        let mut entered = HashSet::new();
        while let Some((scope, i)) = todo.pop() {
            if !seen.insert((scope, i)) {
                continue;
            }
            let node = &self.nodes_of(scope)[i];
            for input in &node.inputs {
                todo.extend(self.named(scope, base(input)).iter().map(|i| (scope, *i)));
            }
            for called in node.functions.iter().chain(&node.ops) {
                if let Some(f) = self.function(called)
                    && entered.insert(f)
                {
                    todo.extend((0..self.graph.functions[f].nodes.len()).map(|i| (Some(f), i)));
                }
            }
        }
        seen
    }
}
