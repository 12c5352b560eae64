//! Texts of an exported program that become code while it is loaded: expressions (sympy evaluates them), guards (compiled as a
//! function), names (written into the function that the graph becomes).

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Judged {
    /// Arithmetic on symbols, or a plain name.
    Fine,
    /// None that an export writes, without power of its own as far as can be seen.
    Odd,
    /// It calls, reaches attributes or breaks out of its place.
    Code,
}

/// Functions of `torch.utils._sympy.functions` and sympy that expressions of shapes use.
const FUNCTIONS: &[&str] = &[
    "Abs",
    "Add",
    "And",
    "BitwiseFn_bitwise_and",
    "BitwiseFn_bitwise_or",
    "BitwiseFn_bitwise_xor",
    "CeilDiv",
    "CeilToInt",
    "CleanDiv",
    "Eq",
    "Equality",
    "ExprCondPair",
    "Float",
    "FloatPow",
    "FloatTrueDiv",
    "FloorDiv",
    "FloorToInt",
    "Ge",
    "GreaterThan",
    "Gt",
    "ITE",
    "Identity",
    "IntTrueDiv",
    "Integer",
    "IsNonOverlappingAndDenseIndicator",
    "LShift",
    "Le",
    "LessThan",
    "Lt",
    "Max",
    "Min",
    "Mod",
    "ModularIndexing",
    "Mul",
    "Ne",
    "Not",
    "Or",
    "OpaqueUnaryFn_cos",
    "OpaqueUnaryFn_exp",
    "OpaqueUnaryFn_log",
    "OpaqueUnaryFn_log2",
    "OpaqueUnaryFn_sin",
    "OpaqueUnaryFn_sqrt",
    "Piecewise",
    "Pow",
    "PowByNatural",
    "PythonMod",
    "RShift",
    "Rational",
    "RoundDecimal",
    "RoundToInt",
    "StrictGreaterThan",
    "StrictLessThan",
    "Symbol",
    "ToFloat",
    "TruncToFloat",
    "TruncToInt",
    "Unequality",
    "Where",
    "Xor",
    "abs",
    "ceiling",
    "exp",
    "floor",
    "int",
    "log",
    "math_ceil",
    "math_floor",
    "max",
    "min",
    "sqrt",
    "sym_float",
    "trunc",
];
/// What guards ask of an input.
const PROPERTIES: &[&str] =
    &["size", "stride", "storage_offset", "numel", "dim", "ndim", "ndimension", "shape", "item"];
/// What guards take of `math`.
const MATH: &[&str] = &["ceil", "floor", "sqrt", "trunc", "pow", "log", "log2", "exp", "isnan"];
/// Functions that only guards have.
const GUARD_FUNCTIONS: &[&str] = &["___as_tensor", "cast_symbool_to_symint_guardless"];
/// Words that stand between others.
const WORDS: &[&str] = &["and", "or", "not", "is", "in", "None", "True", "False", "if", "else"];

/// A symbolic expression (`expr_str`).
pub(super) fn expression(text: &str) -> Judged {
    Reader { text: text.as_bytes(), guard: false }.judge()
}

/// A guard: an expression on the sizes of inputs, `L['x'].size()[0] == 3`.
pub(super) fn guard(text: &str) -> Judged {
    Reader { text: text.as_bytes(), guard: true }.judge()
}

/// The name of a node or argument: written into code as it stands.
pub(super) fn node_name(name: &str) -> Judged {
    if name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')) {
        return Judged::Fine;
    }
    path_name(name).max(Judged::Odd)
}

/// The path of a module, parameter or buffer: written between quotes if it is no name.
pub(super) fn path_name(name: &str) -> Judged {
    let breaks = |c: char| c.is_control() || "\"'\\(){};=,#`\u{2028}\u{2029}".contains(c);
    if name.contains(breaks) { Judged::Code } else { Judged::Fine }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Start,
    Word,
    Number,
    Close,
    /// An operator, comma or opening bracket.
    Other,
}

struct Reader<'t> {
    text: &'t [u8],
    guard: bool,
}

