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

/// The symbolic links of one archive, to find what is reached through them.
///
/// Each link and each name can be innocent on paper and lead outside together: `a/l -> ..`, then `a/l/l2 -> ..`.
#[derive(Default)]
pub(crate) struct Links {
    /// Link path without `.` and empty parts, and target.
    links: Vec<(Vec<Vec<u8>>, Vec<u8>)>,
}

impl Links {
    /// Takes note of a symbolic link.
    pub(crate) fn add(&mut self, name: &[u8], target: &[u8]) {
        const MAX: usize = 20_000;
        if self.links.len() < MAX {
            self.links.push((parts(name).map(<[u8]>::to_vec).collect(), target.to_vec()));
        }
    }

    /// Members that lie behind a link, and links that climb out of another link; at most a few.
    pub(crate) fn crossed<'n>(&self, names: impl Iterator<Item = &'n [u8]>) -> Vec<Vec<u8>> {
        const MAX: usize = 10;
        if self.links.is_empty() {
            return Vec::new();
        }
        let known: std::collections::HashSet<&[Vec<u8>]> = self.links.iter().map(|(n, _)| &n[..]).collect();
        let behind = |path: &[Vec<u8>]| (1..path.len()).any(|n| known.contains(&path[..n]));
        let mut out: Vec<Vec<u8>> = names
            .filter(|n| behind(&parts(n).map(<[u8]>::to_vec).collect::<Vec<_>>()))
            .take(MAX)
            .map(<[u8]>::to_vec)
            .collect();
        for (name, target) in &self.links {
            let mut at: Vec<Vec<u8>> = name[..name.len().saturating_sub(1)].to_vec();
            let mut climbs = behind(name);
            for part in parts(target) {
                climbs |= part == b".." && known.contains(&at[..]);
                if part == b".." { drop(at.pop()) } else { at.push(part.to_vec()) }
            }
            if climbs && out.len() < MAX {
                out.push(name.join(&b'/'));
            }
        }
        out
    }
}

/// Parts of a path, without empty ones and `.`.
fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|b| matches!(b, b'/' | b'\\')).filter(|p| !p.is_empty() && *p != b".")
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

    #[test]
    fn links_that_lead_outside_only_together() {
        let crossed = |links: &[(&[u8], &[u8])], names: &[&[u8]]| {
            let mut all = Links::default();
            links.iter().for_each(|(n, t)| all.add(n, t));
            all.crossed(names.iter().copied()).len()
        };
        assert_eq!(crossed(&[(b"a/l", b"..")], &[b"a/l/../x"]), 1);
        assert_eq!(crossed(&[(b"a/l1", b".."), (b"a/l1/l2", b"..")], &[b"l2/x"]), 1, "a link behind a link");
        assert_eq!(crossed(&[(b"p/q/r", b"."), (b"e", b"p/q/r/../../..")], &[]), 1, "out of a link by ..");
        assert_eq!(crossed(&[(b"l", b"d")], &[b"d/x", b"l"]), 0);
        let framework: &[(&[u8], &[u8])] = &[(b"F/V/Current", b"A"), (b"F/H", b"V/Current/H")];
        assert_eq!(crossed(framework, &[b"F/V/A/H/x.h"]), 0);
    }
}
