//! Runs the machine over files and prints opcodes, time and peak memory of this process.
//!
//! `cargo run --release -p wb-pickle --example time_run -- FILE…`

use std::time::Instant;
use wb_blob::{Blob, Budget, Limits};
use wb_pickle::{Machine, Observer, PendingCall};

#[derive(Default)]
struct Count(u64);

impl Observer for Count {
    fn call(&mut self, _: &PendingCall<'_>) {
        self.0 += 1;
    }
}

fn main() -> std::io::Result<()> {
    for path in std::env::args_os().skip(1) {
        let blob = Blob::from_file(std::fs::File::open(&path)?)?;
        let budget = Budget::new(Limits::default());
        let mut calls = Count::default();
        let start = Instant::now();
        let run = Machine::new(&blob, 0, &budget).run(&mut calls);
        let time = start.elapsed();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or("");
        println!(
            "{}: {:?}, {} opcodes, {} calls, {time:?}, {:.2} ns/opcode, {:.2} GB/s, {peak}",
            path.to_string_lossy(),
            run.end,
            run.steps,
            calls.0,
            time.as_nanos() as f64 / run.steps.max(1) as f64,
            blob.len() as f64 / time.as_nanos().max(1) as f64,
        );
    }
    Ok(())
}