impl Reader<'_> {
    fn judge(&self) -> Judged {
        let (mut at, mut last, mut worst) = (0, Last::Start, Judged::Fine);
        let (mut callable, mut in_subscript) = (false, 0u32);
        while let Some(&b) = self.text.get(at) {
            let rest = &self.text[at..];
            match b {
                b' ' => {
                    at += 1;
                    continue;
                }
                b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                    let len = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
                    let word = std::str::from_utf8(&rest[..len]).unwrap_or_default();
                    let joined =
                        matches!(last, Last::Word | Last::Number | Last::Close) && !WORDS.contains(&word);
                    // Two words side by side are no expression, unless one is an operator.
                    if joined && !callable_word(&self.text[..at]) {
                        worst = worst.max(Judged::Odd);
                    }
                    worst = worst.max(self.word(word));
                    callable = FUNCTIONS.contains(&word) || (self.guard && GUARD_FUNCTIONS.contains(&word));
                    last = if WORDS.contains(&word) { Last::Other } else { Last::Word };
                    at += len;
                }
                b'0'..=b'9' => {
                    let len = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'.').count();
                    last = Last::Number;
                    at += len;
                }
                b'.' if rest.get(1).is_some_and(u8::is_ascii_digit) => {
                    last = Last::Number;
                    at += 1 + rest[1..].iter().take_while(|b| b.is_ascii_alphanumeric()).count();
                }
                b'.' if self.guard && matches!(last, Last::Close | Last::Word) => {
                    let len =
                        rest[1..].iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
                    let name = std::str::from_utf8(&rest[1..=len]).unwrap_or_default();
                    let math = self.text[..at].ends_with(b"math") && MATH.contains(&name);
                    if !math && !PROPERTIES.contains(&name) {
                        return Judged::Code;
                    }
                    callable = true;
                    last = Last::Word;
                    at += 1 + len;
                }
                b'(' => {
                    // What is called must be a name that is known; a number or bracket before it is an evasion.
                    match last {
                        Last::Word if callable => {}
                        Last::Word => worst = worst.max(Judged::Odd),
                        Last::Number | Last::Close => return Judged::Code,
                        Last::Start | Last::Other => {}
                    }
                    last = Last::Other;
                    at += 1;
                }
                b'[' if self.guard && matches!(last, Last::Close | Last::Word) => {
                    in_subscript += 1;
                    last = Last::Other;
                    at += 1;
                }
                b']' if self.guard && in_subscript > 0 => {
                    in_subscript -= 1;
                    last = Last::Close;
                    callable = false;
                    at += 1;
                }
                // The key of an input, right behind its bracket and the whole of it.
                b'\'' | b'"' if self.guard && at > 0 && self.text[at - 1] == b'[' => {
                    let Some(len) = rest[1..].iter().position(|c| *c == b) else { return Judged::Code };
                    let key = &rest[1..=len];
                    if key.iter().any(|c| matches!(c, b'\\' | b'\n' | b'\r' | b'\'' | b'"' | b'{' | b'}'))
                        || rest.get(len + 2) != Some(&b']')
                    {
                        return Judged::Code;
                    }
                    last = Last::Number;
                    at += len + 2;
                }
                // sympy writes symbols and numbers as `Symbol('s0', integer=True)` and `Float('1.5', precision=53)`.
                b'\'' if self.text[..at].ends_with(b"Symbol(") || self.text[..at].ends_with(b"Float(") => {
                    let Some(len) = rest[1..].iter().position(|c| *c == b) else { return Judged::Code };
                    let plain = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.' | b'+' | b'-');
                    if !rest[1..=len].iter().all(plain) || !matches!(rest.get(len + 2), Some(b',' | b')')) {
                        return Judged::Code;
                    }
                    last = Last::Number;
                    at += len + 2;
                }
                b')' => {
                    last = Last::Close;
                    callable = false;
                    at += 1;
                }
                b'+' | b'-' | b'*' | b'/' | b'%' | b',' | b'<' | b'>' | b'=' | b'!' | b'&' | b'|' | b'~'
                | b'^' => {
                    last = Last::Other;
                    at += 1;
                }
                _ => return Judged::Code,
            }
        }
        worst
    }

    fn word(&self, word: &str) -> Judged {
        if self.guard && GUARD_FUNCTIONS.contains(&word) {
            return Judged::Fine;
        }
        // Builtins and dunders have no place in arithmetic, called or not.
        if word.contains("__") || crate::catalogue::is_listed_dangerous("builtins", word) {
            return Judged::Code;
        }
        if matches!(word, "lambda" | "import" | "exec" | "yield" | "await" | "for" | "from" | "def" | "class")
        {
            return Judged::Code;
        }
        Judged::Fine
    }
}

