//! Streams run by the machine, every event as a line.
#![allow(dead_code, reason = "each test file uses a part")]

use std::fmt::Write;
use wb_blob::{Blob, Budget, Limits};
use wb_pickle::{Callee, Machine, Nested, Observer, PendingCall, PendingValue};

/// Every event as a line.
#[derive(Default)]
pub struct Log(pub String);

impl Observer for Log {
    fn import(&mut self, offset: u64, _: u32, callee: &Callee) {
        let _ = writeln!(self.0, "import {offset} {}", callee.rendering);
    }
    fn call(&mut self, call: &PendingCall<'_>) {
        let decoded = call.decode();
        let plain = if decoded.as_call().plain_args { "" } else { " not-plain" };
        let _ = writeln!(self.0, "{:?} {} {}{plain}", call.how, call.offset, decoded.rendering());
    }
    fn structure(&mut self, offset: u64, code: &'static str, _: &str) {
        let _ = writeln!(self.0, "structure {offset} {code}");
    }
    fn resource(&mut self, offset: u64, code: &'static str, _: &str) {
        let _ = writeln!(self.0, "resource {offset} {code}");
    }
    fn nested(&mut self, offset: u64, by: &str, bytes: Nested) {
        let _ = writeln!(self.0, "nested {offset} {by} {bytes:?}");
    }
    fn persistent(&mut self, id: &PendingValue<'_>) {
        let _ = writeln!(self.0, "persistent {} {:?}", id.offset(), id.value());
    }
}

/// The ids of imports.
#[derive(Default)]
pub struct Names(pub Vec<(u32, String)>);

impl Observer for Names {
    fn import(&mut self, _: u64, id: u32, callee: &Callee) {
        self.0.push((id, callee.rendering.clone()));
    }
}

pub fn run_blob(blob: &Blob, chunk: usize) -> String {
    let budget = Budget::new(Limits::default());
    let mut log = Log::default();
    let run = Machine::with_chunk(blob, 0, &budget, chunk).run(&mut log);
    let _ = writeln!(log.0, "end {:?} after {} steps", run.end, run.steps);
    log.0
}

pub fn run(bytes: &[u8]) -> String {
    run_blob(&Blob::from_vec(bytes.to_vec()), 1 << 16)
}

#[track_caller]
pub fn expect(bytes: &[u8], wanted: &[&str]) {
    let log = run(bytes);
    for w in wanted {
        assert!(log.contains(w), "wanted {w:?} in:\n{log}");
    }
}

pub fn s(text: &str) -> Vec<u8> {
    let mut v = vec![0x8c, text.len() as u8];
    v.extend(text.as_bytes());
    v
}

pub fn cat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

pub const CALL: &str = "posix.system('id')";
