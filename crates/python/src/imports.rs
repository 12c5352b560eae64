//! What an import statement names.

/// The package that relative imports of `module` start from.
pub fn package_of(module: &str, is_package: bool) -> &str {
    match is_package {
        true => module,
        false => module.rsplit_once('.').map_or("", |(package, _)| package),
    }
}

/// The absolute module of `from ...level name import`, in a module of package `package`; `None` beyond the top.
pub fn absolute(package: &str, level: u32, name: Option<&str>) -> Option<String> {
    if level == 0 {
        return name.map(str::to_string);
    }
    let mut base = package;
    for _ in 1..level {
        base = base.rsplit_once('.')?.0;
    }
    match (base, name) {
        ("", _) => None,
        (base, None) => Some(base.to_string()),
        (base, Some(name)) => Some(format!("{base}.{name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_imports() {
        assert_eq!(package_of("a.b.c", false), "a.b");
        assert_eq!(package_of("a.b", true), "a.b");
        assert_eq!(absolute("a.b", 1, Some("x")).as_deref(), Some("a.b.x"));
        assert_eq!(absolute("a.b", 2, Some("x")).as_deref(), Some("a.x"));
        assert_eq!(absolute("a.b", 2, None).as_deref(), Some("a"));
        assert_eq!(absolute("a.b", 3, Some("x")), None);
        assert_eq!(absolute("a.b", 0, Some("os.path")).as_deref(), Some("os.path"));
    }
}
