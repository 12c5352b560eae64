//! References to code as `transformers` writes them: `module.Class`, `org/name--module.Class`.

/// What a reference means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reference<'a> {
    /// A class of a file beside the configuration.
    Own {
        /// File name without `.py`.
        module: &'a str,
        /// Class name.
        class: &'a str,
    },
    /// Code of another repository.
    Elsewhere {
        /// The repository.
        repo: &'a str,
        /// File name without `.py`.
        module: &'a str,
    },
    /// Nothing that a library writes: a path, a deeper name, no name at all.
    Odd,
}

/// Reads a reference. The library splits at the first `--`, then at the only dot.
pub(super) fn parse(text: &str) -> Reference<'_> {
    if let Some((repo, rest)) = text.split_once("--") {
        let name = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        let plain = repo.split('/').all(name) && repo.split('/').count() <= 2;
        return match own(rest).filter(|_| plain) {
            Some((module, _)) => Reference::Elsewhere { repo, module },
            None => Reference::Odd,
        };
    }
    match own(text) {
        Some((module, class)) => Reference::Own { module, class },
        None => Reference::Odd,
    }
}

fn own(text: &str) -> Option<(&str, &str)> {
    let (module, class) = text.split_once('.')?;
    // File names may hold a dash, which no import statement takes but the dynamic loader does.
    let file = module.len() <= 200
        && module.starts_with(|c: char| c.is_alphanumeric() || c == '_')
        && module.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    (file && super::targets::is_identifier(class)).then_some((module, class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_code_is_named() {
        assert_eq!(parse("modeling_x.Net"), Reference::Own { module: "modeling_x", class: "Net" });
        assert_eq!(parse("modeling-x.Net"), Reference::Own { module: "modeling-x", class: "Net" });
        let elsewhere = |repo| Reference::Elsewhere { repo, module: "modeling_x" };
        assert_eq!(parse("org/repo--modeling_x.Net"), elsewhere("org/repo"));
        assert_eq!(parse("gpt--modeling_x.Net"), elsewhere("gpt"));
        for odd in [
            "",
            "Net",
            "a.b.Net",
            "../a.Net",
            "/tmp/a.Net",
            "..a.Net",
            "a/b.Net",
            "a.Net()",
            "../../x--a.Net",
            "org/repo--../a.Net",
            "https://h/x--a.Net",
            "org/a/b--m.Net",
        ] {
            assert_eq!(parse(odd), Reference::Odd, "{odd}");
        }
    }
}
