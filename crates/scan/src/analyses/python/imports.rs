//! Modules that import statements may name, wherever in a module they stand: at its top, in functions, under conditions.

use wb_python::ast::visitor::{Visitor, walk_stmt};
use wb_python::ast::{Alias, Stmt};

/// Most names told of one module.
const MAX: usize = 500;
/// Longest name told, in bytes.
const LONGEST: usize = 200;

/// Dotted names with their leading dots, sorted. What is imported *from* a module may be a module itself, so
/// `from .a import b` gives `.a.b`: every beginning of it is imported.
pub(super) fn of(body: &[Stmt]) -> Vec<String> {
    let mut names = Names::default();
    names.visit_body(body);
    names.0.sort();
    names.0.dedup();
    names.0.truncate(MAX);
    names.0
}

#[derive(Default)]
struct Names(Vec<String>);

impl Names {
    fn add(&mut self, from: &str, names: &[Alias]) {
        for alias in names {
            let name = alias.name.as_str();
            let joined = match (from.is_empty() || from.ends_with('.'), name) {
                (_, "*") => from.to_string(),
                (true, name) => format!("{from}{name}"),
                (false, name) => format!("{from}.{name}"),
            };
            // Twice as many as are told: duplicates go before the list is cut.
            if joined.len() <= LONGEST && !joined.is_empty() && self.0.len() < 2 * MAX {
                self.0.push(joined);
            }
        }
    }
}

impl<'a> Visitor<'a> for Names {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Import(s) => self.add("", &s.names),
            Stmt::ImportFrom(s) => {
                let dots = ".".repeat(s.level.min(20) as usize);
                let module = s.module.as_ref().map_or("", |m| m.as_str());
                self.add(&format!("{dots}{module}"), &s.names);
            }
            _ => walk_stmt(self, stmt),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::analyse;

    #[test]
    fn statements_anywhere() {
        let source = "import os.path, torch as t\nfrom . import a\nfrom .b import C\nfrom ..d import *\n\
            def f():\n    try:\n        from .late import x\n    except ImportError:\n        import fallback\n";
        let imports = analyse(source.as_bytes()).unwrap().imports;
        assert_eq!(imports, ["..d", ".a", ".b.C", ".late.x", "fallback", "os.path", "torch"]);
    }
}
