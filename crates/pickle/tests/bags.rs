//! Objects whose attributes, items or numbers make others do something: each beside what differs in that alone.

mod support;

use support::{cat, expect, run, s};
use wb_blob::{Blob, Budget, Limits};
use wb_pickle::{End, Held, Machine, Observer, PendingCall};

fn global(module: &str, name: &str) -> Vec<u8> {
    cat(&[&s(module), &s(name), b"\x93"])
}

#[test]
fn an_item_shown_as_attribute_is_what_the_next_build_calls() {
    let stream = |key: &str| {
        let made = cat(&[&global("m", "Shown"), b")\x81", &s(key), &global("pkg", "run"), b"s"]);
        cat(&[b"\x80\x04", &made, &s("id"), b"b."])
    };
    expect(&stream("__setstate__"), &["Indirect", "pkg.run('id')"]);
    assert!(!run(&stream("setstate")).contains("pkg.run('id')"));
}

#[test]
fn a_function_in_the_place_of_a_method_is_told() {
    let stream = |key: &str, value: &[u8]| {
        cat(&[b"\x80\x04", &global("types", "SimpleNamespace"), b")R}", &s(key), value, b"sb."])
    };
    let function = global("pkg", "run");
    expect(&stream("setdefault", &function), &["pickle-planted-method"]);
    let partial = cat(&[&global("functools", "partial"), &function, b"\x85R"]);
    expect(&stream("__array__", &partial), &["pickle-planted-method"]);
    for quiet in [stream("schedule", &function), stream("setdefault", b"K\x01"), stream("keys", b"]")] {
        assert!(!run(&quiet).contains("pickle-planted-method"));
    }
}

#[test]
fn numbers_that_ask_for_all_memory_are_told() {
    let call = |name: &str, args: &[u8]| cat(&[b"\x80\x04", &global("builtins", name), args, b"\x85R."]);
    let range = |stop: &[u8]| cat(&[&global("builtins", "range"), stop, b"\x85R"]);
    let huge = b"\x8a\x07\0\0\0\0\0\0\x01";
    expect(&call("bytearray", huge), &["resource", "pickle-huge-allocation"]);
    expect(&call("bytes", b"\x8a\x0a\0\0\0\0\0\0\0\0\0\x01"), &["pickle-huge-allocation"]);
    expect(&call("list", &range(huge)), &["pickle-huge-allocation"]);
    for quiet in [
        call("bytearray", b"M\0\x10"),
        call("list", &range(b"M\0\x10")),
        call("range", huge),
        call("int", huge),
    ] {
        assert!(!run(&quiet).contains("pickle-huge-allocation"));
    }
    let fraction = |text: &str| cat(&[b"\x80\x04", &global("fractions", "Fraction"), &s(text), b"\x85R."]);
    expect(&fraction("1e1000000000"), &["pickle-huge-allocation"]);
    assert!(!run(&fraction("1e300")).contains("pickle-huge-allocation"));
    assert!(!run(&fraction("1/1000000000")).contains("pickle-huge-allocation"));
}

#[derive(Default)]
struct Holds(Vec<Held>);

impl Observer for Holds {
    fn call(&mut self, call: &PendingCall<'_>) {
        if call.callee().name == "Frame" {
            self.0.extend_from_slice(call.decode().as_call().holds);
        }
    }
}

#[test]
fn what_arguments_hold_is_found_at_any_depth_and_width() {
    let inner = cat(&[&global("pkg", "Lazy"), b")\x81"]);
    // A list of 300 numbers and the object, inside twenty lists.
    let wide = cat(&[b"](", &b"K\x01".repeat(300), &inner, b"e"]);
    let nested = cat(&[&b"]".repeat(20), &wide, &b"a".repeat(20)]);
    let stream = cat(&[b"\x80\x04", &global("pandas", "Frame"), &nested, b"\x85R."]);
    let blob = Blob::from_vec(stream);
    let mut holds = Holds::default();
    let run = Machine::new(&blob, 0, &Budget::new(Limits::default())).run(&mut holds);
    assert!(matches!(run.end, End::Stop(_)));
    assert_eq!(holds.0, [Held::Object { module: "pkg".into(), name: "Lazy".into() }]);
}

#[test]
fn a_stack_that_outgrows_the_budget_ends_the_run_before_it_is_copied() {
    for opcode in [b'2', b'('] {
        let blob = Blob::from_vec([b"\x80\x04N".to_vec(), vec![opcode; 40 << 20]].concat());
        let run = Machine::new(&blob, 0, &Budget::new(Limits::default())).run(&mut Holds::default());
        assert!(matches!(run.end, End::Exhausted(_)), "{:?}", run.end);
        assert!(run.steps < 17 << 20, "{}", run.steps);
    }
}
