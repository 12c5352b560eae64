//! Constant folding: what strings, byte strings and their usual codings come to, within bounds.

use super::value::{Kind, MAX_ITEMS, MAX_TEXT, Value, taint};
use std::io::Read;
use wb_python::ast::Operator;

/// A binary operation on values.
pub(super) fn binary(op: Operator, left: &Value, right: &Value) -> Value {
    let taint = left.taints() | right.taints();
    let pieces = taint | taint::PIECES;
    match (op, &left.kind, &right.kind) {
        (Operator::Add, Kind::Text(a), Kind::Text(b)) => Value::text(format!("{a}{b}"), pieces),
        (Operator::Add, Kind::Bytes(a), Kind::Bytes(b)) => Value::bytes([&a[..], b].concat(), pieces),
        (Operator::Add, Kind::Items(a), Kind::Items(b)) if a.len() + b.len() <= MAX_ITEMS => {
            Value::new(Kind::Items([&a[..], b].concat()), taint)
        }
        (Operator::Mult, Kind::Text(a), Kind::Int(n)) | (Operator::Mult, Kind::Int(n), Kind::Text(a)) => {
            let n = usize::try_from(*n).unwrap_or(0);
            if a.len().saturating_mul(n) > MAX_TEXT {
                Value::top(taint)
            } else {
                Value::text(a.repeat(n), pieces)
            }
        }
        (Operator::Mod, Kind::Text(a), _) => {
            percent(a, right).map_or(Value::top(pieces), |t| Value::text(t, pieces))
        }
        (_, Kind::Int(a), Kind::Int(b)) => {
            int(op, *a, *b).map_or(Value::top(taint), |n| Value::new(Kind::Int(n), taint))
        }
        // A path joined with `/`.
        (Operator::Div, Kind::Path(p), Kind::Text(t)) => Value::path(format!("{p}/{t}"), taint),
        (Operator::BitXor, ..) => Value::top(taint | taint::DECODED),
        _ => Value::top(pieces),
    }
}

fn int(op: Operator, a: i64, b: i64) -> Option<i64> {
    match op {
        Operator::Add => a.checked_add(b),
        Operator::Sub => a.checked_sub(b),
        Operator::Mult => a.checked_mul(b),
        Operator::BitXor => Some(a ^ b),
        Operator::BitAnd => Some(a & b),
        Operator::BitOr => Some(a | b),
        Operator::FloorDiv => a.checked_div_euclid(b),
        Operator::Mod => a.checked_rem_euclid(b),
        Operator::LShift => u32::try_from(b).ok().filter(|n| *n < 32).and_then(|n| a.checked_shl(n)),
        Operator::RShift => u32::try_from(b).ok().and_then(|n| a.checked_shr(n)),
        _ => None,
    }
}

/// `'%s.%s' % (a, b)` with nothing but `%s`.
fn percent(format: &str, right: &Value) -> Option<String> {
    let single = std::slice::from_ref(right);
    let mut items = match &right.kind {
        Kind::Items(items) => items.iter(),
        _ => single.iter(),
    };
    let mut parts = format.split("%s");
    let mut out = parts.next()?.to_string();
    for part in parts {
        out.push_str(items.next()?.as_text()?);
        out.push_str(part);
    }
    (!out.contains('%') || !format.replace("%s", "").contains('%')).then_some(out)
}

/// `value[start:stop:step]`.
pub(super) fn slice(value: &Value, start: Option<i64>, stop: Option<i64>, step: Option<i64>) -> Value {
    let step = step.unwrap_or(1);
    let turned = if step < 0 { taint::LETTERS } else { 0 };
    let taint = value.taint | turned;
    fn pick<T: Clone>(all: &[T], start: Option<i64>, stop: Option<i64>, step: i64) -> Vec<T> {
        let len = all.len() as i64;
        let fit =
            |n: i64, low: i64, high: i64| (if n < 0 { n.saturating_add(len) } else { n }).clamp(low, high);
        let (mut at, end) = match step {
            1.. => (fit(start.unwrap_or(0), 0, len), stop.map_or(len, |n| fit(n, 0, len))),
            _ => (start.map_or(len - 1, |n| fit(n, -1, len - 1)), stop.map_or(-1, |n| fit(n, -1, len - 1))),
        };
        let mut out = Vec::new();
        while (step > 0 && at < end) || (step < 0 && at > end) {
            out.extend(usize::try_from(at).ok().and_then(|n| all.get(n)).cloned());
            at = at.saturating_add(step);
        }
        out
    }
    if step == 0 {
        return Value::top(taint);
    }
    match &value.kind {
        Kind::Text(t) => {
            let all: Vec<char> = t.chars().collect();
            Value::text(pick(&all, start, stop, step).into_iter().collect::<String>(), taint)
        }
        Kind::Bytes(b) => Value::bytes(pick(b, start, stop, step), taint),
        Kind::Items(v) => Value::new(Kind::Items(pick(v, start, stop, step)), taint),
        _ => Value::top(taint),
    }
}

