//! A repository as one unit: which other files a file makes its loader open, what is known of them, and what that
//! means for the file itself.
//!
//! [`Walk`] says which files are to be judged before one is released; whoever has them (a folder, a hub) answers with
//! what is known of each. [`crate::decide`] makes reasons of it. Nothing here reads anything.

use crate::beside::{code_beside, imported};
use crate::decision::{Action, Decision};
use crate::want::{Target, Want, wants};
use std::collections::{HashMap, HashSet};
use wb_verdict::{Facts, Report, Verdict, escape};

/// Most files judged together with one. Each is judged under its own name besides.
pub const MAX_UNIT: usize = 512;
/// Most names of files followed.
const MAX_NEEDS: usize = 8 * MAX_UNIT;
const TOO_MANY: &str = "more files would have to be judged together than are";

/// How a file comes to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Link {
    /// A configuration names a class or function of it.
    Names,
    /// Python, or a loader that a configuration speaks of, imports it.
    Imports,
    /// Tensors or other data are taken from it.
    Takes,
    /// It may name the file asked for.
    NamedBy,
}

/// A file, of the same revision or of another repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// `org/name`, if it is another repository.
    pub repo: Option<String>,
    /// Path inside the repository.
    pub path: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&escape(&self.path))?;
        self.repo.as_ref().map_or(Ok(()), |repo| write!(f, " of {}", escape(repo)))
    }
}

/// One file that another one makes a loader open.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Need {
    /// Path of the file that says so.
    pub from: String,
    /// How.
    pub link: Link,
    /// Which file.
    pub place: Place,
    /// The class or function named; empty if any.
    pub name: String,
    /// The loader reads up to here, in bytes; 0 if it is not told.
    pub length: u64,
    /// False if the revision has no such file.
    pub there: bool,
}

/// Why a file is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The strictest cause.
    pub text: String,
    /// False if it is refused only because it could not be judged.
    pub because_findings: bool,
}

impl Decision {
    /// Why the file is refused, or would be under a policy that only observes.
    pub fn refusal(&self) -> Option<Refusal> {
        if self.effective() != Action::Block {
            return None;
        }
        let first = self.reasons.iter().find(|r| r.action == Action::Block);
        let text = first.map_or_else(
            || self.clause.clone(),
            |r| match &r.rule {
                Some(rule) => format!("{} (rule {rule})", r.text),
                None => r.text.clone(),
            },
        );
        Some(Refusal { text, because_findings: self.because_findings })
    }
}

/// What is known of a judged file of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// Path inside its repository.
    pub path: String,
    /// The verdict on it under that path.
    pub verdict: Verdict,
    /// Why the policy refuses it, if it does, whatever lies beside it.
    pub refused: Option<Refusal>,
    /// Size in bytes.
    pub size: u64,
    /// Names that it binds at its top level, if it is Python and they can be listed.
    pub defines: Option<Vec<String>>,
    /// What it makes a loader open.
    pub(crate) wants: Vec<Want>,
}

impl Neighbour {
    /// What later decisions need of a judged file. `decision` is the one that looks at nothing beside it.
    pub fn of(path: &str, facts: &Facts, report: &Report, decision: &Decision) -> Self {
        Self {
            defines: crate::code::defines(facts),
            wants: wants(path, facts),
            ..Self::bare(path, report, decision)
        }
    }

    /// The same without what only facts tell: for data that names nothing.
    pub fn bare(path: &str, report: &Report, decision: &Decision) -> Self {
        Self {
            path: path.into(),
            verdict: report.verdict,
            refused: decision.refusal(),
            size: report.size,
            defines: None,
            wants: Vec::new(),
        }
    }

    /// True if it makes a loader open other files.
    pub fn wants_others(&self) -> bool {
        !self.wants.is_empty()
    }

    /// As [`Neighbour::of`], for whoever judges all files of a folder under their own names anyway: without what Python
    /// imports, and nothing of a file that neither names others nor may be named.
    pub fn kept(path: &str, facts: &Facts, report: &Report, decision: &Decision) -> Option<Self> {
        let python = path.ends_with(".py");
        let wants = if python { Vec::new() } else { wants(path, facts) };
        let defines = if python { crate::code::defines(facts) } else { None };
        (python || !wants.is_empty()).then(|| Self { defines, wants, ..Self::bare(path, report, decision) })
    }
}

/// What is known of a file that another one needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// It was judged.
    Judged(Box<Neighbour>),
    /// It could not be judged, and why.
    NotJudged(String),
    /// It was not looked at: data of this many bytes, judged when it is asked for itself.
    Later(u64),
    /// There is no such file.
    Missing,
}

