//! Writing to standard output and standard error.
//!
//! The macros of the standard library panic when the reader has gone (`weighbridge … | head`); here that is no error,
//! and `main.rs` keeps the macros out.

use anyhow::{Context, Result};
use std::fmt::Display;
use std::io::{ErrorKind, Write};

/// Writes `text` to standard output. False if its reader has gone: nobody will see what comes next either.
pub fn print(text: &str) -> Result<bool> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(e).context("cannot write the output"),
    }
}

/// One line about what went wrong. If standard error cannot be written either, the exit code is all that is left.
pub fn complain(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "weighbridge: {text}");
}
