//! Byte expressions: `"text"`, `"a"*1000`, `hex:00ff`, `part:payload`, `f64:1.5`, one after another.

use crate::Error;

/// Resolves `part:NAME` to bytes.
pub(crate) type Parts<'a> = &'a dyn Fn(&str) -> Result<Vec<u8>, Error>;

/// Evaluates a sequence of byte expressions separated by blanks.
pub(crate) fn eval(text: &str, parts: Parts<'_>) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (bytes, after) = term(rest, parts)?;
        out.extend(bytes);
        rest = after.trim_start();
    }
    Ok(out)
}

/// Evaluates the first expression of `text`; returns the rest.
pub(crate) fn term<'t>(text: &'t str, parts: Parts<'_>) -> Result<(Vec<u8>, &'t str), Error> {
    let (bytes, rest) = if let Some(after) = text.strip_prefix('"') {
        quoted(after)?
    } else {
        let end = text.find([' ', '*']).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        (word_bytes(word, parts)?, rest)
    };
    let Some(after) = rest.strip_prefix('*') else { return Ok((bytes, rest)) };
    let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    let n: usize = after[..end].parse().map_err(|_| Error::new("a number must follow `*`"))?;
    Ok((bytes.repeat(n), &after[end..]))
}

fn word_bytes(word: &str, parts: Parts<'_>) -> Result<Vec<u8>, Error> {
    let bad = || Error::new(format!("`{word}` is no byte expression"));
    let (kind, arg) = word.split_once(':').ok_or_else(bad)?;
    Ok(match kind {
        "hex" => hex(arg)?,
        "part" => parts(arg)?,
        "f32" => arg.parse::<f32>().map_err(|_| bad())?.to_le_bytes().to_vec(),
        "f64" => arg.parse::<f64>().map_err(|_| bad())?.to_le_bytes().to_vec(),
        _ => return Err(bad()),
    })
}

/// Hex digits, blanks ignored.
pub(crate) fn hex(text: &str) -> Result<Vec<u8>, Error> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).map(|d| d as u8))
        .collect::<Option<_>>()
        .ok_or_else(|| Error::new("hex text holds something else"))?;
    if digits.len() % 2 == 1 {
        return Err(Error::new("hex text has an odd number of digits"));
    }
    Ok(digits.chunks(2).map(|p| p[0] << 4 | p[1]).collect())
}

/// The rest of a quoted text after its opening quote; `\xNN` is one byte, all else UTF-8.
fn quoted(text: &str) -> Result<(Vec<u8>, &str), Error> {
    let mut out = Vec::new();
    let mut chars = text.char_indices();
    let open = || Error::new("a quoted text does not end");
    loop {
        let (at, c) = chars.next().ok_or_else(open)?;
        match c {
            '"' => return Ok((out, &text[at + 1..])),
            '\\' => match chars.next().ok_or_else(open)?.1 {
                'n' => out.push(b'\n'),
                'r' => out.push(b'\r'),
                't' => out.push(b'\t'),
                '0' => out.push(0),
                'x' => {
                    let pair: String = (&mut chars).take(2).map(|(_, c)| c).collect();
                    out.extend(hex(&pair)?);
                }
                c @ ('"' | '\\') => out.push(c as u8),
                c => return Err(Error::new(format!("unknown escape `\\{c}`"))),
            },
            c => out.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<Vec<u8>, Error> {
        eval(text, &|name| Ok(name.to_uppercase().into_bytes()))
    }

    #[test]
    fn expressions_are_joined_and_repeated() {
        assert_eq!(
            run(r#""a\n\x80é"*2 hex:00ff part:ok"#).unwrap(),
            b"a\n\x80\xc3\xa9a\n\x80\xc3\xa9\0\xffOK"
        );
        assert_eq!(run("f64:1").unwrap(), 1f64.to_le_bytes());
    }

    #[test]
    fn mistakes_are_errors() {
        for bad in ["\"open", "hex:0", "hex:zz", "plain", "\"a\"*", "\"\\q\""] {
            assert!(run(bad).is_err(), "{bad}");
        }
    }
}
