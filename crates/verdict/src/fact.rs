//! Facts: what a file holds and what loading it would do, without judgement.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// Where in a file something is. Written `model.pt:archive/data.pkl@0x1f3`.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    BorshSerialize,
    BorshDeserialize,
    Default,
)]
pub struct Location {
    /// Member path inside the outer file, levels joined by `!`, already escaped; empty for the file itself.
    pub path: String,
    /// Byte offset inside that member.
    pub offset: Option<u64>,
}

impl Location {
    /// A place in the member `path` (empty: the outer file).
    pub fn new(path: impl Into<String>, offset: Option<u64>) -> Self {
        Self { path: path.into(), offset }
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.path)?;
        match self.offset {
            Some(at) => write!(f, "@{at:#x}"),
            None => Ok(()),
        }
    }
}

/// How an object was used by the opcode that reached it.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    BorshSerialize,
    BorshDeserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Imported and at most stored as data; never called.
    Data,
    /// Called by REDUCE.
    Reduce,
    /// Called by INST.
    Inst,
    /// Called by OBJ.
    Obj,
    /// `cls.__new__(cls, *args)` by NEWOBJ.
    Newobj,
    /// `cls.__new__(cls, *args, **kwargs)` by NEWOBJ_EX.
    NewobjEx,
    /// State set by BUILD on an object that the named callable made.
    Build,
    /// `append`/`extend` called by APPEND(S) on something that is no plain list.
    Append,
    /// `__setitem__` called by SETITEM(S) on something that is no plain dict.
    SetItem,
    /// `add` called by ADDITEMS on something that is no plain set.
    AddItems,
    /// Resolved through an extension code (EXT1, EXT2, EXT4) that the stream cannot define itself.
    Ext,
    /// Handed to the unpickler's `persistent_load` (PERSID, BINPERSID).
    Persid,
    /// Called by name through another callable (`functools.partial`, `operator.methodcaller`, ...).
    Indirect,
    /// `__hash__` and `__eq__` called on an instance that the named callable made: a key of a dict, a member of a set.
    Hash,
}

impl How {
    /// Every way, in the order of their declaration.
    pub const ALL: [Self; 14] = [
        Self::Data,
        Self::Reduce,
        Self::Inst,
        Self::Obj,
        Self::Newobj,
        Self::NewobjEx,
        Self::Build,
        Self::Append,
        Self::SetItem,
        Self::AddItems,
        Self::Ext,
        Self::Persid,
        Self::Indirect,
        Self::Hash,
    ];

    /// The pickle opcode's name.
    pub fn opcode(self) -> &'static str {
        match self {
            Self::Data => "GLOBAL",
            Self::Reduce => "REDUCE",
            Self::Inst => "INST",
            Self::Obj => "OBJ",
            Self::Newobj => "NEWOBJ",
            Self::NewobjEx => "NEWOBJ_EX",
            Self::Build => "BUILD",
            Self::Append => "APPEND",
            Self::SetItem => "SETITEM",
            Self::AddItems => "ADDITEMS",
            Self::Ext => "EXT",
            Self::Persid => "PERSID",
            Self::Indirect => "indirect",
            Self::Hash => "hash",
        }
    }
}

/// The effect of a known-dangerous callable.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    BorshSerialize,
    BorshDeserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Runs code given as source, code object, module or file.
    Code,
    /// Starts or controls processes.
    Process,
    /// Loads native libraries or touches raw memory.
    Native,
    /// Imports modules or resolves names given as strings.
    Import,
    /// Reaches attributes or calls methods named by strings.
    Reach,
    /// Reads, writes or lists files.
    File,
    /// Talks to the network.
    Network,
    /// Deserialises further data with code-running powers.
    Deserialise,
    /// Changes interpreter or process state, or stops the process.
    State,
    /// Listed as dangerous without a narrower effect.
    Other,
}

