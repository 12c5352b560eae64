//! What a file's name makes of its text: the same bytes are inert as `notes.txt` and code as `handler.py`.

use wb_verdict::Location;

/// The role a name gives to text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Imported or run by Python.
    Python,
    /// Read as an instruction by a tool: installed from, executed, followed to code.
    Instruction,
    /// Nothing of the kind.
    Document,
}

impl Role {
    /// True for names under which text is expected to be code.
    pub(super) fn is_code(self) -> bool {
        self != Self::Document
    }
}

/// The role of the file or member at `place` in the file asked for as `name`.
pub(super) fn of_place(place: &Location, name: &str) -> Role {
    // A member's own name counts, not that of the archive around it.
    let path = if place.path.is_empty() { name } else { place.path.rsplit('!').next().unwrap_or(name) };
    of_name(path)
}

fn of_name(path: &str) -> Role {
    let file = path.rsplit(['/', '\\']).next().unwrap_or(path).to_ascii_lowercase();
    let (stem, extension) = file.rsplit_once('.').unwrap_or((&file, ""));
    match extension {
        "py" | "pyw" | "pyi" | "ipynb" => return Role::Python,
        "sh" | "bash" | "zsh" | "bat" | "cmd" | "ps1" | "pl" | "rb" | "lua" | "js" | "mjs" => {
            return Role::Instruction;
        }
        _ => {}
    }
    let requirements =
        extension == "txt" && (stem.starts_with("requirements") || stem.ends_with("requirements"));
    let named = matches!(
        file.as_str(),
        "dockerfile"
            | "makefile"
            | "mlmodel"
            | "modelfile"
            | "conda.yaml"
            | "conda.yml"
            | "environment.yml"
            | "pyproject.toml"
            | "setup.cfg"
            | "pipfile"
            | "jenkinsfile"
    );
    if requirements || named || file.starts_with("dockerfile.") { Role::Instruction } else { Role::Document }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides_and_a_member_has_its_own() {
        assert_eq!(of_name("src/Handler.PY"), Role::Python);
        assert_eq!(of_name("requirements-dev.txt"), Role::Instruction);
        assert_eq!(of_name("Dockerfile"), Role::Instruction);
        assert_eq!(of_name("notes.txt"), Role::Document);
        assert_eq!(of_name("py"), Role::Document);
        assert_eq!(of_place(&Location::new("code/handler.py", None), "model.zip"), Role::Python);
        assert_eq!(of_place(&Location::new("", None), "a/run.sh"), Role::Instruction);
    }
}
