//! Which request is what: an allow-list over the raw, undecoded path.
//!
//! Everything not named here is answered 404 by the gate and never reaches the upstream. Markers such as
//! `/resolve/` are looked for on the raw path and each segment is decoded exactly once afterwards, because a
//! revision may hold an encoded slash (`refs%2Fpr%2F3`) and a path decoded twice is another path.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use wb_source::{RepoId, RepoKind, Route as Question};

/// One file at one revision.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileRef {
    /// Where.
    pub repo: RepoId,
    /// Branch, tag, `refs/pr/N` or commit, decoded.
    pub rev: String,
    /// Path in the repository, decoded, no leading slash, no `.` or `..` segments.
    pub path: String,
}

impl FileRef {
    /// The path of this file, encoded: `/org/name/resolve/rev/path`.
    pub fn resolve_path(&self) -> String {
        format!("/{}/resolve/{}/{}", self.repo, encode_segment(&self.rev), encode_path(&self.path))
    }

    /// The last segment of the path.
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// A parsed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// File content (or its metadata by HEAD).
    Resolve(FileRef),
    /// `/raw/`: the content of small files, the pointer text of large ones.
    Raw(FileRef),
    /// Metadata, answered by the upstream with the requester's own token.
    Meta {
        /// Which question.
        question: Question,
        /// Of which repository.
        repo: RepoId,
        /// The revision; empty where the question has none.
        rev: String,
        /// The folder, for [`Question::Tree`]; empty for the root.
        path: String,
    },
    /// `GET /api/whoami-v2`.
    WhoAmI,
    /// `GET /api/models?search=…`.
    List(RepoKind),
    /// A request to write; refused with 405.
    Write,
    /// git smart HTTP read; refused with text.
    Git,
    /// git-lfs batch; refused with JSON.
    LfsBatch,
    /// Xet tokens: the gate has no Xet; 404 keeps clients on plain HTTP.
    Xet,
    /// A waiting client comes back.
    Waiting {
        /// Ticket, 32 hex digits.
        ticket: String,
        /// Hops made so far.
        hop: u32,
        /// The original path.
        rest: String,
    },
}

/// Why a path is not a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoute {
    /// Not in the table: 404.
    Unknown,
    /// Not a well-formed path: 400.
    Malformed,
}

/// Words that stand after a repository id.
const MARKERS: [&str; 12] = [
    "resolve",
    "raw",
    "tree",
    "revision",
    "paths-info",
    "refs",
    "commits",
    "blob",
    "blame",
    "info",
    "git-upload-pack",
    "git-receive-pack",
];

/// Sub-resources of `/api/{kind}/{id}/` that change something.
const WRITES: [&str; 17] = [
    "preupload",
    "commit",
    "xet-write-token",
    "settings",
    "branch",
    "tag",
    "super-squash",
    "lfs-files",
    "discussions",
    "secrets",
    "variables",
    "restart",
    "pause",
    "duplicate",
    "user-access-request",
    "ask-access",
    "resource-group",
];

/// Longest path accepted, in bytes, and most segments.
const MAX_PATH: usize = 4096;
const MAX_SEGMENTS: usize = 128;

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// One path segment, encoded (a slash becomes `%2F`).
pub fn encode_segment(s: &str) -> String {
    utf8_percent_encode(s, SEGMENT).to_string()
}

/// A path whose slashes stay.
pub fn encode_path(s: &str) -> String {
    s.split('/').map(encode_segment).collect::<Vec<_>>().join("/")
}

fn decode(segment: &str) -> Result<String, NoRoute> {
    let text = percent_decode_str(segment).decode_utf8().map_err(|_| NoRoute::Malformed)?;
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(NoRoute::Malformed);
    }
    Ok(text.into_owned())
}

/// A file path from raw segments; encoded slashes separate too, and nothing may climb.
fn decode_path(segments: &[&str]) -> Result<String, NoRoute> {
    let parts = segments.iter().map(|s| decode(s)).collect::<Result<Vec<_>, _>>()?;
    let path = parts.join("/");
    if path.split('/').any(|p| p.is_empty() || p == "." || p == "..") || path.contains('\\') {
        return Err(NoRoute::Malformed);
    }
    Ok(path)
}