/// Elements of what is iterated over.
pub(super) fn elements(value: &Value) -> Option<Vec<Value>> {
    let taint = value.taint;
    match &value.kind {
        Kind::Items(v) => Some(v.clone()),
        Kind::Text(t) if t.len() <= MAX_ITEMS => Some(t.chars().map(|c| Value::text(c, taint)).collect()),
        Kind::Bytes(b) if b.len() <= MAX_ITEMS => {
            Some(b.iter().map(|b| Value::new(Kind::Int(i64::from(*b)), taint)).collect())
        }
        _ => None,
    }
}

/// A method of a text or byte string.
pub(super) fn method(on: &Value, name: &str, args: &[Value]) -> Option<Value> {
    let taint = on.taints() | args.iter().fold(0, |t, a| t | a.taints());
    let first = args.first();
    match (&on.kind, name) {
        (Kind::Text(glue), "join") => {
            let parts = first.and_then(elements)?;
            let mut out = Vec::with_capacity(parts.len());
            for part in &parts {
                out.push(part.as_text()?);
            }
            // Joining single characters is no way to write a word.
            let single = parts.len() > 1 && out.iter().all(|p| p.chars().count() <= 1) && glue.is_empty();
            let how = if single { taint::LETTERS } else { taint::PIECES };
            Some(Value::text(out.join(glue), taint | how))
        }
        (Kind::Bytes(glue), "join") => {
            let parts = first.and_then(elements)?;
            let all: Option<Vec<&[u8]>> = parts.iter().map(Value::as_bytes).collect();
            Some(Value::bytes(all?.join(&glue[..]), taint | taint::PIECES))
        }
        (Kind::Text(t), "replace") => {
            let (from, to) = (first?.as_text()?, args.get(1)?.as_text()?);
            if t.len().saturating_mul(to.len().max(1)) > MAX_TEXT * 4 {
                return None;
            }
            Some(Value::text(t.replace(from, to), taint | taint::PIECES))
        }
        (Kind::Text(t), "lower" | "casefold") => Some(Value::text(t.to_lowercase(), taint)),
        (Kind::Text(t), "upper") => Some(Value::text(t.to_uppercase(), taint)),
        (Kind::Text(t), "strip") => Some(Value::text(t.trim(), taint)),
        (Kind::Text(t), "lstrip") => Some(Value::text(t.trim_start(), taint)),
        (Kind::Text(t), "rstrip") => Some(Value::text(t.trim_end(), taint)),
        (Kind::Text(t), "split") => {
            let parts: Vec<&str> = match first.and_then(Value::as_text) {
                Some("") => return None,
                Some(at) => t.split(at).collect(),
                None => t.split_whitespace().collect(),
            };
            let parts = parts.into_iter().take(MAX_ITEMS).map(|p| Value::text(p, taint)).collect();
            Some(Value::new(Kind::Items(parts), taint))
        }
        (Kind::Text(t), "format") => {
            let mut parts = t.split("{}");
            let mut out = parts.next()?.to_string();
            for (i, part) in parts.enumerate() {
                out.push_str(args.get(i)?.as_text()?);
                out.push_str(part);
            }
            for (i, arg) in args.iter().enumerate() {
                if let Some(text) = arg.as_text() {
                    out = out.replace(&format!("{{{i}}}"), text);
                }
            }
            Some(Value::text(out, taint | taint::PIECES))
        }
        (Kind::Text(t), "encode") => {
            match first.and_then(Value::as_text).map(str::to_ascii_lowercase).as_deref() {
                None | Some("utf-8" | "utf8" | "ascii") => Some(Value::bytes(t.clone().into_bytes(), taint)),
                Some("latin-1" | "latin1" | "iso-8859-1") => {
                    let bytes: Option<Vec<u8>> = t.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
                    Some(Value::bytes(bytes?, taint))
                }
                Some(codec) => codec_of(codec, t.as_bytes()).map(|b| Value::bytes(b, taint | taint::DECODED)),
            }
        }
        (Kind::Bytes(b), "decode") => {
            match first.and_then(Value::as_text).map(str::to_ascii_lowercase).as_deref() {
                None | Some("utf-8" | "utf8" | "ascii") => {
                    Some(Value::text(String::from_utf8(b.clone()).ok()?, taint))
                }
                Some("latin-1" | "latin1" | "iso-8859-1") => {
                    Some(Value::text(b.iter().map(|b| char::from(*b)).collect::<String>(), taint))
                }
                Some(codec) => {
                    let bytes = codec_of(codec, b)?;
                    Some(Value::text(String::from_utf8(bytes).ok()?, taint | taint::DECODED))
                }
            }
        }
        (Kind::Bytes(b), "hex") => {
            Some(Value::text(b.iter().map(|b| format!("{b:02x}")).collect::<String>(), taint))
        }
        _ => None,
    }
}

