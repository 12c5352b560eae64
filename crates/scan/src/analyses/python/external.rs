//! Calls of what lies outside the module: what they give, and what they do.

use super::calls::{Given, attribute};
use super::effects::{self, Effect};
use super::value::{Kind, Value, taint};
use super::walk::Walk;
use super::{Found, When, fold};
use wb_python::ast::ExprCall;

/// Depth of code in text in code.
const MAX_DEPTH: u32 = 4;

/// Is a file opened for writing? `at` is the place of the mode.
pub(super) fn writes(given: &Given, at: usize) -> bool {
    let mode = given.named("mode").or(given.args.get(at)).and_then(Value::as_text);
    mode.is_some_and(|m| m.len() < 5 && m.contains(['w', 'a', 'x', '+']))
}

/// A file is opened, or its content read or written.
pub(super) fn opened(w: &mut Walk<'_>, c: &ExprCall, path: &Value, write: bool, given: &Given) {
    let words = path.words();
    if effects::is_secret(&words) && !write {
        w.found("credential-read", "open", c);
    } else if write && effects::is_startup(&words) {
        w.found("startup-write", "open", c);
    } else if write {
        let _ = given;
        w.found("file-write", "open", c);
    }
}

/// A call of something outside the module.
pub(super) fn external(w: &mut Walk<'_>, c: &ExprCall, path: &str, callee: &Value, given: &Given) -> Value {
    let first = given.args.first();
    let taints = given.taints();
    let gives = |taint: u16| {
        let path = if path.len() < 400 { format!("{path}()") } else { "?()".into() };
        Value::path(path, taint)
    };
    match path {
        "builtins.getattr" => {
            let (Some(on), Some(key)) = (first, given.args.get(1)) else { return Value::TOP };
            let mut out: Option<Value> = None;
            for one in on.alternatives() {
                let value = match (&one.kind, key.as_text()) {
                    (Kind::Path(p), Some(name)) => Value::path(format!("{p}.{name}"), taints | taint::HIDDEN),
                    (Kind::Path(p), None) => {
                        if key.taints() & (taint::DECODED | taint::LETTERS) != 0 && sensitive(p) {
                            w.found("disguised-call", p, c);
                        }
                        Value::path(format!("{p}.?"), taints | taint::HIDDEN)
                    }
                    (_, Some(name)) => attribute(w, one, name),
                    _ => Value::top(taints),
                };
                out = Some(out.map_or(value.clone(), |o| o.or(value)));
            }
            return out.unwrap_or(Value::TOP);
        }
        "builtins.__import__"
        | "importlib.import_module"
        | "importlib.__import__"
        | "pkgutil.resolve_name" => {
            let Some(key) = first.or(given.named("name")) else { return Value::TOP };
            return match key.as_text() {
                Some(name) => {
                    let dotted = path == "builtins.__import__"
                        && given.args.len() < 4
                        && given.named("fromlist").is_none();
                    let name = if dotted { name.split('.').next().unwrap_or(name) } else { name };
                    Value::path(name.replace(':', "."), taints | taint::HIDDEN)
                }
                None => {
                    if key.taints() & (taint::DECODED | taint::LETTERS) != 0 {
                        w.found("disguised-call", path, c);
                    }
                    Value::path("?", taints | taint::HIDDEN)
                }
            };
        }
        "builtins.vars" => {
            return match first.map(|f| &f.kind) {
                Some(Kind::Path(p)) => Value::path(format!("builtins.vars({p})"), taint::HIDDEN),
                _ => Value::path("builtins.vars()", taint::HIDDEN),
            };
        }
        "builtins.globals" | "builtins.locals" => return Value::path(format!("{path}()"), 0),
        "builtins.chr" => {
            let one =
                first.and_then(Value::as_int).and_then(|n| u32::try_from(n).ok()).and_then(char::from_u32);
            let taint = taints | taint::LETTERS;
            return one.map_or(Value::top(taint), |ch| Value::text(ch, taint));
        }
        "builtins.ord" => {
            let one = first.and_then(Value::as_text).and_then(|t| t.chars().next());
            return one
                .map_or(Value::top(taints), |ch| Value::new(Kind::Int(i64::from(u32::from(ch))), taints));
        }
        "builtins.str" | "builtins.bytes" | "builtins.bytearray" | "builtins.list" | "builtins.tuple"
        | "builtins.iter" => {
            let Some(value) = first else { return Value::top(taints) };
            if let (Kind::Items(all), "builtins.bytes" | "builtins.bytearray") = (&value.kind, path) {
                let bytes: Option<Vec<u8>> =
                    all.iter().map(|v| v.as_int().and_then(|n| u8::try_from(n).ok())).collect();
                let taint = taints | taint::LETTERS;
                return bytes.map_or(Value::top(taint), |b| Value::bytes(b, taint));
            }
            return match &value.kind {
                Kind::Text(_) | Kind::Bytes(_) | Kind::Items(_) => value.clone(),
                _ => Value::top(taints),
            };
        }
        "builtins.dict" if taints & taint::ENVIRON != 0 => return Value::top(taints),
        "builtins.reversed" => return first.map_or(Value::TOP, |v| fold::slice(v, None, None, Some(-1))),
        "builtins.map" => {
            let (Some(f), Some(over)) = (first, given.args.get(1)) else { return Value::TOP };
            if let Kind::Path(f) = &f.kind
                && let Some(all) = fold::elements(over).filter(|all| all.len() <= 4096)
            {
                let each = |v: Value| {
                    external(w, c, f, &Value::path(f.clone(), 0), &Given { args: vec![v], named: vec![] })
                };
                return Value::new(Kind::Items(all.into_iter().map(each).collect()), taints);
            }
            let coded =
                if matches!(&f.kind, Kind::Path(p) if p == "builtins.chr") { taint::LETTERS } else { 0 };
            return Value::top(taints | coded);
        }
        "builtins.open" | "io.open" | "codecs.open" | "os.open" | "gzip.open" | "builtins.file" => {
            let Some(file) = first.or(given.named("file")) else { return Value::top(super::walk::FROM_FILE) };
            let words = file.words();
            opened(w, c, file, writes(given, 1), given);
            let secret = if effects::is_secret(&words) { taint::SECRET } else { 0 };
            let script = if words.trim().ends_with(".py") { 0 } else { super::walk::FROM_FILE };
            return gives(file.taints() | secret | script);
        }
        "os.path.expanduser" | "os.path.expandvars" | "os.path.abspath" | "os.path.realpath"
        | "os.fspath" | "pathlib.Path" | "pathlib.PosixPath" | "os.path.normpath" => {
            return first.cloned().unwrap_or_else(|| gives(0));
        }
        "os.path.join" => {
            let words: Vec<String> = given.args.iter().map(|a| a.words().trim().to_string()).collect();
            return Value::text(words.join("/"), taints & !taint::PIECES);
        }
        "functools.partial" => {
            let value = first.cloned().unwrap_or(Value::TOP);
            return value.tainted(taints);
        }
        "operator.attrgetter" | "operator.methodcaller" => {
            let text = first.and_then(Value::as_text).unwrap_or_default();
            if matches!(
                text.rsplit('.').next(),
                Some("system" | "popen" | "Popen" | "exec" | "eval" | "spawn")
            ) {
                w.found("hidden-call", text, c);
            }
        }
        "os.dup2" => w.found("dup2", path, c),
        "shutil.copy" | "shutil.copyfile" | "shutil.copy2" | "shutil.copytree" | "glob.glob"
        | "os.listdir" | "os.walk"
            if effects::is_secret(&given.words()) =>
        {
            w.found("credential-read", path, c);
            return Value::top(taints | taint::SECRET);
        }
        _ => {}
    }
    if let Some(value) = fold::decoder(path, &given.args) {
        if path.starts_with("marshal.") {
            w.found("deserialise", path, c);
        }
        w.step(value.as_bytes().map_or(0, |b| b.len() / 16));
        return value;
    }
    // `Path.home() / ".ssh" / "id_rsa"`, then `.read_text()`.
    if path.contains('/') && effects::is_secret(path) {
        w.found("credential-read", "pathlib.Path", c);
        return Value::top(taints | taint::SECRET);
    }
    let Some(effect) = effects::of(path) else {
        let open = if path.ends_with(".read") || path.ends_with(".readlines") { callee.taint } else { 0 };
        return gives((taints | callee.taint | open) & !taint::PIECES);
    };
    if callee.taint & taint::HIDDEN != 0 && matches!(effect, Effect::Process | Effect::Code) {
        let disguised = callee.taint & (taint::DECODED | taint::LETTERS | taint::PIECES) != 0;
        w.found(if disguised { "disguised-call" } else { "hidden-call" }, path, c);
    }
    match effect {
        Effect::Process => process(w, c, path, given),
        Effect::Code => return code(w, c, path, given),
        Effect::Send | Effect::Fetch => {
            let sends = taints & (taint::SECRET | taint::ENVIRON) != 0;
            w.found(if sends { "credential-send" } else { effect.code() }, path, c);
            let fetched = if effects::fetches(path) { taint::FETCHED } else { 0 };
            return gives(taints & !taint::PIECES | callee.taint | fetched);
        }
        Effect::Deserialise => {
            let coded = taints & (taint::DECODED | taint::FETCHED) != 0;
            w.found(if coded { "deserialise-coded" } else { effect.code() }, path, c);
        }
        Effect::Destroy => {
            let words = given.words();
            if words.trim_start().starts_with(['/', '~']) {
                w.found(effect.code(), path, c);
            }
        }
        Effect::Native | Effect::Interpreter => w.found(effect.code(), path, c),
    }
    gives((taints | callee.taint) & !taint::PIECES)
}

