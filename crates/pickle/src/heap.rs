//! Containers, call results and callees: what the tagged values point to.

use crate::val::Val;
use hashbrown::{HashMap, HashSet};
use wb_verdict::How;

/// The built-in containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tuple,
    List,
    /// Items are keys and values in turn.
    Dict,
    Set,
    FrozenSet,
}

/// A container.
#[derive(Debug, Clone)]
pub(crate) struct Seq {
    pub kind: Kind,
    /// False once something that is not plain went in.
    pub plain: bool,
    /// True once items were left out of `items`.
    pub dropped: bool,
    /// True for a node that stands for many equal containers.
    pub shared: bool,
    /// A dict with the key `__setstate__` or `__class__`.
    pub planted: Option<Val>,
    /// A tuple that holds imports, itself or in tuples inside, which [`Heap::keep`] has not seen yet.
    pub imports: bool,
    /// Nodes of the tree that a reader without sharing would build.
    pub size: u64,
    pub items: Vec<Val>,
}

/// The result of a call.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    /// What was called.
    pub callee: u32,
    /// The arguments: a tuple.
    pub args: Val,
    pub kwargs: Val,
    /// The state of the last BUILD.
    pub state: Option<Val>,
    /// A `__setstate__` that the stream set on the object.
    pub planted: Option<Val>,
    pub builds: u8,
    /// True for a node that stands for many equal results: its state is that of any of them.
    pub shared: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Node {
    Seq(Seq),
    Object(Object),
    Persistent(Val),
}

/// Something that can be called: an import, a name worked out symbolically, or the result of a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Callee {
    /// Module after Python-2 mapping; empty if this is no import.
    pub module: String,
    /// Qualified name in the module; empty for a module or if this is no import.
    pub name: String,
    /// How it reads: `posix.system`, `operator.attrgetter(...)(...)`.
    pub rendering: String,
    /// If it is the result of a call or an attribute of one: the rendering of what was called.
    pub made_by: String,
    /// How the stream reached an import other than by naming it: `operator.attrgetter(...)(...)`; else empty.
    pub via: String,
}

/// What is asked about a callee at every call.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Traits {
    /// See [`Callee::is_plausible`].
    pub plausible: bool,
    /// Its result may be known without running it.
    pub symbolic: bool,
    /// It takes bytes and deserialises them.
    pub loads: bool,
    /// It builds a dict or set of its argument, hashing what it holds.
    pub hashes: bool,
    /// numpy's `dtype`: what its state says decides how memory is read.
    pub dtype: bool,
    /// Such a dtype, or a maker of the byte strings in its state: calls that cannot use it.
    pub aside: bool,
    /// Numbers among its arguments say how much memory or time it takes.
    pub sizes: bool,
    /// What its arguments were matters once the result is used.
    pub exact: bool,
}

/// A string or bytes worked out symbolically.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub bytes: Vec<u8>,
    pub is_str: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Heap {
    pub nodes: Vec<Node>,
    callees: Vec<Callee>,
    /// What is asked about a callee at every call, by id.
    traits: Vec<Traits>,
    pub texts: Vec<Text>,
    ids: HashMap<Callee, u32>,
    /// Imports that went into a container or a state.
    kept: HashSet<u32>,
    bytes: u64,
    /// Shared nodes used once the contents kept have reached [`Heap::KEEP`].
    shared: [Option<u32>; 5],
    shared_objects: HashMap<(u32, How), u32>,
}

