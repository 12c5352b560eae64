//! Load at a fixed rate: `paced ADDRESS PATH RATE CONNECTIONS SECONDS [HEADER…]`.
//!
//! wrk asks again as soon as it is answered, so it measures a saturated machine, and a stall delays the very requests
//! that would have shown it. Here every connection has a timetable, RATE / CONNECTIONS requests a second, and a
//! request's time counts from the moment it was due, not from when it was sent. One blocking thread per connection.
//! Compiled by benches/serve.py with `rustc -O`; prints `rate p50 p90 p99 max late errors`, times in ms.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address, path, rate, connections, seconds, headers @ ..] = args.as_slice() else {
        eprintln!("usage: paced ADDRESS PATH RATE CONNECTIONS SECONDS [HEADER…]");
        std::process::exit(4);
    };
    let number = |text: &String| text.parse::<f64>().expect("a number");
    let (rate, connections, seconds) = (number(rate), number(connections) as usize, number(seconds));
    let more: String = headers.iter().map(|h| format!("{h}\r\n")).collect();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{more}\r\n");
    let every = Duration::from_secs_f64(connections as f64 / rate);
    let start = Instant::now() + Duration::from_millis(200);
    let threads: Vec<_> = (0..connections)
        .map(|i| {
            let (address, request) = (address.clone(), request.clone());
            let first = start + every.mul_f64(i as f64 / connections as f64);
            std::thread::spawn(move || connection(&address, request.as_bytes(), first, every, seconds))
        })
        .collect();
    let mut times = Vec::new();
    let (mut errors, mut late) = (0, 0);
    for thread in threads {
        let (more, wrong, behind) = thread.join().expect("a connection");
        times.extend(more);
        errors += wrong;
        late += behind;
    }
    times.sort_unstable();
    let at = |q: f64| times[((times.len() - 1) as f64 * q) as usize] as f64 / 1e6;
    let done = times.len() as f64 / seconds;
    println!("{done:.0} {:.3} {:.3} {:.3} {:.3} {late} {errors}", at(0.5), at(0.9), at(0.99), at(1.0));
}

/// Times in ns, answers other than 200, requests that were sent late because the one before was not answered yet.
fn connection(
    address: &str,
    request: &[u8],
    first: Instant,
    every: Duration,
    seconds: f64,
) -> (Vec<u64>, u64, u64) {
    let mut stream = TcpStream::connect(address).expect("the server");
    stream.set_nodelay(true).expect("no delay");
    let count = (seconds / every.as_secs_f64()) as u32;
    let (mut times, mut errors, mut late) = (Vec::with_capacity(count as usize), 0, 0);
    let mut buffer = vec![0; 64 << 10];
    for n in 0..count {
        let due = first + every * n;
        match due.checked_duration_since(Instant::now()) {
            Some(wait) => std::thread::sleep(wait),
            None => late += 1,
        }
        stream.write_all(request).expect("to send");
        errors += u64::from(!answer(&mut stream, &mut buffer));
        times.push(due.elapsed().as_nanos() as u64);
    }
    (times, errors, late)
}

/// Reads one whole answer; true if it is a 200.
fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> bool {
    let mut have = 0;
    loop {
        have += match stream.read(&mut buffer[have..]).expect("an answer") {
            0 => panic!("the connection ended"),
            n => n,
        };
        let Some(head) = buffer[..have].windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
        let length =
            text.lines().find_map(|l| l.strip_prefix("content-length:")).and_then(|v| v.trim().parse().ok());
        if have >= head + 4 + length.unwrap_or(0_usize) {
            return text.starts_with("http/1.1 200");
        }
    }
}
