//! The machine over dense streams: `cargo bench -p wb-pickle`.

use divan::{Bencher, counter::BytesCount};
use wb_blob::{Blob, Budget, Limits};
use wb_pickle::{Machine, Observer};

struct Ignore;
impl Observer for Ignore {}

fn stream(item: impl Fn(u32, &mut Vec<u8>), count: u32, close: &[u8]) -> Vec<u8> {
    let mut out = b"\x80\x04".to_vec();
    out.push(if close == b"u" { b'}' } else { b']' });
    for i in 0..count {
        if i % 1000 == 0 {
            out.push(b'(');
        }
        item(i, &mut out);
        if i % 1000 == 999 || i + 1 == count {
            out.extend(close);
        }
    }
    out.push(b'.');
    out
}

fn run(bencher: Bencher<'_, '_>, bytes: Vec<u8>) {
    let blob = Blob::from_vec(bytes);
    bencher.counter(BytesCount::new(blob.len())).bench(|| {
        let budget = Budget::new(Limits::default());
        Machine::new(&blob, 0, &budget).run(&mut Ignore).steps
    });
}

#[divan::bench]
fn small_integers(b: Bencher<'_, '_>) {
    run(b, stream(|i, out| out.extend([b'K', i as u8]), 5_000_000, b"e"));
}

#[divan::bench]
fn mixed_integers(b: Bencher<'_, '_>) {
    let item = |i: u32, out: &mut Vec<u8>| match i.wrapping_mul(2_654_435_761) >> 30 {
        0 => out.extend([b'K', i as u8]),
        1 => out.extend([b'M', i as u8, 1]),
        _ => {
            out.push(b'J');
            out.extend(i.to_le_bytes());
        }
    };
    run(b, stream(item, 3_000_000, b"e"));
}

#[divan::bench]
fn floats(b: Bencher<'_, '_>) {
    let item = |i: u32, out: &mut Vec<u8>| {
        out.push(b'G');
        out.extend(f64::from(i).to_be_bytes());
    };
    run(b, stream(item, 2_000_000, b"e"));
}

#[divan::bench]
fn dict_of_short_strings(b: Bencher<'_, '_>) {
    let item = |i: u32, out: &mut Vec<u8>| {
        for prefix in ["k", "v"] {
            let text = format!("{prefix}{i}");
            out.extend([0x8c, text.len() as u8]);
            out.extend(text.as_bytes());
            out.push(0x94);
        }
    };
    run(b, stream(item, 1_000_000, b"u"));
}

#[divan::bench]
fn pairs(b: Bencher<'_, '_>) {
    run(b, stream(|i, out| out.extend([b'K', i as u8, b'K', 1, 0x86, 0x94]), 2_000_000, b"e"));
}

#[divan::bench]
fn byte_strings(b: Bencher<'_, '_>) {
    let item = |_, out: &mut Vec<u8>| {
        out.extend(b"B\x00\x10\x00\x00");
        out.resize(out.len() + 4096, 7);
    };
    run(b, stream(item, 10_000, b"e"));
}

fn main() {
    divan::main();
}