fn decode_rev(segment: &str) -> Result<String, NoRoute> {
    let rev = decode(segment)?;
    let odd = rev.split('/').any(|p| p.is_empty() || p == "." || p == "..");
    if odd || rev.len() > 256 || rev.contains(['\\', ' ', '~', '^', ':', '?', '*', '[']) {
        return Err(NoRoute::Malformed);
    }
    Ok(rev)
}

/// An id from one or two raw segments. Segments are compared undecoded: an id never needs encoding.
fn repo(kind: RepoKind, segments: &[&str]) -> Result<RepoId, NoRoute> {
    let reserved = |s: &str| MARKERS.contains(&s) || matches!(s, "api" | "datasets" | "spaces" | "kernels");
    if segments.iter().any(|s| reserved(s) || s.ends_with(".git")) {
        return Err(NoRoute::Unknown);
    }
    RepoId::new(kind, &segments.join("/")).map_err(|_| NoRoute::Unknown)
}

/// Parses the raw path of a request (without the query).
pub fn parse(method: &str, raw: &str) -> Result<Route, NoRoute> {
    if raw.len() > MAX_PATH || !raw.starts_with('/') {
        return Err(NoRoute::Malformed);
    }
    let segments: Vec<&str> = raw[1..].split('/').collect();
    if segments.len() > MAX_SEGMENTS {
        return Err(NoRoute::Malformed);
    }
    match segments.as_slice() {
        ["_w", ticket, hop, ..] => waiting(ticket, hop, raw),
        ["api", rest @ ..] => api(method, rest),
        ["v2", ..] => Err(NoRoute::Unknown),
        ["datasets", rest @ ..] => content(method, RepoKind::Dataset, rest),
        ["spaces", rest @ ..] => content(method, RepoKind::Space, rest),
        rest => content(method, RepoKind::Model, rest),
    }
}

fn waiting(ticket: &str, hop: &str, raw: &str) -> Result<Route, NoRoute> {
    let well_formed = ticket.len() == 32 && ticket.bytes().all(|b| b.is_ascii_hexdigit());
    let hop: u32 = hop.parse().ok().filter(|n| *n <= 1000).ok_or(NoRoute::Unknown)?;
    let rest = raw.splitn(5, '/').nth(4).ok_or(NoRoute::Unknown)?;
    if !well_formed || rest.starts_with("_w/") {
        return Err(NoRoute::Unknown);
    }
    Ok(Route::Waiting { ticket: ticket.into(), hop, rest: format!("/{rest}") })
}

fn is_read(method: &str) -> bool {
    matches!(method, "GET" | "HEAD")
}

fn content(method: &str, kind: RepoKind, s: &[&str]) -> Result<Route, NoRoute> {
    // git and git-lfs: `{id}[.git]/info/refs`, `{id}[.git]/git-upload-pack`, `{id}.git/info/lfs/…`
    match s {
        [.., "info", "refs"] | [.., "git-upload-pack"] => return Ok(Route::Git),
        [.., "git-receive-pack"] => return Ok(Route::Write),
        [.., "info", "lfs", "objects", "batch"] => return Ok(Route::LfsBatch),
        [.., "info", "lfs", "locks"] | [.., "info", "lfs", "locks", "verify"] => return Ok(Route::Write),
        _ => {}
    }
    let marker = |m: &str| matches!(m, "resolve" | "raw");
    let (id, what, rest) = match s {
        // Two markers in a row could be read as an id of one or of two segments: refuse both readings.
        [_, a, b, ..] if marker(a) && marker(b) => return Err(NoRoute::Unknown),
        [_, m, rest @ ..] if marker(m) => (&s[..1], *m, rest),
        [_, _, m, rest @ ..] if marker(m) => (&s[..2], *m, rest),
        _ => return Err(NoRoute::Unknown),
    };
    let repo = repo(kind, id)?;
    if !is_read(method) {
        return Ok(Route::Write);
    }
    let [rev, path @ ..] = rest else { return Err(NoRoute::Unknown) };
    if path.is_empty() {
        return Err(NoRoute::Unknown);
    }
    let file = FileRef { repo, rev: decode_rev(rev)?, path: decode_path(path)? };
    Ok(if what == "raw" { Route::Raw(file) } else { Route::Resolve(file) })
}

