//! Protobuf assembler: messages as text, one field a line.
//!
//! ```text
//! # a number: varint
//! 1: 8
//! # a byte expression: length-delimited
//! 2: "suite" hex:00
//! # a message
//! 7 {
//!   1: 1
//! }
//! # four bytes; f64, i32 and i64 likewise
//! 4 f32: 1.5
//! # packed varints
//! 8 packed: 1 2 300
//! # a length that lies
//! 9 len 5: "ab"
//! # bytes as they are
//! raw hex:0000
//! ```

use super::Builder;
use crate::Error;
use crate::value::eval;

/// A message that is not finished: bytes, and the field number it gets in the one around it.
type Open = (u64, Vec<u8>);

pub(crate) fn build(text: &str, b: &Builder<'_>) -> Result<Vec<u8>, Error> {
    let mut stack: Vec<Open> = vec![(0, Vec::new())];
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        statement(line, &mut stack, b).map_err(|e| e.at(format_args!("proto line {}", n + 1)))?;
    }
    match stack.pop() {
        Some((_, out)) if stack.is_empty() => Ok(out),
        _ => Err(Error::new("proto: a message is not closed")),
    }
}

fn statement(line: &str, stack: &mut Vec<Open>, b: &Builder<'_>) -> Result<(), Error> {
    let resolve = |name: &str| b.part(name);
    if line == "}" {
        let (number, inner) = stack.pop().ok_or_else(|| Error::new("`}` without `{`"))?;
        let out = &mut stack.last_mut().ok_or_else(|| Error::new("`}` without `{`"))?.1;
        delimited(out, number, inner.len() as u64, &inner);
        return Ok(());
    }
    let out = &mut stack.last_mut().ok_or_else(|| Error::new("`}` without `{`"))?.1;
    if let Some(bytes) = line.strip_prefix("raw ") {
        out.extend(eval(bytes, &resolve)?);
        return Ok(());
    }
    if let Some(number) = line.strip_suffix('{') {
        let number = number.trim().parse().map_err(|_| Error::new("a field number must precede `{`"))?;
        stack.push((number, Vec::new()));
        return Ok(());
    }
    let (head, value) = line.split_once(':').ok_or_else(|| Error::new("`:` is missing"))?;
    let mut head = head.split_whitespace();
    let number: u64 = head
        .next()
        .and_then(|n| n.parse().ok())
        .ok_or_else(|| Error::new("a field begins with its number"))?;
    let value = value.trim();
    let bad = || Error::new(format!("`{value}` is no such number"));
    match (head.next(), head.next()) {
        (None, _) => match value.parse::<i128>() {
            Ok(n) => {
                varint(out, number << 3);
                varint(out, n as u64);
            }
            Err(_) => {
                let bytes = eval(value, &resolve)?;
                delimited(out, number, bytes.len() as u64, &bytes);
            }
        },
        (Some("f32"), _) => fixed(out, number, 5, &value.parse::<f32>().map_err(|_| bad())?.to_le_bytes()),
        (Some("f64"), _) => fixed(out, number, 1, &value.parse::<f64>().map_err(|_| bad())?.to_le_bytes()),
        (Some("i32"), _) => {
            fixed(out, number, 5, &(value.parse::<i64>().map_err(|_| bad())? as u32).to_le_bytes())
        }
        (Some("i64"), _) => fixed(out, number, 1, &value.parse::<i64>().map_err(|_| bad())?.to_le_bytes()),
        (Some("packed"), _) => {
            let mut inner = Vec::new();
            for n in value.split_whitespace() {
                varint(&mut inner, n.parse::<i128>().map_err(|_| bad())? as u64);
            }
            delimited(out, number, inner.len() as u64, &inner);
        }
        (Some("len"), Some(len)) => {
            let len = len.parse().map_err(|_| Error::new("`len` takes a number"))?;
            delimited(out, number, len, &eval(value, &resolve)?);
        }
        (Some(other), _) => return Err(Error::new(format!("`{other}` is no kind of field"))),
    }
    Ok(())
}

fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn delimited(out: &mut Vec<u8>, number: u64, len: u64, bytes: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, len);
    out.extend(bytes);
}

fn fixed(out: &mut Vec<u8>, number: u64, wire: u64, bytes: &[u8]) {
    varint(out, number << 3 | wire);
    out.extend(bytes);
}

#[cfg(test)]
mod tests {
    use crate::Recipe;

    fn built(text: &str) -> Result<Vec<u8>, crate::Error> {
        let recipe = format!(
            "id = \"x\"\ntitle = \"\"\nsource = \"\"\nloader = \"\"\nexpected = \"harmless\"\n[files.x]\nproto = '''\n{text}'''\n"
        );
        Ok(Recipe::parse(&recipe, "x")?.build()?.remove(0).1)
    }

    #[test]
    fn every_kind_of_field() {
        let text = "1: 300\n# a comment\n2: \"hi\"\n3 {\n  1: -1\n}\n4 f32: 1\n5 packed: 1 300\n6 len 9: \"a\"\nraw hex:00\n";
        let expected = [
            &b"\x08\xac\x02\x12\x02hi\x1a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"[..],
            b"\x25\0\0\x80\x3f\x2a\x03\x01\xac\x02\x32\x09a\0",
        ]
        .concat();
        assert_eq!(built(text).unwrap(), expected);
    }

    #[test]
    fn mistakes_are_errors() {
        for bad in ["1 {\n", "}\n", "x: 1\n", "1: plain\n", "1 odd: 1\n", "1 f32: x\n"] {
            assert!(built(bad).is_err(), "{bad}");
        }
    }
}
