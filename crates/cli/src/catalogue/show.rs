//! What the catalogue says of one name.

use std::fmt::Write;
use wb_scan::catalogue::{About, VERSION, about, split};
use wb_verdict::{CallClass, escape};

/// The answer, as text.
pub fn show(given: &str) -> String {
    let (module, name) = given.split_once(':').unwrap_or_else(|| split(given));
    let about = about(module, name);
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut out, &about, module, name);
    out
}

fn write(out: &mut String, about: &About, module: &str, name: &str) -> std::fmt::Result {
    let shown = if name.is_empty() { escape(module) } else { format!("{}.{}", escape(module), escape(name)) };
    writeln!(out, "{shown}")?;
    writeln!(out, "  module     {}, {}", escape(module), known(about.known))?;
    match &about.harmless {
        Some(entry) => {
            let source = match (entry.derived, entry.versions) {
                (false, _) => "reviewed by hand".to_string(),
                (true, "") => "derived from sources".to_string(),
                (true, versions) => format!("derived from sources of versions {versions}"),
            };
            writeln!(out, "  harmless   {}", entry.uses.join(", "))?;
            writeln!(out, "  arguments  {}", entry.args)?;
            writeln!(out, "  proof      {source}")?;
        }
        None => writeln!(out, "  harmless   no entry")?,
    }
    match about.dangerous {
        Some((effect, derived)) => {
            let source = if derived { "derived from sources" } else { "listed" };
            writeln!(out, "  dangerous  {} ({source})", format!("{effect:?}").to_lowercase())?;
        }
        None => writeln!(out, "  dangerous  no")?,
    }
    if let Some(part) = about.carries {
        writeln!(out, "  rebuilds   code ({part})")?;
    }
    writeln!(out, "\n  use        what a pickle that does so is")?;
    for (used, class) in &about.uses {
        writeln!(out, "  {used:<10} {}", outcome(class, used, about))?;
    }
    writeln!(out, "\n  catalogue {VERSION}")
}

fn known(known: bool) -> &'static str {
    match known {
        true => "of the standard library or a catalogued distribution",
        false => "of no catalogued distribution",
    }
}

fn outcome(class: &CallClass, used: &str, about: &About) -> String {
    match class {
        CallClass::Harmless => {
            let args = about.harmless.as_ref().map_or("any", |e| e.args);
            match (used, args) {
                ("call" | "new", args) if args != "any" => format!("clean, if its arguments are: {args}"),
                _ => "clean".into(),
            }
        }
        CallClass::Dangerous { effect } => match used {
            "data" => {
                format!("malicious or suspicious: it holds a name with effect {effect:?}").to_lowercase()
            }
            _ => format!("malicious: effect {effect:?}").to_lowercase(),
        },
        CallClass::CarriesCode => "suspicious: it carries code".into(),
        CallClass::KnownUncatalogued => "suspicious: no entry for this use".into(),
        CallClass::Unknown => match used {
            "data" | "new" | "build" => "unknown-class, if its data are plain; else suspicious".into(),
            _ => "suspicious: of no catalogued distribution".into(),
        },
        CallClass::Unresolved => "suspicious: cannot be worked out".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::show;

    #[test]
    fn each_use_and_where_the_word_comes_from() {
        let linear = show("torch.nn.modules.linear.Linear");
        assert!(linear.contains("torch.nn.modules.linear, of the standard library or"), "{linear}");
        assert!(linear.contains("new        clean"), "{linear}");
        assert!(linear.contains("call       suspicious: no entry"), "{linear}");
        let system = show("os:system");
        assert!(system.contains("dangerous  process (listed)"), "{system}");
        assert!(system.contains("call       malicious: effect process"), "{system}");
        let partial = show("functools.partial");
        assert!(partial.contains("call       clean, if its arguments are: partial"), "{partial}");
        assert!(partial.contains("proof      reviewed by hand"), "{partial}");
        let mine = show("mypkg.models.Net");
        assert!(mine.contains("mypkg.models, of no catalogued distribution"), "{mine}");
        assert!(mine.contains("new        unknown-class, if its data are plain"), "{mine}");
        let code = show("cloudpickle.cloudpickle._make_function");
        assert!(code.contains("rebuilds   code (code)") && code.contains("it carries code"), "{code}");
        assert!(show("a\u{1b}[2J.b").lines().all(|l| !l.contains('\u{1b}')));
    }
}