/// What the catalogue knows of one callable in one use, at the time of the scan.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "snake_case", tag = "class")]
pub enum CallClass {
    /// Catalogued harmless for exactly this name, use and kind of arguments.
    Harmless,
    /// Known dangerous.
    Dangerous {
        /// What it does.
        effect: Effect,
    },
    /// Code by design: a function or code object rebuilt from the stream (cloudpickle, dill, fx).
    CarriesCode,
    /// Of the standard library or a catalogued distribution, without a harmless entry for this use.
    KnownUncatalogued,
    /// Of no catalogued distribution.
    Unknown,
    /// The name itself could not be worked out.
    Unresolved,
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
pub struct Fact {
    /// Where.
    pub location: Location,
    /// What.
    #[serde(flatten)]
    pub kind: FactKind,
}

/// The kinds of facts. `code` fields are stable kebab-case ids that rules match on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "snake_case", tag = "fact")]
pub enum FactKind {
    /// A pickle reaches a callable. Equal facts are counted, not repeated.
    Call {
        /// `module.qualname` after Python-2 mapping, or the rendering of what is called
        /// (`operator.attrgetter(...)(...)`).
        callable: String,
        /// Module as the stream names it, and qualified name; empty when unresolved.
        module: String,
        /// Qualified name inside the module.
        name: String,
        /// Opcode or way of use.
        how: How,
        /// The catalogue's word.
        call: CallClass,
        /// Readable rendering of the call, bounded and escaped: `posix.system('id')`.
        rendering: String,
        /// True if only plain data (and for BUILD only a plain dict or tuple state) is involved.
        plain_args: bool,
        /// How often this very fact occurred.
        count: u64,
    },
    /// Readers disagree on the structure, or it is malformed in a way a loader may or may not accept.
    Structure {
        /// e.g. `zip-local-name-differs`, `zip-duplicate-entry`, `pickle-frame-straddle`.
        code: String,
        /// What exactly, escaped.
        detail: String,
    },
    /// A resource bomb or impossible size: `tensor-size-overflow`, `pickle-memo-jump`.
    Resource {
        /// Stable id.
        code: String,
        /// What exactly.
        detail: String,
    },
    /// An archive member that would be written outside the target folder, or a device, link etc.
    UnsafePath {
        /// `absolute`, `traversal`, `link-outside`, `device`.
        code: String,
        /// The path, escaped.
        detail: String,
    },
    /// Executable content: ELF, PE, Mach-O, script with a shebang.
    Executable {
        /// `elf`, `pe`, `mach-o`, `shebang`, `python-bytecode`.
        code: String,
    },
    /// Text that a loader renders or evaluates, and what the analysis found in it.
    Template {
        /// `harmless`, `unproved` or `dangerous`.
        code: String,
        /// The construct that decides, escaped.
        detail: String,
    },
    /// Metadata or text that names code to run or fetch (`_target_`, shell commands ...).
    Directive {
        /// Stable id, e.g. `hydra-target`, `shell-command`.
        code: String,
        /// The text, escaped and bounded.
        detail: String,
    },
    /// A configuration names code of its own repository. Whether it is there, and what it does, is told by the files
    /// beside it.
    Names {
        /// Who reads the name, a stable id: `auto-map`, `module-type`, `pipeline-part`.
        code: String,
        /// File name without `.py`, escaped.
        module: String,
        /// Class or function, escaped; empty if any.
        name: String,
        /// Place and text, escaped and bounded.
        detail: String,
    },
    /// A pickle, archive or executable where a loader expects opaque data.
    Hidden {
        /// What was found: `pickle`, `zip`, `elf`, ...
        code: String,
        /// Where a loader would have expected something else.
        detail: String,
    },
    /// One plausible reading of the bytes (`text`, `python`, `json`, `pickle`: text that an unpickler imports something
    /// of before it fails). Rules may depend on it
    /// together with the file's name.
    Reading {
        /// The reading.
        code: String,
    },
    /// A known format that this build recognises but cannot judge.
    Unsupported {
        /// Format id.
        format: String,
        /// What about it cannot be judged.
        detail: String,
    },
    /// A node of a computation graph whose operator does more than compute, or is not known to do no more.
    Operator {
        /// What it does, a stable id that begins with the framework: `tf-file-write`, `tflite-unknown`.
        code: String,
        /// The operator's name, escaped.
        op: String,
        /// The node, the graph it stands in and what it is given, escaped and bounded.
        detail: String,
    },
    /// No catalogued loader opens these bytes.
    UnknownContent,
    /// A loader with narrower rules than CPython's unpickler stops with an error in this pickle, and runs nothing
    /// before that its own rules do not allow.
    Refused {
        /// The loader: `weights-only` (torch's unpickler of that name), `pickle` (no persistent ids).
        loader: String,
        /// What it does not take, escaped.
        detail: String,
    },
    /// What source code does when it runs, or what an instruction file makes a tool do. Rules join it with the file's
    /// name: the same text is inert as `notes.txt`.
    Source {
        /// Stable id, e.g. `process`, `decoded-code`, `requirement-elsewhere`.
        code: String,
        /// `import`, `load` (methods that loaders call) or `call`; empty where it makes no difference.
        when: String,
        /// What is called, by its full name.
        callable: String,
        /// The place in the source, bounded and escaped.
        rendering: String,
    },
    /// A loader opens another file because this one says so. Whether it is there, is long enough and what it holds is
    /// told by the files beside this one.
    Opens {
        /// Who opens it, a stable id: `shard`, `external-data`, `openvino-weights`, `saved-model-asset`,
        /// `code-elsewhere`.
        code: String,
        /// `org/name` if it lies in another repository of the hub, else empty.
        repo: String,
        /// Path relative to this file's folder, escaped; empty where the loader takes this file's own name with another
        /// extension.
        path: String,
        /// The loader reads up to here, in bytes; 0 if this file does not say.
        length: u64,
    },
    /// A credential that somebody left in the file. Never holds the credential itself.
    Secret {
        /// `private-key`, `cloud-key` or `token`.
        code: String,
        /// What it is, with its article: `a Hugging Face token`.
        what: String,
        /// Place, prefix and length.
        detail: String,
    },
}

/// Why some bytes were not judged.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapReason {
    /// A counted budget ran out; names the resource.
    Limit(String),
    /// Encrypted content.
    Encrypted,
    /// Broken structure: the rest cannot be located.
    Malformed,
    /// A compression method or variant without a reader here.
    UnsupportedVariant,
    /// Reading failed.
    Io,
    /// The scan worker died or ran out of wall-clock time or memory.
    Worker,
    /// Bytes that belong to no structure of the format.
    Unexplained,
}

