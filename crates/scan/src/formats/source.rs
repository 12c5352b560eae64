//! Text as source: Python by what it does, notebooks cell by cell, instruction files line by line.

use crate::analyses::instructions;
use crate::analyses::python::{self, Unread};
use crate::cx::Cx;
use wb_blob::Blob;
use wb_verdict::{FactKind, escape};

/// Texts up to this size are always tried as Python; larger ones if they show signs of it.
const ALWAYS: usize = 1 << 20;
/// Instruction files are small.
const INSTRUCTIONS: usize = 1 << 20;

fn source(code: &str, when: &str, callable: &str, rendering: &str) -> FactKind {
    FactKind::Source {
        code: code.into(),
        when: when.into(),
        callable: escape(callable),
        rendering: escape(rendering),
    }
}

/// Records what a text is and does as source; true if it is Python.
pub(super) fn read(text: &[u8], signs: bool, cx: &mut Cx<'_>) -> bool {
    let reading = |code: &str| FactKind::Reading { code: code.into() };
    if text.len() > ALWAYS && !signs {
        cx.fact(None, reading("not-python"));
        return false;
    }
    let read = python::analyse(text);
    let python = read.is_ok();
    match read {
        Ok(python::Module { found, defines, imports }) => {
            cx.fact(None, reading("python"));
            // A configuration may name one of them. Members of archives are named by none.
            let defines = defines.map_or_else(|| "*".to_string(), |names| names.join(" "));
            if cx.is_outer() && !defines.is_empty() {
                cx.fact(None, source("defines", "", "", &defines));
            }
            // Those that lie beside it are judged together with it.
            if cx.is_outer() && !imports.is_empty() {
                cx.fact(None, source("imports", "", "", &imports.join(" ")));
            }
            for f in found {
                cx.fact(Some(f.offset), source(f.code, f.when.name(), &f.callable, &f.rendering));
            }
        }
        Err(Unread::NotPython) => cx.fact(None, reading("not-python")),
        Err(Unread::TooMuch(why)) => {
            cx.fact(None, reading("python"));
            cx.fact(None, source("unread", "", "", &why));
        }
    }
    if text.len() <= INSTRUCTIONS {
        instructions::read(&String::from_utf8_lossy(text), &mut |f| cx.fact(None, f));
    }
    python
}

/// A notebook: each code cell is a member, source as if it were a module.
pub(super) fn notebook(value: &serde_json::Value, cx: &mut Cx<'_>) {
    let cells =
        value.get("cells").or_else(|| value.pointer("/worksheets/0/cells")).and_then(|c| c.as_array());
    let Some(cells) = cells.filter(|_| value.get("nbformat").is_some()) else { return };
    cx.fact(None, source("notebook", "", "", "code cells"));
    for (n, cell) in cells.iter().enumerate().filter(|(_, c)| c.get("cell_type").is_some_and(|t| t == "code"))
    {
        let text = match cell.get("source").or_else(|| cell.get("input")) {
            Some(serde_json::Value::Array(lines)) => {
                lines.iter().filter_map(|l| l.as_str()).collect::<String>()
            }
            Some(serde_json::Value::String(s)) => s.clone(),
            _ => continue,
        };
        if let Some(command) = text.lines().find_map(|l| command(l.trim())) {
            let detail = escape(&command.chars().take(200).collect::<String>());
            cx.fact(None, FactKind::Directive { code: "notebook-command".into(), detail });
        }
        // Lines of IPython's own are no Python.
        let code: String = text
            .lines()
            .map(|l| {
                if l.trim_start().starts_with(['!', '%', '?']) || l.trim_end().ends_with('?') {
                    "pass"
                } else {
                    l
                }
            })
            .flat_map(|l| [l, "\n"])
            .collect();
        let blob = Blob::from_vec(code.into_bytes());
        cx.enter(format!("cell {n}.py").as_bytes(), |cx| {
            if let Ok(bytes) = blob.read_range(0..blob.len()) {
                read(&bytes, true, cx);
            }
        });
    }
}

/// A line that a kernel hands to a shell. Installing packages by name is what notebooks do.
fn command(line: &str) -> Option<&str> {
    let shell = line
        .strip_prefix('!')
        .or_else(|| line.strip_prefix("%system "))
        .or_else(|| line.strip_prefix("%sx "))
        .or_else(|| {
            ["%%bash", "%%sh", "%%script", "%%system"].iter().any(|m| line.starts_with(m)).then_some(line)
        })?;
    let installs = shell.trim_start().strip_prefix("pip install ").is_some_and(|rest| !rest.contains("://"));
    (!installs).then_some(shell)
}
