//! The policy in force, and its replacement while the gate runs.
//!
//! A policy that does not load at start stops the gate. One that does not load later changes nothing: the old one
//! stays and `/healthz` says so.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;
use wb_policy::{Policy, Profile};

/// Why a policy could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read policy {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file is no valid policy.
    #[error("{0}")]
    Parse(#[from] wb_policy::PolicyErrors),
}

/// The policy in force.
pub struct PolicyFile {
    path: Option<PathBuf>,
    current: RwLock<Arc<Policy>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    seen: Option<(SystemTime, u64)>,
    error: Option<String>,
}

impl PolicyFile {
    /// Loads `path`; without one the profile `default` holds. A profile can be meant by its name, unless a file has it.
    pub fn load(path: Option<PathBuf>) -> Result<Self, LoadError> {
        let named = path.as_ref().filter(|p| !p.exists()).and_then(Profile::named);
        let path = if named.is_some() { None } else { path };
        let state = State { seen: path.as_ref().and_then(stamp), error: None };
        let policy = match &path {
            Some(p) => read(p)?,
            None => Policy::builtin(named.unwrap_or(Profile::Default)),
        };
        Ok(Self { path, current: RwLock::new(Arc::new(policy)), state: Mutex::new(state) })
    }

    /// The policy in force now.
    pub fn current(&self) -> Arc<Policy> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is wrong with the file on disk, if the policy in force is older than it.
    pub fn error(&self) -> Option<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).error.clone()
    }

    /// Reloads if the file changed. Returns true if a new policy is in force.
    pub fn reload_if_changed(&self) -> bool {
        let Some(path) = &self.path else { return false };
        let now = stamp(path);
        let changed = self.state.lock().unwrap_or_else(PoisonError::into_inner).seen != now;
        changed && self.reload()
    }

    /// Reloads. Returns true if a new policy is in force; otherwise the old one stays.
    pub fn reload(&self) -> bool {
        let Some(path) = &self.path else { return false };
        let seen = stamp(path);
        let loaded = read(path);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.seen = seen;
        match loaded {
            Ok(policy) => {
                tracing::info!(policy = policy.name(), "policy loaded");
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
                state.error = None;
                true
            }
            Err(e) => {
                tracing::error!(error = %e, "policy not loaded, the old one stays in force");
                state.error = Some(e.to_string());
                false
            }
        }
    }
}

fn read(path: &PathBuf) -> Result<Policy, LoadError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| LoadError::Read { path: path.clone(), error })?;
    Ok(Policy::parse(&text, &path.display().to_string())?)
}

fn stamp(path: &PathBuf) -> Option<(SystemTime, u64)> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}
