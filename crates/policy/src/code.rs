//! Code that a configuration names, in the files beside it: whether it is there, what was found in it, and whether it
//! holds what the configuration expects.

use wb_verdict::{FactKind, Facts, OwnCode, Report, Verdict, escape};

/// A judged Python file of the same repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeBeside {
    /// Path inside the repository.
    pub path: String,
    /// The verdict on it under that path.
    pub verdict: Verdict,
    /// Names that it binds at its top level; `None` if they cannot be listed.
    pub defines: Option<Vec<String>>,
}

impl CodeBeside {
    /// What later decisions need of a judged file, if it is Python by its name.
    pub fn of(path: &str, facts: &Facts, report: &Report) -> Option<Self> {
        let outer = || facts.facts.iter().filter(|f| f.location.path.is_empty()).map(|f| &f.kind);
        let listed = outer().find_map(|kind| match kind {
            FactKind::Source { code, rendering, .. } if code == "defines" => Some(rendering.as_str()),
            _ => None,
        });
        let python = outer().any(|kind| matches!(kind, FactKind::Reading { code } if code == "python"));
        let defines = match listed {
            Some("*") => None,
            Some(names) => Some(names.split(' ').map(str::to_string).collect()),
            None => python.then(Vec::new),
        };
        path.ends_with(".py").then(|| Self { path: path.into(), verdict: report.verdict, defines })
    }

    /// What speaks against loading `name` from this file.
    pub(crate) fn objection(&self, name: &str) -> Option<String> {
        let path = escape(&self.path);
        if self.verdict >= Verdict::Suspicious {
            return Some(format!("{path}, which it names, is {}", self.verdict));
        }
        let missing = self.defines.as_ref().is_some_and(|d| !name.is_empty() && !d.iter().any(|n| n == name));
        missing
            .then(|| format!("{path} holds no {name}: importing it serves no purpose but what it does then"))
    }
}

/// Raises findings about names of code to what is known of the files that they name: a report of a configuration by
/// itself knows the name only. `path` and `siblings` are as in [`crate::Context`].
pub fn hold_against(report: &mut Report, path: &str, siblings: &[String], code: &[CodeBeside]) {
    for f in &mut report.findings {
        let Some(file) = f.names.as_ref().and_then(|names| code_beside(names, path, siblings)) else {
            continue;
        };
        let name = f.names.as_ref().map_or("", |n| n.name.as_str());
        let judged = code.iter().find(|c| c.path == file);
        if let Some(objection) = judged.and_then(|c| c.objection(name)) {
            f.verdict = f.verdict.max(Verdict::Suspicious);
            f.message = format!("{}; {objection}", f.message);
            report.verdict = report.verdict.max(f.verdict);
            report.reason = None;
        }
    }
}

/// The file that a name in the configuration at `path` means: in the same folder, in a folder of a part beside it, or at
/// the root.
pub(crate) fn code_beside<'a>(names: &OwnCode, path: &str, siblings: &'a [String]) -> Option<&'a str> {
    let folder = path.rfind('/').map_or("", |at| &path[..=at]);
    let file = format!("{}.py", names.module);
    let fits = |s: &str| {
        let part = s.strip_prefix(folder).and_then(|rest| rest.strip_suffix(&file));
        s == file || part.is_some_and(|part| part.ends_with('/') && part.matches('/').count() == 1)
    };
    siblings
        .iter()
        .map(String::as_str)
        .find(|s| *s == format!("{folder}{file}"))
        .or_else(|| siblings.iter().map(String::as_str).find(|s| fits(s)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_named_file_is_looked_for() {
        let siblings: Vec<String> =
            ["a/net.py", "net.py", "unet/part.py", "deep/er/x.py", "net.txt"].map(String::from).to_vec();
        let found = |module: &str, path: &str| {
            let names = OwnCode { module: module.into(), name: "N".into(), or_installed: false };
            code_beside(&names, path, &siblings)
        };
        assert_eq!(found("net", "config.json"), Some("net.py"));
        assert_eq!(found("net", "a/config.json"), Some("a/net.py"));
        assert_eq!(found("part", "model_index.json"), Some("unet/part.py"));
        assert_eq!(found("x", "config.json"), None);
        assert_eq!(found("other", "config.json"), None);
    }

    #[test]
    fn what_speaks_against_a_file() {
        let code = |verdict, defines: Option<&[&str]>| CodeBeside {
            path: "net.py".into(),
            verdict,
            defines: defines.map(|d| d.iter().map(|n| n.to_string()).collect()),
        };
        assert_eq!(code(Verdict::Unknown, Some(&["Net"])).objection("Net"), None);
        assert_eq!(code(Verdict::Unknown, None).objection("Net"), None);
        assert!(code(Verdict::Unknown, Some(&["Other"])).objection("Net").is_some());
        assert!(code(Verdict::Malicious, Some(&["Net"])).objection("Net").is_some());
    }
}
