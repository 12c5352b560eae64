//! What a pickle does, recorded as facts: calls classified by the catalogue, nested pickles scanned.

use super::pickle::{Plausible, import_of, plausible};
use super::{checkpoint_state, joblib, kd_tree, numpy_state, torch_legacy::Storages, weights_only};
use crate::catalogue;
use crate::cx::Cx;
use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};
use std::ops::Range;
use wb_blob::Blob;
use wb_pickle::{Callee, Nested, Observer, PendingCall, PendingValue, Run, Skip, Value};
use wb_verdict::{CallClass, FactKind, How, escape};

/// Distinct renderings recorded of one callee in one use; further ones are counted on the last.
const MAX_DISTINCT: u32 = 16;

/// Arrays of a stream whose place is remembered.
const MAX_ARRAYS: usize = 100_000;

/// One use of one callee, as far as the catalogue's answer can differ.
#[derive(PartialEq, Eq, Hash, Clone, Copy)]
struct Use {
    callee: u32,
    how: How,
    on_import: bool,
    tampered: bool,
    plain: bool,
    /// Without arguments: there is nothing that the answer could depend on.
    bare: bool,
    /// See [`PendingCall::asks`].
    asks: bool,
}

struct Known {
    /// The answer, if it does not depend on arguments.
    class: Option<CallClass>,
    /// Facts recorded so far.
    distinct: u32,
    /// The fact that further occurrences are counted on.
    fact: Option<(u64, FactKind)>,
    more: u64,
    /// When it was first seen, among uses and imports: one opcode can lead to several.
    order: u64,
}

/// Turns the machine's events into facts.
pub(super) struct Collector<'c, 'a> {
    cx: &'c mut Cx<'a>,
    blob: &'c Blob,
    known: HashMap<Use, Known>,
    /// Imports by callee id: first offset, and when among uses and imports.
    imports: HashMap<u32, (u64, u64, Callee)>,
    /// Uses and imports seen.
    order: u64,
    called: HashSet<u32>,
    /// Imports that are kept as data as well, once the run is over.
    kept: HashSet<u32>,
    facts: u64,
    /// Ranges handed to deserialisers and scanned already.
    nested: HashSet<(u64, u64)>,
    /// Raw arrays of a joblib stream, by the wrapper in front of them.
    arrays: HashMap<u64, Range<u64>>,
    /// Storages named by persistent ids (torch's legacy format).
    pub storages: Storages,
    /// True if the loader has storages that persistent ids name: torch's.
    pub torch: bool,
    /// Persistent ids that no loader but the file's own knows: recorded so far.
    foreign_ids: u32,
    /// The first thing that torch's weights-only unpickler refuses.
    refused: Option<(u64, String)>,
}

impl<'c, 'a> Collector<'c, 'a> {
    /// For the pickle at the offset `at` of `blob`.
    pub(super) fn new(cx: &'c mut Cx<'a>, blob: &'c Blob, at: u64) -> Self {
        if cx.lists_opcodes() {
            list(cx, blob, at);
        }
        let torch = cx.in_torch;
        Self {
            cx,
            blob,
            known: HashMap::new(),
            imports: HashMap::new(),
            order: 0,
            called: HashSet::new(),
            kept: HashSet::new(),
            facts: 0,
            nested: HashSet::new(),
            arrays: HashMap::new(),
            storages: Storages::default(),
            torch,
            foreign_ids: 0,
            refused: None,
        }
    }

    /// Takes note of what only the end of the run tells: imports that are kept, and opcodes that torch's weights-only
    /// unpickler does not have.
    pub(super) fn note(&mut self, run: &Run) {
        self.kept.extend(&run.kept);
        if self.torch
            && self.refused.is_none()
            && let Some(name) = run.not_weights_only.first()
        {
            self.refused = Some((0, format!("it has no opcode {name}")));
        }
    }

    fn refuse(&mut self, offset: u64, why: impl FnOnce() -> Option<String>) {
        if self.torch && self.refused.is_none() {
            self.refused = why().map(|w| (offset, w));
        }
    }

    /// Records what is left: counts, and imports that were never called. With `sure` false imports of
    /// modules that nobody knows are no facts: text may look like them. Returns the number of facts.
    pub(super) fn finish(self, sure: bool) -> u64 {
        self.finish_with_storages(sure).0
    }

