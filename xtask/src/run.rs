//! Starting other programs: from the repository's root, with an empty home, output passed on and kept.

use std::env;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Prints a line. The macro of the standard library panics when the reader has gone (`cargo xtask test | head`); tests
/// and comparisons run to their end all the same, and the exit code says how they ended.
pub fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// The same, to standard error.
pub fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The surroundings every stage runs in.
pub struct Env {
    /// The repository.
    pub root: PathBuf,
    /// Where cargo puts what it builds.
    pub target: PathBuf,
    /// The cargo that started this, so that a toolchain chosen by `+x` stays chosen.
    pub cargo: String,
    home: TempDir,
    kept: Vec<(&'static str, PathBuf)>,
}

/// How a program ended, and what it said.
pub struct Output {
    /// It ended with 0.
    pub ok: bool,
    /// Its output, both streams.
    pub text: String,
}

impl Env {
    /// Works out the surroundings. HOME becomes an empty folder for everything started here.
    pub fn new() -> Result<Self, String> {
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("xtask has no parent folder")?.to_path_buf();
        let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let home = tempfile::Builder::new().prefix("empty-home-").tempdir().map_err(|e| {
            format!("cannot make a temporary folder: {e}\nset TMPDIR to a folder that can be written")
        })?;
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => root.join(dir),
            None => root.join("target"),
        };
        // The toolchain and its downloads stay where they are: only configuration must not leak in.
        let real = env::var_os("HOME").map(PathBuf::from);
        let mut kept = Vec::new();
        for (name, default) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            let dir = env::var_os(name).map(PathBuf::from).or_else(|| real.as_ref().map(|h| h.join(default)));
            if let Some(dir) = dir.filter(|d| d.is_dir()) {
                kept.push((name, dir));
            }
        }
        Ok(Self { root, target, cargo, home, kept })
    }

    /// A program, with an empty HOME and without XDG folders.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut c = Command::new(program);
        c.current_dir(&self.root).stdin(Stdio::null()).env("HOME", self.home.path());
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("XDG_") || name.starts_with("HF_") || name.starts_with("WEIGHBRIDGE_") {
                c.env_remove(&*name);
            }
        }
        for (name, dir) in &self.kept {
            c.env(name, dir);
        }
        c
    }

    /// Cargo.
    pub fn cargo(&self, args: &[&str]) -> Command {
        let mut c = self.command(&self.cargo);
        // Set for this very program by cargo; what it starts must not inherit them.
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR" || name == "CARGO_MANIFEST_PATH"
            {
                c.env_remove(&*name);
            }
        }
        c.args(args);
        c
    }

    /// The Python that the environments are made with.
    pub fn python(&self) -> String {
        env::var("PYTHON").unwrap_or_else(|_| "python3".into())
    }
}

/// Runs a program, passing its output on line by line. Both streams are kept; stderr is passed on as stderr.
pub fn tee(mut command: Command) -> Result<Output, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| format!("cannot start {name}: {e}"))?;
    let stderr = child.stderr.take();
    let errors =
        std::thread::spawn(move || stderr.map(|s| pass_on(s, std::io::stderr())).unwrap_or_default());
    let mut text = child.stdout.take().map(|s| pass_on(s, std::io::stdout())).unwrap_or_default();
    text.push_str(&errors.join().unwrap_or_default());
    let status = child.wait().map_err(|e| format!("lost {name}: {e}"))?;
    Ok(Output { ok: status.success(), text })
}

/// Runs a program quietly.
pub fn quiet(mut command: Command) -> Option<Output> {
    let o = command.output().ok()?;
    let text = String::from_utf8_lossy(&o.stdout).into_owned() + &String::from_utf8_lossy(&o.stderr);
    Some(Output { ok: o.status.success(), text })
}

fn pass_on(from: impl Read, mut to: impl Write) -> String {
    let (mut from, mut all, mut line) = (BufReader::new(from), String::new(), Vec::new());
    while matches!(from.read_until(b'\n', &mut line), Ok(n) if n > 0) {
        // Whoever reads our output may have gone; the tests still have to run to their end.
        let _ = to.write_all(&line).and_then(|()| to.flush());
        all.push_str(&String::from_utf8_lossy(&line));
        line.clear();
    }
    all
}