/// Modules no name of which is worked out by decoding in honest code.
fn sensitive(path: &str) -> bool {
    matches!(
        path,
        "os" | "posix" | "nt" | "subprocess" | "builtins" | "pty" | "socket" | "sys" | "ctypes" | "shutil"
    )
}

fn process(w: &mut Walk<'_>, c: &ExprCall, path: &str, given: &Given) {
    // What is run, not what it is given to read.
    let what = given.args.first().or(given.named("args")).or(given.named("command"));
    let taints = what.map_or(0, Value::taints);
    let command =
        if path.starts_with("os.exec") || path.starts_with("os.spawn") || path.starts_with("asyncio.") {
            given.words()
        } else {
            what.map(Value::words).unwrap_or_default()
        };
    let code = if effects::is_attack(&command) {
        "attack-command"
    } else if effects::is_piped(&command) {
        "piped-command"
    } else if taints & taint::FETCHED != 0 {
        "fetched-command"
    } else if taints & taint::SECRET != 0 && effects::is_download(&command) {
        "credential-send"
    } else if taints & taint::DECODED != 0 {
        "decoded-command"
    } else if effects::is_download(&command) {
        "process-download"
    } else {
        "process"
    };
    w.found(code, path, c);
    if given.words().contains("fileno()") {
        w.found("dup2", path, c);
    }
}