    pub(super) fn finish_with_storages(mut self, sure: bool) -> (u64, Storages) {
        let mut rest: Vec<(u64, u64, FactKind)> = Vec::new();
        for known in self.known.into_values() {
            if let Some((at, mut fact)) = known.fact
                && known.more > 0
            {
                if let FactKind::Call { count, .. } = &mut fact {
                    *count = known.more;
                }
                rest.push((at, known.order, fact));
            }
        }
        for (id, (at, order, callee)) in self.imports {
            let called = self.called.contains(&id);
            if called && !self.kept.contains(&id) {
                continue;
            }
            let Some(kind) = held(at, &callee, sure, self.torch) else { continue };
            // A harmless call does not make up for what the same name is kept for.
            if called && !is_reviewed_against(&kind) {
                continue;
            }
            rest.push((at, order, kind));
        }
        if let Some((at, why)) = self.refused {
            rest.push((at, u64::MAX, refused(weights_only::LOADER, &why)));
        }
        rest.sort_by_key(|(at, order, _)| (*at, *order));
        self.facts += rest.len() as u64;
        for (at, _, kind) in rest {
            self.cx.fact(Some(at), kind);
        }
        (self.facts, self.storages)
    }
}

impl Observer for Collector<'_, '_> {
    fn import(&mut self, offset: u64, id: u32, callee: &Callee) {
        self.refuse(offset, || weights_only::refuses(callee, How::Data, false));
        /// Imports kept until it is known whether they are called; further ones are recorded at once.
        const MAX_KEPT: usize = 20_000;
        if self.imports.len() >= MAX_KEPT {
            if !self.imports.contains_key(&id)
                && let Some(kind) = held(offset, callee, true, self.torch)
            {
                self.facts += 1;
                self.cx.fact(Some(offset), kind);
            }
            return;
        }
        if let Entry::Vacant(new) = self.imports.entry(id) {
            self.order += 1;
            new.insert((offset, self.order, callee.clone()));
            self.cx.explain(offset, || match (callee.module.as_str(), callee.name.as_str()) {
                ("", _) => format!("# reaches {}", escape(&callee.rendering)),
                (module, "") => format!("import {}", escape(module)),
                (module, name) => format!("from {} import {}", escape(module), escape(name)),
            });
        }
    }

    fn call(&mut self, call: &PendingCall<'_>) {
        if call.is_second_reading() {
            let decoded = call.decode();
            match catalogue::classify(&decoded.as_call()) {
                CallClass::Harmless => return,
                // Raw numbers spell names that are none by chance, and now and then an opcode that changes or calls the
                // wrapper in front of them, which has nothing to change or call.
                CallClass::Unknown | CallClass::Unresolved
                    if matches!(
                        call.how,
                        How::Build | How::Append | How::SetItem | How::AddItems | How::Hash
                    ) || call.callee().module.is_empty()
                        || !call.callee().is_plausible() =>
                {
                    return;
                }
                _ => {}
            }
        }
        self.cx.explain(call.offset, || call.decode().rendering());
        self.refuse(call.offset, || weights_only::refuses(call.callee(), call.how, call.on_import));
        let key = Use {
            callee: call.callee_id(),
            how: call.how,
            on_import: call.on_import,
            tampered: call.tampered,
            plain: call.plain(),
            bare: call.is_bare(),
            asks: call.asks(),
        };
        let known = self.known.entry(key).or_insert_with(|| {
            self.called.insert(call.callee_id());
            self.order += 1;
            Known { class: None, distinct: 0, fact: None, more: 0, order: self.order }
        });
        if known.fact.is_some() && known.class.is_some() {
            known.more += 1;
            return;
        }
        // Decoding costs more than an opcode; the machine stops when the budget is spent.
        let _ = self.cx.budget.steps(500);
        let decoded = call.decode();
        let as_call = decoded.as_call();
        let class = classify(&as_call, self.torch);
        let fixed = key.bare
            || (!key.asks
                && !catalogue::depends_on_args(
                    as_call.module,
                    as_call.name,
                    as_call.how,
                    as_call.plain_args,
                ));
        let harmless = class == CallClass::Harmless;
        let (module, name) = catalogue::subject(&as_call, &class);
        let fact = |count| FactKind::Call {
            callable: short(as_call.callable),
            module: short(module),
            name: short(name),
            how: call.how,
            call: class.clone(),
            rendering: decoded.rendering(),
            plain_args: as_call.plain_args,
            count,
        };
        if harmless && known.fact.as_ref().is_some_and(|(_, f)| is_harmless(f)) {
            known.more += 1;
            return;
        }
        if known.distinct >= MAX_DISTINCT && (fixed || harmless) {
            known.more += 1;
            return;
        }
        known.distinct += 1;
        self.facts += 1;
        if harmless || (fixed && known.distinct >= MAX_DISTINCT) {
            // Occurrences from here on differ in nothing that matters: they are counted, at the first place.
            known.fact = Some((call.offset, fact(1)));
            known.more = 1;
            if fixed {
                known.class = Some(class.clone());
            }
            return;
        }
        self.cx.fact(Some(call.offset), fact(1));
    }

