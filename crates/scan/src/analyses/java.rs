//! Java source, as H2O writes models (POJO): code that runs when somebody compiles and loads it. A model needs nothing but
//! arithmetic; what reaches beyond is told by the names it cannot do without.
//!
//! JLS 3.3: `\uXXXX` is replaced before anything else is read, also in the middle of a name. Comments and texts are no names.

/// Names of classes and methods that do more than compute, with what they do.
const EFFECTS: &[(&str, &str)] = &[
    ("Runtime", "process"),
    ("ProcessBuilder", "process"),
    ("ProcessHandle", "process"),
    ("exec", "process"),
    ("loadLibrary", "native"),
    ("Unsafe", "native"),
    ("SymbolLookup", "native"),
    ("ScriptEngineManager", "code"),
    ("ScriptEngine", "code"),
    ("ToolProvider", "code"),
    ("GroovyShell", "code"),
    ("ClassLoader", "code"),
    ("URLClassLoader", "code"),
    ("SecureClassLoader", "code"),
    ("defineClass", "code"),
    ("forName", "code"),
    ("getMethod", "code"),
    ("getDeclaredMethod", "code"),
    ("getDeclaredConstructor", "code"),
    ("setAccessible", "code"),
    ("MethodHandles", "code"),
    ("InitialContext", "code"),
    ("ObjectInputStream", "code"),
    ("XMLDecoder", "code"),
    ("ServiceLoader", "code"),
    ("Socket", "network"),
    ("ServerSocket", "network"),
    ("DatagramSocket", "network"),
    ("SocketChannel", "network"),
    ("HttpURLConnection", "network"),
    ("HttpClient", "network"),
    ("URLConnection", "network"),
    ("openConnection", "network"),
    ("openStream", "network"),
    ("InetAddress", "network"),
    ("FileOutputStream", "file"),
    ("FileInputStream", "file"),
    ("FileWriter", "file"),
    ("FileReader", "file"),
    ("RandomAccessFile", "file"),
    ("FileChannel", "file"),
    ("Files", "file"),
    ("getenv", "environment"),
    ("Thread", "process"),
];

/// True if a text is a model as H2O writes it.
pub(crate) fn is_pojo(text: &str) -> bool {
    let has = |s: &str| text.contains(s);
    has("GenModel") && has("class ") && (has("hex.genmodel") || has("@ModelPojo") || has("extends GenModel"))
}

/// Names with effects, each with what it does and the line it stands in; every name once.
pub(crate) fn effects(text: &str) -> Vec<(&'static str, &'static str, usize)> {
    let code = names_only(&unescaped(text));
    let mut out: Vec<(&str, &str, usize)> = Vec::new();
    for (n, line) in code.lines().enumerate() {
        for word in line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')) {
            if let Some((name, effect)) = EFFECTS.iter().find(|(name, _)| *name == word)
                && !out.iter().any(|(seen, ..)| seen == name)
            {
                out.push((name, effect, n + 1));
            }
        }
    }
    out
}

/// With Unicode escapes replaced: a backslash before any number of `u` counts unless another precedes it.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        if chars.peek() != Some(&'u') {
            out.push(c);
            out.extend(chars.next());
            continue;
        }
        while chars.peek() == Some(&'u') {
            chars.next();
        }
        let hex: String = chars.by_ref().take(4).collect();
        match u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32) {
            Some(c) => out.push(c),
            None => out.push_str(&hex),
        }
    }
    out
}

/// Without comments and the content of texts; line breaks stay.
fn names_only(text: &str) -> String {
    let b: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    while i < b.len() {
        let end = match (b[i], b.get(i + 1)) {
            ('/', Some('/')) => b[i..].iter().position(|c| *c == '\n').map(|n| i + n),
            ('/', Some('*')) => {
                (i + 2..b.len()).find(|j| b[*j] == '*' && b.get(j + 1) == Some(&'/')).map(|j| j + 2)
            }
            (q @ ('"' | '\''), _) => {
                let mut j = i + 1;
                while j < b.len() && b[j] != q && b[j] != '\n' {
                    j += if b[j] == '\\' { 2 } else { 1 };
                }
                Some(j + 1)
            }
            (c, _) => {
                out.push(c);
                i += 1;
                continue;
            }
        };
        let end = end.unwrap_or(b.len()).min(b.len());
        out.push(' ');
        out.extend(b[i..end].iter().filter(|c| **c == '\n'));
        i = end;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<&'static str> {
        effects(text).into_iter().map(|(name, ..)| name).collect()
    }

    #[test]
    fn names_in_every_spelling() {
        assert_eq!(names("Runtime.getRuntime().exec(\"id\");"), ["Runtime", "exec"]);
        assert_eq!(names("R\\u0075ntime . getRuntime()"), ["Runtime"]);
        assert_eq!(names("new Process\\uuu0042uilder(x)"), ["ProcessBuilder"]);
        assert_eq!(names("// \\u000a Runtime.x()"), ["Runtime"], "an escaped line break ends a comment");
        assert_eq!(names("java.net.Socket s;"), ["Socket"]);
        assert_eq!(names("Class.forName(n)"), ["forName"]);
    }

    #[test]
    fn what_is_none() {
        assert_eq!(
            names("// Runtime.exec\n/* Socket */ String s = \"Files \\\" exec\"; char c = '\"'; int x;"),
            [""; 0]
        );
        assert_eq!(names("double runtime = executor(Filesystem);"), [""; 0]);
        assert_eq!(names("/* never ends Runtime"), [""; 0]);
    }

    #[test]
    fn models_of_h2o() {
        assert!(is_pojo("import hex.genmodel.GenModel;\npublic class gbm extends GenModel {}"));
        assert!(!is_pojo("A GenModel is a class of H2O"));
    }
}
