//! What the machine tells of a stream, gathered as one list.

use std::fmt;
use wb_blob::{Blob, Budget, Limits};
use wb_pickle::{Callee, Decoded, End, Machine, Nested, Observer, PendingCall, PendingValue, Value};
use wb_scan::catalogue;
use wb_verdict::{CallClass, How};

/// One event of the machine.
#[derive(Debug, Clone)]
pub enum Told {
    /// A pickle begins.
    Pickle,
    /// An import.
    Import {
        /// Number of the callee in its run.
        id: u32,
        /// What.
        callee: Callee,
    },
    /// A use of a callable.
    Use {
        /// Number of the callee in its run.
        id: u32,
        /// The way of use.
        how: How,
        /// What.
        callee: Callee,
        /// The import itself is changed.
        on_import: bool,
        /// Positional arguments, or what is set or added.
        args: Vec<Value>,
        /// Keyword arguments.
        kwargs: Vec<(Value, Value)>,
        /// The catalogue's word.
        class: CallClass,
    },
    /// A persistent id is looked up.
    Persistent(Value),
    /// STOP; the offset after it.
    Stop(u64),
    /// Bytes for another deserialiser: how many.
    Nested(u64),
}

/// Everything told of a stream.
#[derive(Debug, Clone, Default)]
pub struct Telling {
    /// Events in order. If frames are read in two ways the second reading follows the first.
    pub list: Vec<Told>,
    /// Codes of structural facts.
    pub structure: Vec<&'static str>,
    /// Codes of resource facts.
    pub resource: Vec<&'static str>,
    /// Why the machine stopped other than by STOP.
    pub error: Option<&'static str>,
    /// A budget ran out.
    pub exhausted: bool,
}

impl Observer for Telling {
    fn import(&mut self, _offset: u64, id: u32, callee: &Callee) {
        self.list.push(Told::Import { id, callee: callee.clone() });
    }

    fn call(&mut self, call: &PendingCall<'_>) {
        let decoded: Decoded = call.decode();
        let class = catalogue::classify(&decoded.as_call());
        self.list.push(Told::Use {
            id: call.callee_id(),
            how: call.how,
            callee: call.callee().clone(),
            on_import: call.on_import,
            args: decoded.args,
            kwargs: decoded.kwargs,
            class,
        });
    }

    fn structure(&mut self, _offset: u64, code: &'static str, _detail: &str) {
        self.structure.push(code);
    }

    fn resource(&mut self, _offset: u64, code: &'static str, _detail: &str) {
        self.resource.push(code);
    }

    fn nested(&mut self, _offset: u64, _by: &str, bytes: Nested) {
        self.list.push(Told::Nested(match bytes {
            Nested::Range(r) => r.end - r.start,
            Nested::Bytes(b) => b.len() as u64,
        }));
    }

    fn persistent(&mut self, id: &PendingValue<'_>) {
        self.list.push(Told::Persistent(id.value()));
    }
}

/// Runs the machine over a stream: one pickle after the other, as long as they end in STOP.
pub fn tell(bytes: &[u8]) -> Telling {
    const MAX_PICKLES: u64 = 4;
    let blob = Blob::from_vec(bytes.to_vec());
    let budget = Budget::new(Limits::default());
    let mut telling = Telling::default();
    let mut machine = Machine::with_chunk(&blob, 0, &budget, 4096);
    for _ in 0..MAX_PICKLES {
        telling.list.push(Told::Pickle);
        let run = machine.run(&mut telling);
        match run.end {
            End::Stop(next) => {
                telling.list.push(Told::Stop(next));
                if next >= blob.len() {
                    break;
                }
                machine.restart(next);
            }
            End::Error { what, .. } => {
                telling.error = Some(what);
                break;
            }
            End::Exhausted(_) => {
                telling.exhausted = true;
                break;
            }
            End::Io(_) => break,
        }
    }
    telling
}

impl fmt::Display for Telling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for told in &self.list {
            match told {
                Told::Import { callee, .. } => writeln!(f, "    Import({})", callee.rendering)?,
                Told::Use { how, callee, args, kwargs, class, .. } => {
                    writeln!(f, "    {how:?}({}, {args:?}, {kwargs:?}) {class:?}", callee.rendering)?;
                }
                other => writeln!(f, "    {other:?}")?,
            }
        }
        if let Some(what) = self.error {
            writeln!(f, "    error: {what}")?;
        }
        let codes = [&self.structure[..], &self.resource[..]].concat();
        if codes.is_empty() { Ok(()) } else { writeln!(f, "    told besides: {}", codes.join(", ")) }
    }
}