    fn structure(&mut self, offset: u64, code: &'static str, detail: &str) {
        self.facts += 1;
        self.cx.explain(offset, || format!("# {code}: {}", escape(detail)));
        self.cx.structure(offset, code, escape(detail));
    }

    fn resource(&mut self, offset: u64, code: &'static str, detail: &str) {
        self.facts += 1;
        self.cx.explain(offset, || format!("# {code}: {}", escape(detail)));
        self.cx.fact(Some(offset), FactKind::Resource { code: code.into(), detail: escape(detail) });
    }

    fn nested(&mut self, offset: u64, by: &str, bytes: Nested) {
        let blob = match bytes {
            Nested::Range(range) => {
                if !self.nested.insert((range.start, range.end)) {
                    return;
                }
                self.blob.sub(range)
            }
            Nested::Bytes(bytes) => Blob::from_vec(bytes),
        };
        if let Err(e) = self.cx.budget.entries(1) {
            return self.cx.stop(e.into());
        }
        // What a deserialiser is given is scanned under every reading; other bytes only if they are a pickle.
        if by.ends_with("loads")
            || by.ends_with("_load_from_bytes")
            || plausible(&blob, 0).0 == Plausible::Yes
        {
            self.cx.member(format!("bytes@{offset:#x}").as_bytes(), &blob);
        }
    }

    fn persistent(&mut self, id: &PendingValue<'_>) {
        let id_value = id.value();
        self.storages.add(&id_value);
        let storage = is_storage(&id_value);
        // torch's legacy reader also keeps classes under ids, with their source to compare with.
        if self.torch && (storage || is_module(&id_value)) {
            if !storage {
                self.refuse(id.offset(), || Some("it takes the ids of storages only".into()));
            }
            return;
        }
        self.refuse(id.offset(), || Some("it takes the ids of storages only".into()));
        if self.foreign_ids == 0 && !self.torch {
            self.cx.fact(Some(id.offset()), refused("pickle", "it has no persistent_load"));
        }
        self.foreign_ids += 1;
        self.facts += 1;
        if self.foreign_ids <= MAX_DISTINCT {
            let rendering = format!("persistent_load({})", id.rendering());
            self.cx.explain(id.offset(), || rendering.clone());
            self.cx.fact(
                Some(id.offset()),
                FactKind::Call {
                    callable: "persistent_load".into(),
                    module: String::new(),
                    name: String::new(),
                    how: How::Persid,
                    call: CallClass::Unresolved,
                    rendering,
                    plain_args: id_value.is_plain(),
                    count: 1,
                },
            );
        }
    }

    fn built(&mut self, object: &PendingValue<'_>, state: &PendingValue<'_>, next: u64) -> Option<Skip> {
        numpy_state::after_build(self.cx, object, state);
        checkpoint_state::after_build(self.cx, object, state);
        kd_tree::after_build(self.cx, object, state, &|array| {
            let range = self.arrays.get(&array.id())?;
            self.blob.read_range(range.start..range.end.min(range.start + kd_tree::MAX)).ok()
        });
        let skip = joblib::after_build(self.cx, self.blob, object, state, next);
        if let Some(skip) = skip
            && self.arrays.len() < MAX_ARRAYS
        {
            let len = skip.or.unwrap_or(skip.to).saturating_sub(next);
            self.arrays.insert(object.id(), skip.to.saturating_sub(len)..skip.to);
        }
        skip
    }
}