impl GapReason {
    /// Stable text for output.
    pub fn name(&self) -> String {
        match self {
            Self::Limit(what) => what.clone(),
            Self::Encrypted => "encrypted".into(),
            Self::Malformed => "malformed".into(),
            Self::UnsupportedVariant => "unsupported-variant".into(),
            Self::Io => "io".into(),
            Self::Worker => "worker".into(),
            Self::Unexplained => "unexplained-bytes".into(),
        }
    }

    /// True if the same bytes could give a better answer another time: such a report is never kept as final.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Io | Self::Worker)
    }
}

/// A part of the file that was not judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// Where (member path and offset).
    pub location: Location,
    /// How many bytes, where known.
    pub length: Option<u64>,
    /// Readable detail, escaped.
    pub detail: String,
}

/// How much of the file the facts rest on. Whole supersedes ranged, never the reverse.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    BorshSerialize,
    BorshDeserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// Judged through ranges; opaque tensor bytes were not looked at.
    Ranged,
    /// Every byte was available.
    Whole,
}

/// All facts of one blob: the fact sheet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
pub struct Facts {
    /// [`crate::ENGINE`] of the build that made them.
    pub engine: String,
    /// Version of the catalogue used to classify calls.
    pub catalogue: String,
    /// Limits profile.
    pub limits: String,
    /// Ranged or whole.
    pub depth: Depth,
    /// Size in bytes.
    pub size: u64,
    /// Ids of the formats recognised in the outer file, most specific first.
    pub formats: Vec<String>,
    /// The facts, in file order per member.
    pub facts: Vec<Fact>,
    /// What could not be judged.
    pub gaps: Vec<Gap>,
    /// Bytes read to make this sheet.
    pub bytes_read: u64,
}

impl Facts {
    /// An empty sheet that records only that nothing could be judged.
    pub fn only_gap(size: u64, gap: Gap) -> Self {
        Self {
            engine: crate::ENGINE.into(),
            catalogue: String::new(),
            limits: String::new(),
            depth: Depth::Ranged,
            size,
            formats: Vec::new(),
            facts: Vec::new(),
            gaps: vec![gap],
            bytes_read: 0,
        }
    }

    /// False if the sheet was cut short by something that is not a property of the bytes.
    pub fn is_final(&self) -> bool {
        !self.gaps.iter().any(|g| g.reason.is_transient())
    }
}
