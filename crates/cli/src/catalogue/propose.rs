//! Entries for a policy, proposed from the sources of a wheel. What is written is no policy: it names no owner and no
//! reason, and a policy with an empty one does not load.

use anyhow::{Context, Result, anyhow, bail};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use wb_derive::{Derived, Library, Row, derive, read_wheel};
use wb_scan::catalogue::{about, is_known};
use wb_verdict::escape;

/// Largest wheel read, in bytes.
const MAX_WHEEL: u64 = 2 << 30;
/// Most reasons shown.
const MAX_REASONS: usize = 200;

/// The proposal as text: a fragment of a policy.
pub fn propose(wheel: &Path, built_on: &[PathBuf]) -> Result<String> {
    let (subject, digest) = open(wheel)?;
    // A module called as one of a library that is known would pass for it.
    let (foreign, sources): (BTreeMap<_, _>, BTreeMap<_, _>) =
        subject.sources.into_iter().partition(|(module, _)| is_known(module));
    let compiled = subject.compiled.iter().filter(|m| !is_known(m)).cloned().collect();
    let subject = Library { sources, compiled, ..subject };
    if subject.sources.is_empty() {
        bail!("{}: no Python module that the catalogue does not know already", wheel.display());
    }
    let bases = built_on.iter().map(|path| Ok(open(path)?.0)).collect::<Result<Vec<Library>>>()?;
    let all: Vec<&Library> = std::iter::once(&subject).chain(&bases).collect();
    let derived = derive(&all).map_err(|e| anyhow!("{}: {e}", wheel.display()))?;

    let mut out = String::new();
    head(&mut out, wheel, &subject, &digest, &bases)?;
    let left_out: Vec<String> = foreign.into_keys().collect();
    if !left_out.is_empty() {
        writeln!(out, "# Left out, the built-in catalogue knows them: {}", escape(&left_out.join(", ")))?;
    }
    entries(&mut out, &derived, &subject)?;
    not_proved(&mut out, &derived)?;
    Ok(out)
}

fn open(path: &Path) -> Result<(Library, String)> {
    let shown = || path.display().to_string();
    let size = std::fs::metadata(path).with_context(shown)?.len();
    if size > MAX_WHEEL {
        bail!("{}: {size} bytes, more than {MAX_WHEEL}", shown());
    }
    let file = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let mut parts = file.strip_suffix(".whl").unwrap_or_default().split('-');
    let (Some(name), Some(version)) = (parts.next().filter(|n| !n.is_empty()), parts.next()) else {
        bail!("{}: a wheel is called NAME-VERSION-….whl", shown());
    };
    let bytes = std::fs::read(path).with_context(shown)?;
    let digest = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    let library = read_wheel(name, version, &bytes, "").map_err(|e| anyhow!("{}: {e}", shown()))?;
    Ok((library, digest))
}

fn head(out: &mut String, wheel: &Path, subject: &Library, digest: &str, bases: &[Library]) -> Result<()> {
    let file = wheel.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    writeln!(out, "# Proposed by weighbridge {} from the sources of", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "# {} (sha256 {digest})", escape(&file))?;
    for base in bases {
        writeln!(out, "# built on {} {}", escape(&base.name), escape(&base.version))?;
    }
    writeln!(out, "#")?;
    writeln!(
        out,
        "# This is no policy yet. Look at each entry, delete what you do not need, put the rest into your"
    )?;
    writeln!(
        out,
        "# policy and say who answers for it and why: with an empty owner or reason a policy does not load."
    )?;
    writeln!(
        out,
        "# It holds for this version of {}; propose anew when the package changes.",
        escape(&subject.name)
    )?;
    Ok(())
}

fn entries(out: &mut String, derived: &Derived, subject: &Library) -> Result<()> {
    // Names of one module that may be used alike.
    let mut groups: BTreeMap<(&str, String, bool), Vec<&str>> = BTreeMap::new();
    for ((module, name), row) in &derived.rows {
        let Some(row) = row.as_ref().map(Row::settled) else { continue };
        let uses = uses(&row);
        let about = about(module, name);
        // What a policy could not vouch for anyway.
        if uses.is_empty() || about.dangerous.is_some() || about.carries.is_some() || !is_plain(module, name)
        {
            continue;
        }
        groups.entry((module, uses.join("\", \""), row.any)).or_default().push(name);
    }
    if groups.is_empty() {
        writeln!(out, "\n# Nothing is proved.")?;
    }
    for ((module, uses, any), names) in groups {
        writeln!(out, "\n[[catalogue.entries]]")?;
        writeln!(out, "# evidence: {}", evidence(&uses, any))?;
        writeln!(
            out,
            "# source: {} {}, {}",
            escape(&subject.name),
            escape(&subject.version),
            file_of(subject, module)
        )?;
        writeln!(out, "module = \"{module}\"")?;
        writeln!(out, "names = [\"{}\"]", names.join("\", \""))?;
        writeln!(out, "uses = [\"{uses}\"]")?;
        writeln!(out, "args = \"{}\"", if any { "any" } else { "plain" })?;
        writeln!(out, "owner = \"\"")?;
        writeln!(out, "reason = \"\"")?;
    }
    Ok(())
}

/// An entry cannot say what a state must hold.
fn uses(row: &Row) -> Vec<&'static str> {
    row.uses.iter().copied().filter(|u| *u != "build" || row.keys.is_empty() && !row.dict).collect()
}

/// Names as a policy takes them.
fn is_plain(module: &str, name: &str) -> bool {
    module.chars().chain(name.chars()).all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))
}

fn file_of(subject: &Library, module: &str) -> String {
    let path = module.replace('.', "/");
    match subject.sources.get(module).is_some_and(|s| s.is_package) {
        true => format!("{path}/__init__.py"),
        false => format!("{path}.py"),
    }
}

fn evidence(uses: &str, any: bool) -> String {
    let followed = |what: &str, how: &'static str| uses.contains(what).then_some(how);
    let parts: Vec<&str> = [
        Some("what the module does at import"),
        followed("new", "__new__"),
        followed("call", "the call"),
        followed("build", "__setstate__ and setters"),
        Some("__del__"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let given = if any { "whatever it is given" } else { "if it is given literals" };
    format!("followed in the source: {}; nothing of the file's own runs, {given}", parts.join(", "))
}

fn not_proved(out: &mut String, derived: &Derived) -> Result<()> {
    if derived.refused.is_empty() && derived.failures.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n# Not proved, and why:")?;
    for failure in &derived.failures {
        writeln!(out, "#   {}", escape(failure))?;
    }
    for (module, name, used, why) in derived.refused.iter().take(MAX_REASONS) {
        let used = if *used == "all" { "any use" } else { used };
        writeln!(out, "#   {}.{}, {used}: {}", escape(module), escape(name), escape(why))?;
    }
    let more = derived.refused.len().saturating_sub(MAX_REASONS);
    if more > 0 {
        writeln!(out, "#   and {more} more")?;
    }
    Ok(())
}
