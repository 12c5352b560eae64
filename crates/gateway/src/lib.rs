//! The gate: a hub in front of a hub that lets nothing out which no decision allowed.
//!
//! ```text
//! request -> protocols::hf::route   an allow-list over the raw path
//!         -> access                 what is it, and may this requester have it: asked of the upstream
//!         -> judge_flow             kept facts, else fetch, verify, scan once for everybody who asks
//!         -> wb_policy::decide      anew for each request
//!         -> unit                   what the file makes its loader open, judged before it is released
//!         -> audit                  committed before the first byte
//!         -> deliver                the one function that releases content
//! ```
#![warn(missing_docs)]

mod access;
mod api;
mod config;
mod deliver;
mod flight;
mod gate;
mod judge_flow;
mod metrics;
mod policy_file;
mod protocols;
mod proxies;
mod range;
mod record;
mod requester;
mod server;
mod ui;
mod unit;

pub use config::{Config, Tls, Waiting};
pub use gate::Error;
pub use policy_file::LoadError;
pub use server::{Running, serve, spawn};
