//! The JSON that the Hub's API answers with, made from a [`Snapshot`].

use super::scan::{Entry, Snapshot, hex};
use crate::{Answer, MetaRequest, MetaResponse, Method, RepoId, RepoKind, Result, Route, SourceError};
use bytes::Bytes;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use std::collections::HashSet;
use url::form_urlencoded;

/// Tree entries on one page, as on the Hub: fewer with `expand`.
const PAGE: usize = 1000;
const PAGE_EXPANDED: usize = 50;
/// Paths in one paths-info request.
const MAX_PATHS: usize = 10_000;
/// A folder knows no history; the Hub's clients only need a date that parses.
const DATE: &str = "2025-01-01T00:00:00.000Z";

pub(super) fn ok(body: &Value) -> MetaResponse {
    MetaResponse {
        status: 200,
        content_type: Some("application/json; charset=utf-8".into()),
        body: Bytes::from(body.to_string()),
        ..MetaResponse::default()
    }
}

pub(super) fn error(answer: &Answer) -> MetaResponse {
    MetaResponse {
        status: answer.status,
        error_code: answer.code.clone(),
        error_message: answer.message.clone(),
        commit: answer.commit.clone(),
        ..ok(&json!({ "error": answer.message }))
    }
}

fn not_found(code: &str, message: String, commit: Option<&str>) -> MetaResponse {
    let answer = Answer {
        status: 404,
        code: Some(code.into()),
        message: Some(message),
        commit: commit.map(str::to_owned),
        retry_after: None,
    };
    error(&answer)
}

/// The first value of a query parameter.
fn param(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes()).find(|(k, _)| k == name).map(|(_, v)| v.into_owned())
}

fn flag(query: &str, name: &str) -> bool {
    param(query, name).is_some_and(|v| matches!(v.to_ascii_lowercase().as_str(), "1" | "true"))
}

pub(super) fn api(request: &MetaRequest, snapshot: &Snapshot) -> Result<MetaResponse> {
    let commit = &snapshot.commit;
    Ok(match request.route {
        Route::Info | Route::Revision => ok(&info(&request.repo, snapshot, flag(&request.query, "blobs"))),
        Route::Tree => tree(request, snapshot),
        Route::PathsInfo if request.method == Method::Post => paths_info(request, snapshot)?,
        Route::PathsInfo => not_found("EntryNotFound", "paths-info wants POST".into(), None),
        Route::Refs => ok(&json!({
            "branches": [{ "name": "main", "ref": "refs/heads/main", "targetCommit": commit }],
            "tags": [],
            "converts": [],
        })),
        Route::Commits => {
            ok(&json!([{ "id": commit, "title": "commit", "message": "", "authors": [], "date": DATE }]))
        }
        Route::AuthCheck => ok(&json!({})),
    })
}

fn database_id(repo: &RepoId) -> String {
    let digest = hex(&Sha1::digest(repo.to_string()));
    format!("66{}", digest.get(..22).unwrap_or_default())
}

/// One line of a repository listing.
pub(super) fn listed(repo: &RepoId, snapshot: &Snapshot) -> Value {
    let mut out = json!({
        "_id": database_id(repo), "id": repo.id(), "sha": snapshot.commit, "author": repo.owner(),
        "private": false, "gated": false, "disabled": false, "tags": [], "likes": 0, "downloads": 0,
        "lastModified": DATE, "createdAt": DATE,
    });
    if repo.kind() == RepoKind::Model {
        out["modelId"] = repo.id().into();
    }
    out
}

fn info(repo: &RepoId, snapshot: &Snapshot, blobs: bool) -> Value {
    let sibling = |entry: &Entry| {
        let mut out = json!({ "rfilename": entry.path });
        if blobs {
            out["size"] = entry.size.into();
            out["blobId"] = entry.oid.as_str().into();
            if entry.lfs {
                out["lfs"] = json!({
                    "sha256": entry.sha256.to_hex(), "size": entry.size, "pointerSize": entry.pointer_size,
                });
            }
        }
        out
    };
    let mut out = listed(repo, snapshot);
    out["siblings"] = snapshot.entries.values().map(|e| sibling(e)).collect();
    out["usedStorage"] = snapshot.entries.values().map(|e| e.size).sum::<u64>().into();
    out["cardData"] = json!({});
    if repo.kind() == RepoKind::Model {
        out["config"] = json!({});
    }
    out
}

fn file(entry: &Entry, expand: bool, commit: &str) -> Value {
    let mut out = json!({ "type": "file", "oid": entry.oid, "size": entry.size, "path": entry.path });
    if entry.lfs {
        out["lfs"] = json!({
            "oid": entry.sha256.to_hex(), "size": entry.size, "pointerSize": entry.pointer_size,
        });
    }
    if expand {
        out["lastCommit"] = json!({ "id": commit, "title": "commit", "date": DATE });
    }
    out
}