/// A file that is needed, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// Which, and why.
    pub need: Need,
    /// What is known.
    pub known: Known,
}

/// What speaks against a file because of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Objection {
    pub text: String,
    pub because_findings: bool,
}

impl Beside {
    /// What speaks against releasing `path` because of this file.
    pub(crate) fn objection(&self, path: &str) -> Option<Objection> {
        let (need, place) = (&self.need, &self.need.place);
        let verb = match need.link {
            Link::Names | Link::NamedBy => "names",
            Link::Imports => "imports",
            Link::Takes => "takes data from",
        };
        let what = match (need.link, need.from == path) {
            (Link::NamedBy, _) => format!("{place}, which names it,"),
            (_, true) => format!("{place}, which it {verb},"),
            (_, false) => format!("{place}, which {} {verb},", escape(&need.from)),
        };
        let found = |text| Some(Objection { text, because_findings: true });
        let short = |size| {
            let text = format!(
                "{what} has {size} bytes, and {} are read: it is not the file this one was written with",
                need.length
            );
            (need.length > size).then_some(Objection { text, because_findings: true })
        };
        let judged = match &self.known {
            Known::Judged(judged) => judged,
            Known::Later(size) => return short(*size),
            Known::NotJudged(why) => {
                let text = format!("{what} could not be judged: {why}");
                return Some(Objection { text, because_findings: false });
            }
            Known::Missing => return None,
        };
        if let Some(refusal) = &judged.refused {
            let text = format!("{what} is refused: {}", refusal.text);
            return Some(Objection { text, because_findings: refusal.because_findings });
        }
        if let Some(short) = short(judged.size) {
            return Some(short);
        }
        let lacks = |d: &Vec<String>| !need.name.is_empty() && !d.contains(&need.name);
        if need.link == Link::Names && judged.defines.as_ref().is_some_and(lacks) {
            let name = escape(&need.name);
            return found(format!(
                "{what} holds no {name}: importing it serves no purpose but what it does then"
            ));
        }
        None
    }
}

/// The paths of all files of a revision or folder.
pub struct Files<'a> {
    list: &'a [String],
    /// The same, to look paths up.
    there: HashSet<&'a str>,
    /// Names under which Python could find something beside: names of folders, and of files without extension.
    stems: HashSet<&'a str>,
}

impl<'a> Files<'a> {
    /// From the list.
    pub fn new(list: &'a [String]) -> Self {
        let parts = list.iter().flat_map(|s| s.split('/'));
        Self {
            list,
            there: list.iter().map(String::as_str).collect(),
            stems: parts.map(|p| p.strip_suffix(".py").unwrap_or(p)).collect(),
        }
    }
}

/// Follows what a file needs to everything that is to be judged with it.
pub struct Walk<'a> {
    start: String,
    files: &'a Files<'a>,
    needs: Vec<Need>,
    seen: HashSet<Need>,
    /// More is needed than is followed.
    overflow: bool,
    known: HashMap<Asked, Known>,
    waiting: Vec<Need>,
    asked: HashSet<Asked>,
}

/// A file, and whether only its data matters: a file named as data and as code is asked for twice.
type Asked = (Place, bool);

fn asked(need: &Need) -> Asked {
    (need.place.clone(), need.link == Link::Takes)
}

impl<'a> Walk<'a> {
    /// From a judged file of a revision.
    pub fn new(start: &Neighbour, files: &'a Files<'a>) -> Self {
        let mut walk = Self {
            start: start.path.clone(),
            files,
            needs: Vec::new(),
            seen: HashSet::new(),
            overflow: false,
            known: HashMap::new(),
            waiting: Vec::new(),
            asked: HashSet::new(),
        };
        walk.follow(None, start);
        walk
    }

    /// Also looks at configurations and indexes that may name the file.
    pub fn with_namers(mut self) -> Self {
        for path in crate::beside::namers(&self.start, self.files.list) {
            let place = Place { repo: None, path: path.into() };
            let from = self.start.clone();
            self.need(Need { from, link: Link::NamedBy, place, name: String::new(), length: 0, there: true });
        }
        self
    }

    /// Files that are to be judged now; empty at the end.
    pub fn ask(&mut self) -> Vec<Need> {
        std::mem::take(&mut self.waiting)
    }

    /// Says what is known of one of them. What it needs in its turn comes from [`Walk::ask`] then.
    pub fn put(&mut self, need: &Need, known: Known) {
        if let Known::Judged(neighbour) = &known
            && need.link != Link::Takes
            && (need.link != Link::NamedBy || self.names_start(neighbour))
        {
            self.follow(need.place.repo.as_deref(), neighbour);
        }
        self.known.insert(asked(need), known);
    }

