//! What an opaque blob names or carries: native code at any offset, names of libraries, commands. For formats that nobody
//! documents (engines of accelerators), where this is all that can be proved.
//!
//! Every answer needs structure, because such blobs hold gigabytes of weights, in which short patterns occur by chance.

use super::directive;
use std::io;
use wb_blob::{Blob, Window};
use wb_verdict::escape;

/// Something found at an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// Native code of the machine that loads the blob: `elf`, `pe`, `mach-o`.
    Native(&'static str),
    /// The name of a library, escaped.
    Library(String),
    /// A command or source code: stable id and evidence.
    Command(&'static str, String),
    /// A text that is none of these, as it stands.
    Text(String),
}

/// Texts shorter than this are chance.
const MIN_TEXT: usize = 6;
/// Longer texts are looked at in pieces, each of which begins with the end of the one before.
const MAX_TEXT: usize = 4096;
const OVERLAP: usize = 512;

/// Looks all of `blob` over. Device code (CUDA's ELF images) is no native code of the host.
pub(crate) fn look(blob: &Blob, found: &mut dyn FnMut(u64, Found)) -> io::Result<()> {
    let mut window = Window::new(blob.clone(), Window::CHUNK);
    // A text that goes on in the next window.
    let mut text: Vec<u8> = Vec::new();
    let mut text_at = 0u64;
    let mut at = 0u64;
    while at < blob.len() {
        let v = window.view(at, 1)?;
        if v.is_empty() {
            break;
        }
        for magic in [&b"\x7fELF"[..], b"MZ", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe"] {
            for n in memchr::memmem::find_iter(v, magic) {
                let place = at + n as u64;
                if let Some(code) = native(blob, place)? {
                    found(place, Found::Native(code));
                }
            }
        }
        for (n, b) in v.iter().enumerate() {
            if (0x20..0x7f).contains(b) {
                if text.is_empty() {
                    text_at = at + n as u64;
                }
                text.push(*b);
                if text.len() == MAX_TEXT {
                    judge(&text, text_at, found);
                    // What is cut in two by the end of a piece begins the next one.
                    text.drain(..MAX_TEXT - OVERLAP);
                    text_at += (MAX_TEXT - OVERLAP) as u64;
                }
                continue;
            }
            if text.len() >= MIN_TEXT {
                judge(&text, text_at, found);
            }
            text.clear();
        }
        // A magic number cut in two by the window.
        at += v.len() as u64;
        for place in at.saturating_sub(3)..at.min(blob.len().saturating_sub(1)) {
            // `MZ` is cut only between its two bytes.
            let whole = place + 2 <= at && blob.read_range(place..place + 2)? == b"MZ";
            if !whole && let Some(code) = native(blob, place)? {
                found(place, Found::Native(code));
            }
        }
    }
    if text.len() >= MIN_TEXT {
        judge(&text, text_at, found);
    }
    Ok(())
}

/// The kind of an image of native code that begins at `at`.
fn native(blob: &Blob, at: u64) -> io::Result<Option<&'static str>> {
    /// `EM_CUDA` of elf.h.
    const CUDA: u16 = 190;
    let head = blob.read_range(at..(at + 64).min(blob.len()))?;
    let half = |at: usize, big: bool| {
        head.get(at..at + 2)
            .and_then(|b| b.try_into().ok())
            .map(|b| if big { u16::from_be_bytes(b) } else { u16::from_le_bytes(b) })
    };
    if head.starts_with(b"\x7fELF") {
        let (Some(class @ (1 | 2)), Some(order @ (1 | 2)), Some(1)) = (head.get(4), head.get(5), head.get(6))
        else {
            return Ok(None);
        };
        let big = *order == 2;
        let (kind, machine) = (half(16, big), half(18, big));
        // Bytes of padding in the identification are zero, and the header tells its own size.
        let size = half(if *class == 2 { 52 } else { 40 }, big);
        let plausible =
            matches!(kind, Some(1..=4)) && matches!(size, Some(0 | 52 | 64)) && machine != Some(0);
        return Ok((plausible && machine != Some(CUDA)).then_some("elf"));
    }
    let known =
        matches!(head.get(..4), Some(b"\xcf\xfa\xed\xfe" | b"\xce\xfa\xed\xfe")) || head.starts_with(b"MZ");
    if !known {
        return Ok(None);
    }
    let image = blob.sub(at..blob.len());
    let head = image.head(4096)?;
    Ok(super::opaque::executable(&image, &head).filter(|code| matches!(*code, "pe" | "mach-o")))
}