fn folder(path: &str) -> Value {
    json!({ "type": "directory", "oid": hex(&Sha1::digest(path)), "size": 0, "path": path })
}

fn tree(request: &MetaRequest, snapshot: &Snapshot) -> MetaResponse {
    let (recursive, expand) = (flag(&request.query, "recursive"), flag(&request.query, "expand"));
    let base = request.path.trim_matches('/');
    let prefix = if base.is_empty() { String::new() } else { format!("{base}/") };
    let mut items: Vec<Value> = Vec::new();
    let mut seen = HashSet::new();
    for (path, entry) in &snapshot.entries {
        let Some(rest) = path.strip_prefix(&prefix) else { continue };
        for (at, _) in rest.match_indices('/') {
            let name = path.get(..prefix.len() + at).unwrap_or_default();
            if seen.insert(name) {
                items.push(folder(name));
            }
            if !recursive {
                break;
            }
        }
        if recursive || !rest.contains('/') {
            items.push(file(entry, expand, &snapshot.commit));
        }
    }
    if items.is_empty() && !base.is_empty() {
        let text = format!("{base} does not exist on \"{}\"", request.rev);
        return not_found("EntryNotFound", text, Some(&snapshot.commit));
    }
    let page = if expand { PAGE_EXPANDED } else { PAGE };
    let offset = param(&request.query, "cursor").and_then(|c| c.parse().ok()).unwrap_or(0_usize);
    let shown: Vec<Value> = items.iter().skip(offset).take(page).cloned().collect();
    let mut out = ok(&Value::Array(shown));
    out.commit = Some(snapshot.commit.clone());
    if offset.saturating_add(page) < items.len() {
        out.link = Some(next_link(request, offset.saturating_add(page)));
    }
    out
}

/// As the Hub writes it: absolute on its own host, which whoever passes it on has to replace.
fn next_link(request: &MetaRequest, cursor: usize) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (key, value) in form_urlencoded::parse(request.query.as_bytes()).filter(|(k, _)| k != "cursor") {
        query.append_pair(&key, &value);
    }
    query.append_pair("cursor", &cursor.to_string());
    let kind = request.repo.kind().plural();
    let id = request.repo.id();
    let rev = percent_encoding::utf8_percent_encode(&request.rev, percent_encoding::NON_ALPHANUMERIC);
    format!("<https://huggingface.co/api/{kind}/{id}/tree/{rev}?{}>; rel=\"next\"", query.finish())
}

fn paths_info(request: &MetaRequest, snapshot: &Snapshot) -> Result<MetaResponse> {
    let bad = |e: &dyn std::fmt::Display| SourceError::Request(format!("paths-info: {e}"));
    let is_json = request.content_type.as_deref().is_some_and(|t| t.contains("json"));
    let (paths, expand) = if is_json {
        #[derive(serde::Deserialize)]
        struct Body {
            paths: Vec<String>,
            #[serde(default)]
            expand: bool,
        }
        let body: Body = serde_json::from_slice(&request.body).map_err(|e| bad(&e))?;
        (body.paths, body.expand)
    } else {
        let pairs = || form_urlencoded::parse(&request.body);
        let paths = pairs().filter(|(k, _)| k == "paths").map(|(_, v)| v.into_owned()).collect();
        (paths, pairs().any(|(k, v)| k == "expand" && v.eq_ignore_ascii_case("true")))
    };
    if paths.len() > MAX_PATHS {
        return Err(bad(&format!("more than {MAX_PATHS} paths")));
    }
    let found = |path: &String| {
        if let Some(entry) = snapshot.entries.get(path) {
            return Some(file(entry, expand, &snapshot.commit));
        }
        let prefix = format!("{path}/");
        let (first, _) = snapshot.entries.range(prefix.clone()..).next()?;
        first.starts_with(&prefix).then(|| folder(path))
    };
    let mut out = ok(&paths.iter().filter_map(found).collect());
    out.commit = Some(snapshot.commit.clone());
    Ok(out)
}

/// `search`, `author` and `limit` of a listing.
pub(super) struct Filter {
    search: String,
    author: Option<String>,
    pub(super) limit: usize,
}

impl Filter {
    pub(super) fn parse(query: &str) -> Self {
        Self {
            search: param(query, "search").unwrap_or_default().to_lowercase(),
            author: param(query, "author"),
            limit: param(query, "limit").and_then(|l| l.parse().ok()).unwrap_or(1000).min(1000),
        }
    }

    pub(super) fn admits(&self, repo: &RepoId) -> bool {
        repo.id().to_lowercase().contains(&self.search)
            && self.author.as_deref().is_none_or(|a| repo.owner() == Some(a))
    }
}