/// A function of the standard library that decodes; `None` if `path` is none of them.
pub(super) fn decoder(path: &str, args: &[Value]) -> Option<Value> {
    let bytes = || args.first().and_then(Value::as_bytes);
    let codec = match path {
        "base64.b64decode"
        | "base64.standard_b64decode"
        | "base64.urlsafe_b64decode"
        | "base64.decodebytes"
        | "base64.decodestring"
        | "binascii.a2b_base64" => "base64",
        "base64.b16decode"
        | "binascii.unhexlify"
        | "binascii.a2b_hex"
        | "bytes.fromhex"
        | "bytearray.fromhex"
        | "builtins.bytes.fromhex"
        | "builtins.bytearray.fromhex" => "hex",
        "base64.b32decode"
        | "base64.b85decode"
        | "base64.a85decode"
        | "base64.z85decode"
        | "binascii.a2b_uu"
        | "quopri.decodestring"
        | "lzma.decompress"
        | "bz2.decompress"
        | "marshal.loads"
        | "uu.decode"
        | "zstandard.decompress"
        | "lz4.frame.decompress" => "",
        "zlib.decompress" => "zlib",
        "gzip.decompress" => "gzip",
        "codecs.decode" | "codecs.encode" => match args.get(1).and_then(Value::as_text) {
            Some("utf-8" | "utf8" | "ascii" | "latin-1") => return None,
            Some(codec) => codec,
            None => "",
        },
        _ => return None,
    };
    let taint = args.iter().fold(taint::DECODED, |t, a| t | a.taints());
    let Some(out) = bytes().and_then(|b| codec_of(&codec.to_ascii_lowercase(), b)) else {
        return Some(Value::top(taint));
    };
    // Codecs of text give text.
    Some(match (path, String::from_utf8(out)) {
        ("codecs.decode" | "codecs.encode", Ok(text)) => Value::text(text, taint),
        (_, Ok(text)) => Value::bytes(text.into_bytes(), taint),
        (_, Err(e)) => Value::bytes(e.into_bytes(), taint),
    })
}

fn codec_of(codec: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    match codec.replace('-', "_").as_str() {
        "base64" | "base64_codec" => base64(bytes),
        "hex" | "hex_codec" => {
            let digits: Vec<u8> = bytes.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
            let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
            let pairs = digits.chunks(2).map(|p| Some(digit(*p.first()?)? << 4 | digit(*p.get(1)?)?));
            pairs.collect()
        }
        "rot13" | "rot_13" => Some(bytes.iter().map(|b| rot13(*b)).collect()),
        "zlib" | "zlib_codec" => inflated(flate2::read::ZlibDecoder::new(bytes)),
        "gzip" => inflated(flate2::read::GzDecoder::new(bytes)),
        _ => None,
    }
}

fn inflated(from: impl Read) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    from.take(MAX_TEXT as u64).read_to_end(&mut out).ok()?;
    Some(out)
}

fn rot13(b: u8) -> u8 {
    match b {
        b'a'..=b'z' => (b - b'a' + 13) % 26 + b'a',
        b'A'..=b'Z' => (b - b'A' + 13) % 26 + b'A',
        _ => b,
    }
}

fn base64(bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut have, mut bits) = (Vec::with_capacity(bytes.len() * 3 / 4), 0_u32, 0);
    for b in bytes {
        let six = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => break,
            // Python skips what is not of the alphabet.
            _ => continue,
        };
        have = (have << 6 | u32::from(six)) & 0xff_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((have >> bits) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings_come_to_their_content() {
        let decode = |path: &str, text: &str| {
            decoder(path, &[Value::text(text, 0)]).and_then(|v| v.as_bytes().map(<[u8]>::to_vec))
        };
        assert_eq!(decode("base64.b64decode", "aW1wb3J0IG9z").unwrap(), b"import os");
        assert_eq!(decode("binascii.unhexlify", "6964").unwrap(), b"id");
        let rot = [Value::text("flfgrz", 0), Value::text("rot13", 0)];
        assert_eq!(decoder("codecs.decode", &rot).unwrap().as_text(), Some("system"));
        assert_eq!(slice(&Value::text("metsys", 0), None, None, Some(-1)).as_text(), Some("system"));
        assert_eq!(slice(&Value::text("abcdef", 0), Some(1), Some(-1), Some(2)).as_text(), Some("bd"));
    }
}
