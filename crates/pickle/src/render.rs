//! Calls as readable, bounded, escaped pseudo-Python.

use crate::heap::Callee;
use crate::value::Value;
use std::fmt::Write;
use wb_verdict::{How, escape, escape_bytes, escape_to};

/// Longest rendering of one call, in bytes, roughly.
const MAX: usize = 600;
/// Longest text shown of one string.
const MAX_TEXT: usize = 160;

/// The call as it would read in Python.
pub(crate) fn call(
    callee: &Callee,
    how: How,
    on_import: bool,
    args: &[Value],
    kwargs: &[(Value, Value)],
) -> String {
    let name = short(&callee.rendering);
    let subject = if on_import { name.clone() } else { format!("{name}(...)") };
    let mut out = match how {
        How::Newobj | How::NewobjEx => format!("{name}.__new__({name}"),
        How::Build => format!("{subject}.__setstate__("),
        How::Append => format!("{subject}.extend(["),
        How::AddItems => format!("{subject}.update({{"),
        How::SetItem => format!("{subject}.update({{"),
        How::Hash => return format!("hash({subject})"),
        How::Data => return name,
        How::Ext => return name,
        _ => format!("{name}("),
    };
    let mut first = !matches!(how, How::Newobj | How::NewobjEx);
    if how == How::SetItem {
        for pair in args.chunks(2) {
            comma(&mut out, &mut first);
            if let [k, v] = pair {
                value(&mut out, k, 0);
                out.push_str(": ");
                value(&mut out, v, 0);
            }
            if full(&mut out) {
                break;
            }
        }
    } else {
        for a in args {
            comma(&mut out, &mut first);
            value(&mut out, a, 0);
            if full(&mut out) {
                break;
            }
        }
    }
    for (k, v) in kwargs {
        comma(&mut out, &mut first);
        match k {
            Value::Str { text, .. } => out.push_str(&escape(text)),
            _ => out.push_str("**"),
        }
        out.push('=');
        value(&mut out, v, 0);
        if full(&mut out) {
            break;
        }
    }
    out.push_str(match how {
        How::Append => "])",
        How::AddItems | How::SetItem => "})",
        _ => ")",
    });
    if !callee.via.is_empty() {
        let _ = write!(out, " via {}", short(&callee.via));
    }
    out
}

/// A name escaped and bounded.
fn short(name: &str) -> String {
    if name.len() <= MAX / 2 {
        return escape(name);
    }
    match name.char_indices().nth(MAX / 2) {
        Some((end, _)) => format!("{}...", escape(name.get(..end).unwrap_or(""))),
        None => escape(name),
    }
}

fn comma(out: &mut String, first: &mut bool) {
    if !std::mem::take(first) {
        out.push_str(", ");
    }
}

fn full(out: &mut String) -> bool {
    let over = out.len() > MAX;
    if over {
        out.push_str(", ...");
    }
    over
}

/// Appends a value as Python would write it.
pub(crate) fn value(out: &mut String, v: &Value, depth: u32) {
    if out.len() > MAX || depth > 6 {
        out.push_str("...");
        return;
    }
    let _ = match v {
        Value::None => out.write_str("None"),
        Value::Bool(true) => out.write_str("True"),
        Value::Bool(false) => out.write_str("False"),
        Value::Int(n) => write!(out, "{n}"),
        Value::BigInt { len } => write!(out, "<int of {len} bytes>"),
        Value::Float(f) => write!(out, "{f:?}"),
        Value::Str { text, len, cut } => {
            let end = match text.len() <= MAX_TEXT {
                true => text.len(),
                false => text.char_indices().nth(MAX_TEXT).map_or(text.len(), |(at, _)| at),
            };
            out.push('\'');
            escape_to(out, text.get(..end).unwrap_or(""), Some('\''));
            if *cut || end < text.len() { write!(out, "...' <{len} bytes>") } else { out.write_char('\'') }
        }
        Value::Bytes { len, head } => {
            let shown = head.get(..head.len().min(48)).unwrap_or(head);
            let escaped = escape_bytes(shown).replace('\'', "\\'");
            if *len > shown.len() as u64 {
                write!(out, "b'{escaped}...' <{len} bytes>")
            } else {
                write!(out, "b'{escaped}'")
            }
        }
        Value::Tuple(items) => {
            seq(out, items, "(", if items.len() == 1 { ",)" } else { ")" }, depth);
            Ok(())
        }
        Value::List(items) => {
            seq(out, items, "[", "]", depth);
            Ok(())
        }
        Value::Set(items) => {
            seq(
                out,
                items,
                if items.is_empty() { "set(" } else { "{" },
                if items.is_empty() { ")" } else { "}" },
                depth,
            );
            Ok(())
        }
        Value::FrozenSet(items) => {
            seq(out, items, "frozenset({", "})", depth);
            Ok(())
        }
        Value::Dict(pairs) => {
            out.push('{');
            let mut first = true;
            for (k, v) in pairs {
                comma(out, &mut first);
                value(out, k, depth + 1);
                out.push_str(": ");
                value(out, v, depth + 1);
                if out.len() > MAX {
                    break;
                }
            }
            out.push('}');
            Ok(())
        }
        Value::Global { module, name } if name.is_empty() => out.write_str(&short(module)),
        Value::Global { module, name } => write!(out, "{}.{}", short(module), short(name)),
        Value::Object { made_by, args, .. } => {
            let _ = write!(out, "{}", short(made_by));
            seq(out, args, "(", ")", depth);
            Ok(())
        }
        Value::Persistent(id) => {
            out.push_str("<persistent ");
            value(out, id, depth + 1);
            out.push('>');
            Ok(())
        }
        Value::Opaque => out.write_str("<unknown>"),
        Value::Truncated | Value::PlainRest => out.write_str("..."),
    };
}

fn seq(out: &mut String, items: &[Value], open: &str, close: &str, depth: u32) {
    out.push_str(open);
    let mut first = true;
    for v in items {
        comma(out, &mut first);
        value(out, v, depth + 1);
        if out.len() > MAX {
            break;
        }
    }
    out.push_str(close);
}