impl Heap {
    /// Bytes of containers and objects kept one by one; beyond, equal ones share a node without contents.
    const KEEP: u64 = 24 << 20;
    /// Until here a shared node that is no longer plain is replaced by a fresh one.
    const RENEW: u64 = 96 << 20;
    const NODE: u64 = size_of::<Node>() as u64;

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn charge(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// True once equal call results share a node: their arguments are no longer told apart.
    pub(crate) fn full(&self) -> bool {
        self.bytes > Self::KEEP
    }

    fn push(&mut self, node: Node) -> u32 {
        self.bytes += Self::NODE;
        self.nodes.push(node);
        (self.nodes.len() - 1) as u32
    }

    /// A new container. Tuples always keep their items.
    pub(crate) fn seq(&mut self, kind: Kind, items: &[Val]) -> Val {
        use crate::val::Tag;
        if self.full()
            && kind != Kind::Tuple
            && let Some(at) = self.shared.get(kind as usize).copied().flatten()
            && (self.bytes > Self::RENEW || self.is_blank(at))
        {
            let v = Val::new(Tag::Node, u64::from(at));
            self.extend(v, items);
            return v;
        }
        let mut seq = Seq {
            kind,
            plain: true,
            dropped: false,
            shared: false,
            planted: None,
            imports: false,
            size: 1,
            items: Vec::new(),
        };
        if kind == Kind::Tuple {
            seq.items.reserve_exact(items.len());
        }
        let shared = self.full() && kind != Kind::Tuple;
        seq.dropped = shared;
        seq.shared = shared;
        let at = self.push(Node::Seq(seq));
        if shared && let Some(slot) = self.shared.get_mut(kind as usize) {
            *slot = Some(at);
        }
        let v = Val::new(Tag::Node, u64::from(at));
        self.extend(v, items);
        v
    }

    /// True for a shared node that nothing noteworthy went into.
    fn is_blank(&self, at: u32) -> bool {
        match self.nodes.get(at as usize) {
            Some(Node::Seq(s)) => s.plain && s.planted.is_none(),
            Some(Node::Object(o)) => o.planted.is_none(),
            _ => false,
        }
    }

    /// Adds items to a container; returns its size as a tree without sharing.
    pub(crate) fn extend(&mut self, to: Val, items: &[Val]) -> u64 {
        use crate::val::Tag;
        const MAX_ITEMS: usize = 4096;
        let mut plain = true;
        let mut imports = false;
        let mut size = items.len() as u64;
        for v in items.iter().filter(|v| !v.is_literal()) {
            match (v.tag(), self.nodes.get(v.index())) {
                (Tag::Node, Some(Node::Seq(s))) => {
                    plain &= s.plain;
                    imports |= s.imports;
                    size = size.saturating_add(s.size);
                }
                (Tag::Global, _) => {
                    plain = false;
                    imports = true;
                }
                _ => plain = false,
            }
        }
        let full = self.full();
        let Some(Node::Seq(seq)) = self.nodes.get_mut(to.index()) else { return 0 };
        let keep = seq.kind == Kind::Tuple || (!full && seq.items.len() + items.len() <= MAX_ITEMS);
        seq.plain &= plain;
        // What a tuple holds may be the arguments of a call; what another container holds is kept.
        let (tuple, tree) = (seq.kind == Kind::Tuple, seq.size.saturating_add(size));
        seq.imports |= tuple && imports;
        if keep && !seq.dropped {
            seq.items.extend_from_slice(items);
            self.bytes += items.len() as u64 * 8;
        } else {
            seq.dropped = true;
        }
        if !seq.shared {
            seq.size = tree;
        }
        let size = seq.size;
        if imports && !tuple {
            self.keep(items);
        }
        size
    }

    /// Notes the imports among `items` and in tuples among them: they are kept as data, whatever else is done with them.
    pub(crate) fn keep(&mut self, items: &[Val]) {
        use crate::val::Tag;
        let mut todo: Vec<Val> = items.iter().copied().filter(|v| !v.is_literal()).collect();
        while let Some(v) = todo.pop() {
            if v.tag() == Tag::Global {
                self.kept.insert(v.payload() as u32);
            } else if v.tag() == Tag::Node
                && let Some(Node::Seq(s)) = self.nodes.get_mut(v.index())
                // Each tuple is looked through once.
                && std::mem::take(&mut s.imports)
            {
                todo.extend(s.items.iter().copied().filter(|v| !v.is_literal()));
            }
        }
    }

    /// What [`Heap::keep`] has noted, by callee id.
    pub(crate) fn kept(&self) -> &HashSet<u32> {
        &self.kept
    }

    /// `list[index] = item`; without a known index the items are no longer known.
    pub(crate) fn replace(&mut self, list: Val, index: Option<i64>, item: Val) {
        self.keep(&[item]);
        let plain = item.is_literal() || self.get_seq(item).is_some_and(|s| s.plain);
        let Some(Node::Seq(seq)) = self.nodes.get_mut(list.index()) else { return };
        seq.plain &= plain;
        let len = seq.items.len() as i64;
        let at = index.map(|i| if i < 0 { i + len } else { i }).and_then(|i| usize::try_from(i).ok());
        match at.and_then(|i| seq.items.get_mut(i)) {
            Some(slot) if !seq.dropped => *slot = item,
            // A slice as index puts in what it likes.
            _ => {
                seq.dropped = true;
                seq.plain = false;
                seq.items.clear();
            }
        }
    }

    pub(crate) fn get_seq(&self, v: Val) -> Option<&Seq> {
        match (v.tag(), self.nodes.get(v.index())) {
            (crate::val::Tag::Node, Some(Node::Seq(s))) => Some(s),
            _ => None,
        }
    }

    pub(crate) fn get_object(&self, v: Val) -> Option<&Object> {
        match (v.tag(), self.nodes.get(v.index())) {
            (crate::val::Tag::Object, Some(Node::Object(o))) => Some(o),
            _ => None,
        }
    }

    pub(crate) fn object_mut(&mut self, v: Val) -> Option<&mut Object> {
        match (v.tag(), self.nodes.get_mut(v.index())) {
            (crate::val::Tag::Object, Some(Node::Object(o))) => Some(o),
            _ => None,
        }
    }

    /// The result of a call. Results with `exact` (whose arguments matter later) are always kept one by one.
    pub(crate) fn object(&mut self, callee: u32, how: How, args: Val, kwargs: Val, exact: bool) -> Val {
        use crate::val::Tag;
        let share = self.full() && !exact;
        if share
            && let Some(&at) = self.shared_objects.get(&(callee, how))
            && (self.bytes > Self::RENEW || self.is_blank(at))
        {
            return Val::new(Tag::Object, u64::from(at));
        }
        let at = self.push(Node::Object(Object {
            callee,
            args,
            kwargs,
            state: None,
            planted: None,
            builds: 0,
            shared: share,
        }));
        if share {
            self.shared_objects.insert((callee, how), at);
        }
        Val::new(Tag::Object, u64::from(at))
    }

    pub(crate) fn persistent(&mut self, id: Val) -> Val {
        let at = self.push(Node::Persistent(id));
        Val::new(crate::val::Tag::Persistent, u64::from(at))
    }

    pub(crate) fn text(&mut self, bytes: Vec<u8>, is_str: bool) -> Val {
        self.bytes += bytes.len() as u64 + 32;
        self.texts.push(Text { bytes, is_str });
        Val::new(crate::val::Tag::Text, (self.texts.len() - 1) as u64)
    }

    pub(crate) fn intern(&mut self, callee: Callee) -> u32 {
        if let Some(&id) = self.ids.get(&callee) {
            return id;
        }
        let id = self.callees.len() as u32;
        let text = callee.module.len() + callee.name.len() + callee.rendering.len() + callee.made_by.len();
        self.bytes += 2 * (text as u64 + 160);
        self.traits.push(callee.traits());
        self.callees.push(callee.clone());
        self.ids.insert(callee, id);
        id
    }

    /// Takes over the names of another reading that went on from this one, or that this one went on from: ids are the
    /// same for the same name in all readings of a run.
    pub(crate) fn adopt_names(&mut self, other: &Self) {
        if other.callees.len() > self.callees.len() {
            self.callees.clone_from(&other.callees);
            self.traits.clone_from(&other.traits);
            self.ids.clone_from(&other.ids);
        }
    }

    pub(crate) fn traits(&self, id: u32) -> Traits {
        self.traits.get(id as usize).copied().unwrap_or_default()
    }

    pub(crate) fn callee(&self, id: u32) -> &Callee {
        static NONE: Callee = Callee {
            module: String::new(),
            name: String::new(),
            rendering: String::new(),
            made_by: String::new(),
            via: String::new(),
        };
        self.callees.get(id as usize).unwrap_or(&NONE)
    }
}