fn api(method: &str, s: &[&str]) -> Result<Route, NoRoute> {
    let kind = match s {
        ["whoami-v2"] if is_read(method) => return Ok(Route::WhoAmI),
        ["repos", ..] | ["validate-yaml", ..] | ["collections", ..] if !is_read(method) => {
            return Ok(Route::Write);
        }
        [kind, ..] => RepoKind::from_plural(kind).ok_or(NoRoute::Unknown)?,
        [] => return Err(NoRoute::Unknown),
    };
    let read = |r: Route| if is_read(method) { Ok(r) } else { Ok(Route::Write) };
    let s = &s[1..];
    if s.is_empty() {
        return read(Route::List(kind));
    }
    let known = |m: &str| {
        matches!(m, "tree" | "revision" | "paths-info" | "refs" | "commits" | "auth-check" | "xet-read-token")
            || WRITES.contains(&m)
    };
    let (id, rest) = match s {
        [_, a, b, ..] if known(a) && known(b) => return Err(NoRoute::Unknown),
        [_, m, ..] if known(m) => s.split_at(1),
        [_] => s.split_at(1),
        [_, _, ..] => s.split_at(2),
        [] => return Err(NoRoute::Unknown),
    };
    let repo = repo(kind, id)?;
    let meta = |question, rev: Option<&str>, path: &[&str]| {
        let rev = rev.map(decode_rev).transpose()?.unwrap_or_default();
        // A trailing slash after the folder is tolerated, as the Hub does.
        let path = path.strip_suffix(&[""]).unwrap_or(path);
        let path = if path.is_empty() { String::new() } else { decode_path(path)? };
        Ok(Route::Meta { question, repo: repo.clone(), rev, path })
    };
    match rest {
        [] => read(meta(Question::Info, None, &[])?),
        ["revision", rev] => read(meta(Question::Revision, Some(rev), &[])?),
        ["tree", rev, path @ ..] => read(meta(Question::Tree, Some(rev), path)?),
        ["paths-info", rev] if method == "POST" => meta(Question::PathsInfo, Some(rev), &[]),
        ["refs"] => read(meta(Question::Refs, None, &[])?),
        ["commits", rev] => read(meta(Question::Commits, Some(rev), &[])?),
        ["auth-check"] => read(meta(Question::AuthCheck, None, &[])?),
        ["xet-read-token", ..] => Ok(Route::Xet),
        // Reading discussions or settings is not in the table; writing them says why it is refused.
        [m, ..] if WRITES.contains(m) && (!is_read(method) || *m == "xet-write-token") => Ok(Route::Write),
        _ => Err(NoRoute::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(raw: &str) -> FileRef {
        match parse("GET", raw) {
            Ok(Route::Resolve(f)) => f,
            other => panic!("{raw}: {other:?}"),
        }
    }

    #[test]
    fn files() {
        let f = file("/acme/tiny/resolve/main/sub/vocab%20with%20space.txt");
        assert_eq!((f.repo.id(), f.rev.as_str()), ("acme/tiny", "main"));
        assert_eq!(f.path, "sub/vocab with space.txt");
        assert_eq!(f.resolve_path(), "/acme/tiny/resolve/main/sub/vocab%20with%20space.txt");
        let f = file("/datasets/acme/d/resolve/refs%2Fpr%2F3/a.bin");
        assert_eq!((f.repo.kind(), f.rev.as_str()), (RepoKind::Dataset, "refs/pr/3"));
        assert_eq!(f.resolve_path(), "/datasets/acme/d/resolve/refs%2Fpr%2F3/a.bin");
        assert_eq!(file("/gpt2/resolve/main/config.json").repo.id(), "gpt2");
        assert!(matches!(parse("HEAD", "/spaces/a/b/raw/main/app.py"), Ok(Route::Raw(_))));
    }

    #[test]
    fn a_path_is_decoded_once() {
        assert_eq!(file("/a/b/resolve/main/x%2541").path, "x%41");
    }

    #[test]
    fn climbing_and_ambiguity_are_refused() {
        for raw in [
            "/a/b/resolve/main/../x",
            "/a/b/resolve/main/%2e%2e/x",
            "/a/b/resolve/main/..%2Fx",
            "/a/b/resolve/main//x",
            "/a/b/resolve/main/x%00",
            "/a/b/resolve/main/x%0d%0aSet-Cookie:y",
            "/a/b/resolve/../x/y",
            "/a/b/resolve/main/%ff",
            "/a/b/resolve/main/a%5cb",
            "/a/b/resolve/main",
            "/a/resolve/resolve/main/x",
            "/..%2Fa/b/resolve/main/x",
            "/a%2Fb/c/resolve/main/x",
            "/api/resolve-cache/models/a/b/0123456789012345678901234567890123456789/config.json",
            "/api/models/a/b/unknown-thing",
            "/a/b/blob/main/x",
            "/v2/a/b/manifests/latest",
            "/",
            "//a/b/resolve/main/x",
            "/_w/zz/1/a/b/resolve/main/x",
        ] {
            assert!(parse("GET", raw).is_err(), "{raw}: {:?}", parse("GET", raw));
        }
    }

    #[test]
    fn metadata() {
        let got = |method: &str, raw: &str| match parse(method, raw) {
            Ok(Route::Meta { question, repo, rev, path }) => {
                format!("{} {repo} {rev} {path}", question.segment())
            }
            other => panic!("{raw}: {other:?}"),
        };
        for (raw, want) in [
            ("/api/models/a/b", " a/b  "),
            ("/api/models/gpt2", " gpt2  "),
            ("/api/models/gpt2/revision/main", "revision gpt2 main "),
            ("/api/datasets/a/b/revision/refs%2Fpr%2F1", "revision datasets/a/b refs/pr/1 "),
            ("/api/models/a/b/tree/main", "tree a/b main "),
            ("/api/models/a/b/tree/main/", "tree a/b main "),
            ("/api/models/a/b/tree/main/sub/dir", "tree a/b main sub/dir"),
            ("/api/models/a/b/tree/main/sub%2Fdir", "tree a/b main sub/dir"),
            ("/api/models/a/b/refs", "refs a/b  "),
            ("/api/models/a/b/commits/main", "commits a/b main "),
            ("/api/spaces/a/b/auth-check", "auth-check spaces/a/b  "),
        ] {
            assert_eq!(got("GET", raw), want, "{raw}");
        }
        assert_eq!(got("POST", "/api/models/a/b/paths-info/main"), "paths-info a/b main ");
        assert_eq!(parse("GET", "/api/whoami-v2"), Ok(Route::WhoAmI));
        assert_eq!(parse("GET", "/api/datasets"), Ok(Route::List(RepoKind::Dataset)));
    }

    #[test]
    fn writes_and_git() {
        for (method, raw) in [
            ("POST", "/api/models/a/b/preupload/main"),
            ("POST", "/api/models/a/b/commit/main"),
            ("POST", "/api/repos/create"),
            ("DELETE", "/api/repos/delete"),
            ("GET", "/api/models/a/b/xet-write-token/main"),
            ("PUT", "/a/b/resolve/main/x"),
            ("POST", "/a/b.git/git-receive-pack"),
            ("PUT", "/api/models/a/b/settings"),
        ] {
            assert_eq!(parse(method, raw), Ok(Route::Write), "{method} {raw}");
        }
        assert_eq!(parse("GET", "/a/b.git/info/refs"), Ok(Route::Git));
        assert_eq!(parse("POST", "/datasets/a/b/git-upload-pack"), Ok(Route::Git));
        assert_eq!(parse("POST", "/a/b.git/info/lfs/objects/batch"), Ok(Route::LfsBatch));
        assert_eq!(parse("GET", "/api/models/a/b/xet-read-token/main"), Ok(Route::Xet));
    }

    #[test]
    fn hops() {
        let t = "0123456789abcdef0123456789abcdef";
        let Ok(Route::Waiting { ticket, hop, rest }) =
            parse("GET", &format!("/_w/{t}/3/a/b/resolve/main/x%2Fy"))
        else {
            panic!()
        };
        assert_eq!((ticket.as_str(), hop, rest.as_str()), (t, 3, "/a/b/resolve/main/x%2Fy"));
    }
}
