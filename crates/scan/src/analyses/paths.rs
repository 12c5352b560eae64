//! Would an archive member be written outside the folder it is unpacked to?

/// `absolute` or `traversal` if unpacking `name` the naive way leaves the target folder.
///
/// Both slashes count, because Windows unpackers take either.
pub(crate) fn escape_of(name: &[u8]) -> Option<&'static str> {
    let drive = matches!(name, [d, b':', ..] if d.is_ascii_alphabetic());
    if drive || matches!(name.first(), Some(b'/' | b'\\')) {
        return Some("absolute");
    }
    leaves(name.split(|b| matches!(b, b'/' | b'\\'))).then_some("traversal")
}

/// Does a symbolic link at member path `link` with this target point outside the target folder?
pub(crate) fn symlink_escapes(link: &[u8], target: &[u8]) -> bool {
    if escape_of(target) == Some("absolute") {
        return true;
    }
    let slash = |b: &u8| matches!(b, b'/' | b'\\');
    let folder = link.iter().rposition(slash).map_or(&link[..0], |at| &link[..at]);
    leaves(folder.split(slash).chain(target.split(slash)))
}

fn leaves<'a>(parts: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut depth = 0i64;
    for part in parts {
        match part {
            b"" | b"." => {}
            b".." => {
                depth -= 1;
                if depth < 0 {
                    return true;
                }
            }
            _ => depth += 1,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(escape_of(b"a/b.txt"), None);
        assert_eq!(escape_of(b"a/../b"), None);
        assert_eq!(escape_of(b"a..b/..c"), None);
        assert_eq!(escape_of(b"../x"), Some("traversal"));
        assert_eq!(escape_of(b"a\\..\\..\\x"), Some("traversal"));
        assert_eq!(escape_of(b"/etc/x"), Some("absolute"));
        assert_eq!(escape_of(b"C:\\x"), Some("absolute"));
    }

    #[test]
    fn links() {
        assert!(!symlink_escapes(b"a/b/link", b"../c"));
        assert!(symlink_escapes(b"a/link", b"../../c"));
        assert!(symlink_escapes(b"link", b"/etc/passwd"));
        assert!(!symlink_escapes(b"link", b"lib.so.1"));
    }
}
