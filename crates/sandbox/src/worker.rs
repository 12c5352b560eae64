//! The child's side.

use std::process::ExitCode;

/// Serves scans on descriptor 0 until it is closed. Called by the hidden `worker` command.
pub fn worker_main() -> ExitCode {
    ExitCode::FAILURE
}