/// True if the text so far ends in a word that joins others.
fn callable_word(before: &[u8]) -> bool {
    let before = before.trim_ascii_end();
    let len = before.iter().rev().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
    std::str::from_utf8(&before[before.len() - len..]).is_ok_and(|w| WORDS.contains(&w))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_on_symbols() {
        for text in [
            "s0",
            "2*s0 + u1",
            "s77//2",
            "FloorDiv(s0, 2) + 1",
            "Max(1, Min(s0, 8))",
            "Eq(Mod(s0, 2), 0)",
            "Piecewise((1, s0 < 2), (s0, True))",
            "-s0*(s1 + 3)**2",
            "1.5*ToFloat(s0)",
            "(s0 > 3) & (s1 <= 5)",
            "zuf0 + 1e-5",
            "And(s0 > 1, Not(Eq(s0, 3)))",
            "Symbol('s0', positive=True, integer=True)",
            "Add(Mul(Integer(2), Symbol('s77', integer=True)), Integer(-1))",
            "FloorDiv(Symbol('s0', integer=True), Integer(2))",
            "Mul(Float('1.5', precision=53), ToFloat(Symbol('u0', integer=True)))",
            "Piecewise(ExprCondPair(Integer(1), StrictLessThan(Symbol('s0'), Integer(2))), ExprCondPair(Integer(2), true))",
        ] {
            assert_eq!(expression(text), Judged::Fine, "{text}");
        }
        for text in [
            "__import__('os').system('id')",
            "eval(chr(105))",
            "s0.__class__",
            "exec",
            "(eval)(s0)",
            "getattr(s0, s1)",
            "s0[0]",
            "lambda: s0",
            "Symbol('s0').func('x')",
            "Symbol('s0'+'x')",
            "Symbol('a\\'')",
            "sympify('s0')",
            "Symbol('a b')",
            "1(2)",
            "s0; s1",
            "s0\n",
            "f\"{s0}\"",
            "s0 @ s1",
        ] {
            assert_eq!(expression(text), Judged::Code, "{text}");
        }
        for text in ["s0 s1", "x(1)", "lambdify(s0, s1)"] {
            assert_eq!(expression(text), Judged::Odd, "{text}");
        }
    }

    #[test]
    fn guards_on_sizes() {
        for text in [
            "L['x'].size()[0] == 3",
            "2 <= L['args'][0][1].size()[0] and L['x'].size()[1] <= 4",
            "Eq(Mod(L['x'].stride()[0], 2), 0)",
            "not L['x'].size()[0] == 0",
            "math.ceil(L['x'].size()[0] / 2) <= 4",
            "___as_tensor(L['n']).item() == 3",
        ] {
            assert_eq!(guard(text), Judged::Fine, "{text}");
        }
        for text in [
            "L['x'].tofile('y')",
            "__import__('os').system('id')",
            "L['x'].size().__class__",
            "'a' == 'b'",
            "L['x\\'].size()",
            "exec(1)",
            "L['x'].size()(1)",
            "1, \"a\"); import os",
        ] {
            assert_eq!(guard(text), Judged::Code, "{text}");
        }
    }

    #[test]
    fn names_are_names() {
        assert_eq!(node_name("p_c_weight"), Judged::Fine);
        assert_eq!(node_name(""), Judged::Fine);
        assert_eq!(node_name("x=print(1)"), Judged::Code);
        assert_eq!(node_name("a b"), Judged::Odd);
        assert_eq!(path_name("layers.0.weight"), Judged::Fine);
        assert_eq!(path_name("mod@1"), Judged::Fine);
        assert_eq!(path_name("a\").x"), Judged::Code);
    }
}
