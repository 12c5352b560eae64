//! Commands that need the engine are built in a second step, so that the first one is quick.

/// `cargo xtask docs`, `cargo xtask corpus` and `cargo xtask diff-fuzz`.
#[cfg(feature = "engine")]
pub fn command(name: &str, args: &[String]) -> Result<(), String> {
    match name {
        "docs" => crate::docs::command(args),
        "diff-fuzz" => crate::diff::command(args),
        _ => crate::corpus::command(args),
    }
}

/// Runs this program again, built with the engine.
#[cfg(not(feature = "engine"))]
pub fn command(name: &str, args: &[String]) -> Result<(), String> {
    let env = crate::run::Env::new()?;
    let mut command =
        env.cargo(&["run", "--quiet", "--package", "xtask", "--features", "engine", "--", name]);
    // Folders are relative to where the command was given.
    if let Ok(here) = std::env::current_dir() {
        command.current_dir(here);
    }
    let status = command.args(args).status().map_err(|e| format!("cannot start cargo: {e}"))?;
    if status.success() { Ok(()) } else { Err(String::new()) }
}
