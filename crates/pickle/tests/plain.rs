//! Plain values as CPython writes them, decoded alike from every protocol.

use wb_blob::{Blob, Budget, Limits};
use wb_pickle::{Decoded, End, Machine, Observer, PendingCall, Value};

struct Calls(Vec<Decoded>);

impl Observer for Calls {
    fn call(&mut self, call: &PendingCall<'_>) {
        self.0.push(call.decode());
    }
}

fn text(s: &str) -> Value {
    Value::Str { text: s.into(), len: s.len() as u64, cut: false }
}

fn ints(n: std::ops::RangeInclusive<i64>) -> Vec<Value> {
    n.map(Value::Int).collect()
}

#[test]
fn every_protocol_gives_the_same_values() {
    let mut seen = 0;
    for line in include_str!("plain.tsv").lines().filter(|l| !l.starts_with('#')) {
        let (protocol, hex) = line.split_once('\t').unwrap();
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
        let blob = Blob::from_vec(bytes);
        let budget = Budget::new(Limits::default());
        let mut machine = Machine::new(&blob, 0, &budget);
        let mut calls = Calls(Vec::new());
        let run = machine.run(&mut calls);
        assert!(matches!(run.end, End::Stop(n) if n == blob.len()), "{protocol}: {:?}", run.end);
        let Value::Tuple(items) = machine.result() else { panic!("{protocol}: no tuple") };
        let numbers = [1, -2, 300, 70_000, -(1 << 31), 1 << 40].map(Value::Int);
        assert_eq!(items[..6], numbers, "{protocol}");
        assert!(matches!(items[6], Value::BigInt { .. }), "{protocol}");
        assert_eq!(items[7..10], [Value::Bool(true), Value::Bool(false), Value::None], "{protocol}");
        assert_eq!(items[10..12], [Value::Float(1.5), Value::Float(f64::INFINITY)], "{protocol}");
        assert_eq!(items[12].as_str(), Some("a'b\\c\n\u{20ac}"), "{protocol}");
        // Below protocol 3 bytes are written as a call of `_codecs.encode`, which is followed.
        assert_eq!(items[13], Value::Bytes { len: 3, head: b"\x00\xffz".to_vec() }, "{protocol}");
        assert_eq!(items[14], Value::Tuple(vec![]), "{protocol}");
        for n in 1..=4usize {
            assert_eq!(items[14 + n], Value::Tuple(ints(1..=n as i64)), "{protocol}");
        }
        assert_eq!(items[19], Value::List(vec![]), "{protocol}");
        let three = Value::List(vec![Value::Int(2), Value::List(ints(3..=3))]);
        assert_eq!(items[20], Value::List(vec![Value::Int(1), three]), "{protocol}");
        assert_eq!(items[21], Value::Dict(vec![]), "{protocol}");
        let inner = Value::Dict(vec![(text("m"), Value::Tuple(ints(4..=5)))]);
        let dict = match &items[22] {
            Value::Dict(d) => d,
            other => panic!("{protocol}: {other:?}"),
        };
        assert_eq!(dict[0].1, Value::List(ints(1..=2)), "{protocol}");
        assert_eq!(dict[1].0.as_str(), Some("l"), "{protocol}");
        assert_eq!(dict[1].1, inner, "{protocol}");
        if protocol.parse::<u32>().unwrap() >= 4 {
            assert_eq!(items[23], Value::Set(ints(7..=7)));
            assert_eq!(items[24], Value::FrozenSet(ints(8..=8)));
            assert!(calls.0.is_empty());
        } else {
            assert!(matches!(&items[23], Value::Object { made_by, .. } if made_by == "builtins.set"));
        }
        seen += 1;
    }
    assert_eq!(seen, 6);
}
