//! What a file's name makes of its text: the same bytes are inert as `notes.txt` and code as `handler.py`.

use wb_verdict::Location;

/// The role a name gives to text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Imported or run by Python.
    Python,
    /// Opened by Jupyter.
    Notebook,
    /// Installed from by pip.
    Requirements,
    /// Installed from by conda and the like.
    Environment,
    /// Read by mlflow when a model is loaded.
    MlModel,
    /// Read as YAML.
    Yaml,
    /// Run by a shell, make or docker when a person starts it.
    Script,
    /// Read as an instruction by some other tool.
    Instruction,
    /// Nothing of the kind.
    Document,
}

impl Role {
    /// True for names under which text is expected to be code.
    pub(super) fn is_code(self) -> bool {
        !matches!(self, Self::Document | Self::Yaml)
    }
}

/// The role of the file or member at `place` in the file asked for as `name`.
pub(super) fn of_place(place: &Location, name: &str) -> Role {
    // A member's own name counts, not that of the archive around it.
    let path = if place.path.is_empty() { name } else { place.path.rsplit('!').next().unwrap_or(name) };
    of_name(path)
}

/// True if the name says that this is text, which nobody unpickles.
pub(super) fn is_text(place: &Location, name: &str) -> bool {
    const TEXT: &[&str] = &[
        "cfg",
        "codes",
        "conf",
        "css",
        "csv",
        "dict",
        "htm",
        "html",
        "ini",
        "ipynb",
        "js",
        "json",
        "jsonl",
        "labels",
        "license",
        "log",
        "md",
        "merges",
        "names",
        "ndjson",
        "properties",
        "py",
        "rst",
        "sh",
        "sql",
        "srt",
        "svg",
        "tex",
        "toml",
        "tsv",
        "txt",
        "vocab",
        "xml",
        "yaml",
        "yml",
    ];
    const FILES: &[&str] = &["license", "licence", "readme", "notice", "changelog", "dockerfile", "makefile"];
    let path = if place.path.is_empty() { name } else { place.path.rsplit('!').next().unwrap_or(name) };
    let file = path.rsplit(['/', '\\']).next().unwrap_or(path).to_ascii_lowercase();
    match file.rsplit_once('.') {
        Some((_, extension)) => TEXT.contains(&extension),
        None => FILES.contains(&file.as_str()),
    }
}

/// True if every function of the file is an entrance: torch.hub calls them by name.
pub(super) fn is_entrance(place: &Location, name: &str) -> bool {
    let path = if place.path.is_empty() { name } else { place.path.rsplit('!').next().unwrap_or(name) };
    path.rsplit(['/', '\\']).next() == Some("hubconf.py")
}

fn of_name(path: &str) -> Role {
    let file = path.rsplit(['/', '\\']).next().unwrap_or(path).to_ascii_lowercase();
    let (stem, extension) = file.rsplit_once('.').unwrap_or((&file, ""));
    match extension {
        "py" | "pyw" => return Role::Python,
        "ipynb" => return Role::Notebook,
        "sh" | "bash" | "zsh" => return Role::Script,
        "yaml" | "yml" if !matches!(stem, "conda" | "environment" | "python_env") => return Role::Yaml,
        "bat" | "cmd" | "ps1" | "pl" | "rb" | "lua" | "js" | "mjs" => return Role::Instruction,
        "txt" if stem.starts_with("requirements") || stem.ends_with("requirements") => {
            return Role::Requirements;
        }
        _ => {}
    }
    match file.as_str() {
        "mlmodel" => Role::MlModel,
        "conda.yaml" | "conda.yml" | "environment.yml" | "environment.yaml" | "python_env.yaml"
        | "pyproject.toml" | "setup.cfg" | "pipfile" => Role::Environment,
        "dockerfile" | "makefile" => Role::Script,
        "jenkinsfile" => Role::Instruction,
        // Its paths, templates and messages are facts of their own.
        "modelfile" => Role::Document,
        file if file.starts_with("dockerfile.") => Role::Script,
        _ => Role::Document,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_by_its_name() {
        let text = |name| is_text(&Location::default(), name);
        assert!(text("data/labels.TXT") && text("LICENSE") && text("vocab.json"));
        assert!(!text("model.pkl") && !text("weights") && !text("x.txt/model.bin") && !text("model.joblib"));
    }

    #[test]
    fn the_name_decides_and_a_member_has_its_own() {
        assert_eq!(of_name("src/Handler.PY"), Role::Python);
        assert_eq!(of_name("requirements-dev.txt"), Role::Requirements);
        assert_eq!(of_name("Dockerfile"), Role::Script);
        assert_eq!(of_name("types.pyi"), Role::Document, "stubs are never run");
        assert_eq!(of_name("notes.txt"), Role::Document);
        assert_eq!(of_name("py"), Role::Document);
        assert_eq!(of_place(&Location::new("code/handler.py", None), "model.zip"), Role::Python);
        assert_eq!(of_place(&Location::new("", None), "a/run.sh"), Role::Script);
    }
}