/// Code from a value: text that is known is read in turn, the rest is judged by where it comes from.
fn code(w: &mut Walk<'_>, c: &ExprCall, path: &str, given: &Given) -> Value {
    let source = given.args.first().or(given.named("source")).or(given.named("stmt"));
    let taints = source.map_or(0, Value::taints);
    let result = Value::top(taints);
    let known: Vec<Vec<u8>> = source
        .map(|s| s.alternatives().iter().filter_map(|v| v.as_bytes().map(<[u8]>::to_vec)).collect())
        .unwrap_or_default();
    let compiles = path == "builtins.compile";
    if taints & taint::FETCHED != 0 {
        w.found("fetched-code", path, c);
    } else if taints & taint::DECODED != 0
        || taints & taint::LETTERS != 0 && known.iter().any(|t| t.contains(&b'('))
    {
        w.found("decoded-code", path, c);
    } else if compiles {
        // What runs it is judged.
        return source.cloned().unwrap_or(result);
    } else if taints & taint::FILE != 0 {
        w.found("file-code", path, c);
    } else if known.is_empty() || known.len() < source.map_or(0, |s| s.alternatives().len()) {
        w.found("computed-code", path, c);
    }
    if w.depth < MAX_DEPTH {
        for text in known {
            let names = w.names();
            w.step(text.len() + names.len() * 4);
            let inner = super::text(&String::from_utf8_lossy(&text), &names, w.depth + 1);
            for found in inner.unwrap_or_default().into_iter().filter(|f| f.when == When::Import) {
                let at = w.owners.get(w.owner).map_or(0, |o| o.found.len());
                w.found(found.code, &found.callable, c);
                if let Some(last) = w.owners.get_mut(w.owner).and_then(|o| o.found.get_mut(at)) {
                    last.rendering = format!(
                        "{}: {}",
                        last.rendering.chars().take(80).collect::<String>(),
                        found.rendering
                    );
                }
            }
        }
    } else if !known.is_empty() {
        w.found("computed-code", path, c);
    }
    result
}

/// What single effects of one function come to together.
pub(super) fn chains(found: &mut Vec<Found>, when: When) {
    let has = |code: &str, part: &str| found.iter().position(|f| f.code == code && f.callable.contains(part));
    let mut more = Vec::new();
    if let (Some(connect), Some(_)) = (has("network-send", "connect"), has("dup2", "")) {
        more.push((connect, "reverse-shell"));
    }
    let fetched = found.iter().position(|f| f.code == "network-fetch");
    let run =
        found.iter().position(|f| matches!(f.code, "process" | "native-code" | "file-code" | "deserialise"));
    if let (Some(_), Some(run), When::Import) = (fetched, run, when) {
        more.push((run, "download-and-run"));
    }
    let secret = found.iter().any(|f| f.code == "credential-read");
    let send = found.iter().position(|f| f.code == "network-send").filter(|_| when != When::Call);
    if let (true, Some(send)) = (secret, send) {
        more.push((send, "credential-send"));
    }
    for (at, code) in more {
        if let Some(one) = found.get(at).cloned() {
            found.push(Found { code, ..one });
        }
    }
    found.retain(|f| f.code != "dup2");
}