fn refused(loader: &str, why: &str) -> FactKind {
    FactKind::Refused { loader: loader.into(), detail: short(why) }
}

/// `('storage', type, key, location, items, ...)`, as torch writes the ids of storages.
fn is_storage(id: &Value) -> bool {
    match id {
        Value::Tuple(parts) => match &parts[..] {
            [
                Value::Str { text, .. },
                Value::Global { module, name },
                key,
                place,
                Value::Int(_),
                rest @ ..,
            ] => {
                text == "storage"
                    && (module == "torch" || module.starts_with("torch."))
                    && name.ends_with("Storage")
                    && matches!(key, Value::Str { .. } | Value::Int(_))
                    && matches!(place, Value::Str { .. } | Value::None)
                    && rest.iter().all(Value::is_plain)
            }
            _ => false,
        },
        _ => false,
    }
}

/// `('module', class, source file, source)`.
fn is_module(id: &Value) -> bool {
    let Value::Tuple(parts) = id else { return false };
    matches!(&parts[..], [Value::Str { text, .. }, Value::Global { .. }, file, source]
        if text == "module" && file.is_plain() && source.is_plain())
}

/// The catalogue's word. Names of TorchScript types are harmless where torch resolves them; to a plain unpickler
/// `__torch__` is a module like any other, which a file beside the model can be. Under `__torch__.torch.classes` are native
/// classes: those that torch itself does not register belong to a library that nobody read.
fn classify(call: &wb_pickle::Call<'_>, torch: bool) -> CallClass {
    let script = call.module.split('.').next() == Some("__torch__");
    match catalogue::classify(call) {
        CallClass::Harmless if script && !torch => CallClass::Unknown,
        CallClass::Harmless if script && is_foreign_class(call.module, call.name) => {
            CallClass::KnownUncatalogued
        }
        class => class,
    }
}

fn is_foreign_class(module: &str, name: &str) -> bool {
    let dotted = format!("{module}.{name}");
    let name = dotted.strip_prefix("__torch__.torch.classes.");
    name.is_some_and(|n| !catalogue::torch_ops::is_known_class(n))
}

/// The fact that an import is held as data; none for names that only text would give.
fn held(at: u64, callee: &Callee, sure: bool, torch: bool) -> Option<FactKind> {
    let call = classify(&import_of(at, callee), torch);
    if !sure && (matches!(call, CallClass::Unknown | CallClass::Unresolved) || !callee.has_plausible_module())
    {
        return None;
    }
    Some(FactKind::Call {
        callable: short(&callee.rendering),
        module: short(&callee.module),
        name: short(&callee.name),
        how: How::Data,
        call,
        rendering: short(&callee.rendering),
        plain_args: true,
        count: 1,
    })
}

/// A name escaped and bounded.
fn short(name: &str) -> String {
    const MAX: usize = 300;
    if name.len() <= MAX {
        return escape(name);
    }
    match name.char_indices().nth(MAX) {
        Some((end, _)) => format!("{}...", escape(name.get(..end).unwrap_or(""))),
        None => escape(name),
    }
}

/// The opcodes of the pickle at `at`, for an explanation.
fn list(cx: &mut Cx<'_>, blob: &Blob, at: u64) {
    let mut listing = wb_pickle::disassemble(blob, at);
    for op in listing.by_ref().map_while(Result::ok) {
        let code = match op.opcode.code {
            c if c.is_ascii_graphic() => char::from(c).to_string(),
            c => format!("\\x{c:02x}"),
        };
        cx.explain(op.offset, || format!("{code} {} {}", op.opcode.name, op.arg).trim_end().to_string());
        if cx.explanation_is_full() {
            return;
        }
    }
}

/// True for a name that is known and not harmless in this use.
fn is_reviewed_against(fact: &FactKind) -> bool {
    let FactKind::Call { call, .. } = fact else { return false };
    matches!(call, CallClass::Dangerous { .. } | CallClass::KnownUncatalogued)
}

fn is_harmless(fact: &FactKind) -> bool {
    matches!(fact, FactKind::Call { call: CallClass::Harmless, .. })
}