    /// Everything that is needed, with what is known of it.
    pub fn end(self) -> Vec<Beside> {
        let known = |n: &Need| match self.known.get(&asked(n)) {
            _ if !n.there => Known::Missing,
            Some(known) => known.clone(),
            None => Known::NotJudged(TOO_MANY.into()),
        };
        // A configuration that turned out to name other files says nothing about this one.
        let named_by = |path: &str| self.needs.iter().any(|o| o.from == path && self.is_start(o));
        let matters = |n: &&Need| {
            !self.is_start(n) && (n.link != Link::NamedBy || named_by(&n.place.path) || !self.judged(n))
        };
        let mut all: Vec<Beside> =
            self.needs.iter().filter(matters).map(|n| Beside { need: n.clone(), known: known(n) }).collect();
        if let Some(need) = self.needs.last().filter(|_| self.overflow) {
            all.push(Beside { need: need.clone(), known: Known::NotJudged(TOO_MANY.into()) });
        }
        all
    }

    fn judged(&self, need: &Need) -> bool {
        matches!(self.known.get(&asked(need)), Some(Known::Judged(_)))
    }

    fn is_start(&self, need: &Need) -> bool {
        need.place.repo.is_none() && need.place.path == self.start
    }

    fn names_start(&self, namer: &Neighbour) -> bool {
        namer
            .wants
            .iter()
            .any(|w| self.resolve(w, None, &namer.path).iter().any(|n| n.place.path == self.start))
    }

    fn follow(&mut self, repo: Option<&str>, neighbour: &Neighbour) {
        for want in &neighbour.wants {
            for need in self.resolve(want, repo, &neighbour.path) {
                self.need(need);
            }
        }
    }

    fn need(&mut self, need: Need) {
        if self.needs.len() >= MAX_NEEDS {
            self.overflow = true;
            return;
        }
        if !self.seen.insert(need.clone()) {
            return;
        }
        let room = self.asked.len() < MAX_UNIT;
        if need.there && !self.is_start(&need) && room && self.asked.insert(asked(&need)) {
            self.waiting.push(need.clone());
        }
        self.needs.push(need);
    }

    /// The files that a want of the file at `from` means.
    fn resolve(&self, want: &Want, repo: Option<&str>, from: &str) -> Vec<Need> {
        let need = |repo: Option<&str>, path: &str, there| Need {
            from: from.into(),
            link: want.link,
            place: Place { repo: repo.map(Into::into), path: path.into() },
            name: want.name.clone(),
            length: want.length,
            there,
        };
        if let Some(repo) = repo {
            // Of another repository it is not known what else it holds: what a library fetches with a module.
            return match &want.target {
                Target::Import(name) => crate::beside::relative_file(name, from)
                    .map(|path| vec![need(Some(repo), &path, true)])
                    .unwrap_or_default(),
                _ => Vec::new(),
            };
        }
        let Files { list, there, stems } = self.files;
        let all = |paths: Vec<&str>| paths.into_iter().map(|p| need(None, p, true)).collect();
        match &want.target {
            Target::Module(module) => all(code_beside(module, from, list).into_iter().collect()),
            Target::Import(name) => {
                let top = name.trim_start_matches('.').split('.').next().unwrap_or("");
                if !stems.contains(top) && !top.is_empty() {
                    return Vec::new();
                }
                imported(name, from, there).into_iter().map(|p| need(None, &p, true)).collect()
            }
            Target::Folder(folder) => {
                let inside = |s: &&str| s.starts_with(folder.as_str()) && s.ends_with(".py");
                all(list.iter().map(String::as_str).filter(inside).collect())
            }
            Target::Path(path) => vec![need(None, path, there.contains(path.as_str()))],
            Target::Elsewhere(repo, path) => vec![need(Some(repo), path, true)],
        }
    }
}

/// Everything that a file needs, from files that are all judged already.
pub fn gather(
    start: &Neighbour,
    files: &Files<'_>,
    mut get: impl FnMut(&str) -> Option<Neighbour>,
) -> Vec<Beside> {
    let mut walk = Walk::new(start, files);
    loop {
        let needs = walk.ask();
        if needs.is_empty() {
            // What is not among the files judged is judged by whoever loads it.
            let mut all = walk.end();
            all.retain(|b| !matches!(b.known, Known::NotJudged(_)));
            return all;
        }
        for need in needs {
            let known = match need.place.repo.is_none().then(|| get(&need.place.path)).flatten() {
                Some(neighbour) => Known::Judged(Box::new(neighbour)),
                None => Known::NotJudged("it is not among the files looked at".into()),
            };
            walk.put(&need, known);
        }
    }
}