fn judge(text: &[u8], at: u64, found: &mut dyn FnMut(u64, Found)) {
    /// Shorter ones spell a command by chance.
    const MIN_COMMAND: usize = 16;
    let Ok(text) = std::str::from_utf8(text) else { return };
    let mut told = false;
    for word in text.split([' ', '"', '\'', ',', ';', '=', '(', ')', '|', '<', '>']) {
        if let Some(name) = library(word) {
            told = true;
            found(at, Found::Library(escape(name)));
        }
    }
    if text.len() >= MIN_COMMAND
        && let Some((code, detail)) = directive::commands(text)
    {
        told = true;
        found(at, Found::Command(code, detail));
    }
    if !told {
        found(at, Found::Text(text.to_string()));
    }
}

/// The name of a shared library in `word`, if it ends as one.
pub(crate) fn library(word: &str) -> Option<&str> {
    const ENDS: &[&str] = &[".so", ".dll", ".dylib", ".pyd"];
    let word = word.trim_matches(|c: char| matches!(c, '[' | ']' | '{' | '}' | '`'));
    let lower = word.to_ascii_lowercase();
    let stem = ENDS
        .iter()
        .find_map(|e| lower.strip_suffix(e))
        // `libx.so.1.2`
        .or_else(|| {
            let (stem, version) = lower.rsplit_once(".so.")?;
            version.bytes().all(|b| b.is_ascii_digit() || b == b'.').then_some(stem)
        })?;
    // As it is written.
    let stem = &word[..stem.len()];
    let file = stem.rsplit(['/', '\\']).next().unwrap_or(stem);
    let path = file.len() < stem.len();
    let plain = stem.chars().all(|c| c.is_ascii_alphanumeric() || "/\\._-+:~$%{}@".contains(c));
    // Short names are chance, unless they look like words.
    let small = file.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let long = if path {
        stem.len() >= 3
    } else if file.starts_with("lib") {
        file.len() >= 3
    } else {
        file.len() >= if small { 4 } else { 6 }
    };
    (plain && long && file.bytes().any(|b| b.is_ascii_alphabetic())).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: Vec<u8>) -> Vec<(u64, Found)> {
        let mut out = Vec::new();
        look(&Blob::from_vec(bytes), &mut |at, f| out.push((at, f))).unwrap();
        out
    }

    fn image(machine: u16) -> Vec<u8> {
        let mut e = vec![0u8; 64];
        e[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        e[16] = 3;
        e[18..20].copy_from_slice(&machine.to_le_bytes());
        e[52] = 64;
        e
    }

    #[test]
    fn native_code_of_the_host_is_found_and_device_code_is_not() {
        let blob = [vec![7; 1000], image(62), vec![7; 10], image(190)].concat();
        assert_eq!(all(blob), [(1000, Found::Native("elf"))]);
        // At the edge of a window.
        let edge = Window::CHUNK - 2;
        assert_eq!(all([vec![7; edge], image(183)].concat()), [(edge as u64, Found::Native("elf"))]);
    }

    #[test]
    fn names_of_libraries() {
        for good in [
            "/tmp/evil.so",
            "libx11.so.6",
            "plugins\\my.dll",
            "custom_plugin.so",
            "./a_b.dylib",
            "libfoo.so",
            "/tmp/x.so",
            "evil.so",
        ] {
            assert_eq!(library(good), Some(good));
        }
        for bad in ["a.so", ".so", "x.so.y", "model.sol", "also", "?!x%%#.so", "123456.so"] {
            assert_eq!(library(bad), None, "{bad}");
        }
    }

    #[test]
    fn texts_are_told_apart() {
        let blob =
            b"\0\0/tmp/evil_plugin.so\0import os;os.system('id')\0EfficientNMS_TRT\0\x01ab\x02".to_vec();
        let kinds: Vec<Found> = all(blob).into_iter().map(|f| f.1).collect();
        assert!(matches!(&kinds[0], Found::Library(n) if n == "/tmp/evil_plugin.so"));
        assert!(matches!(&kinds[1], Found::Command("python-code", _)));
        assert!(matches!(&kinds[2], Found::Text(t) if t == "EfficientNMS_TRT"));
        assert_eq!(kinds.len(), 3);
    }

    #[test]
    fn random_bytes_say_nothing() {
        let mut x = 0x9e37_79b9_7f4a_7c15_u64;
        let bytes: Vec<u8> = (0..1 << 20)
            .map(|_| {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                (x >> 32) as u8
            })
            .collect();
        assert!(all(bytes).iter().all(|f| matches!(f.1, Found::Text(_))));
    }
}
