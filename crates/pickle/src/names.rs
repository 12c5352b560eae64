//! Python-2 names as CPython's unpickler maps them (`fix_imports`, protocols below 3).

use hashbrown::HashMap;
use std::sync::LazyLock;

struct Tables {
    names: HashMap<(&'static str, &'static str), (&'static str, &'static str)>,
    modules: HashMap<&'static str, &'static str>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let mut t = Tables { names: HashMap::new(), modules: HashMap::new() };
    for line in include_str!("../data/fix_imports.tsv").lines().filter(|l| !l.starts_with('#')) {
        let mut fields = line.split('\t');
        match (fields.next(), fields.next(), fields.next(), fields.next()) {
            (Some(m), Some(n), Some(to_m), Some(to_n)) => {
                t.names.insert((m, n), (to_m, to_n));
            }
            (Some(m), Some(to), ..) => {
                t.modules.insert(m, to);
            }
            _ => {}
        }
    }
    t
});

/// The Python 3 spelling of a Python 2 import; other names come back as they are.
pub fn fix_imports<'a>(module: &'a str, name: &'a str) -> (&'a str, &'a str) {
    if let Some(&found) = TABLES.names.get(&(module, name)) {
        return found;
    }
    (TABLES.modules.get(module).copied().unwrap_or(module), name)
}

#[cfg(test)]
mod tests {
    use super::fix_imports;

    #[test]
    fn both_tables_apply() {
        assert_eq!(fix_imports("__builtin__", "eval"), ("builtins", "eval"));
        assert_eq!(fix_imports("__builtin__", "xrange"), ("builtins", "range"));
        assert_eq!(fix_imports("urllib2", "urlopen"), ("urllib.request", "urlopen"));
        assert_eq!(fix_imports("copy_reg", "_reconstructor"), ("copyreg", "_reconstructor"));
        assert_eq!(fix_imports("os", "system"), ("os", "system"));
    }
}
