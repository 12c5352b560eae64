//! Asking the hub whether a requester may read a repository.

use super::{RemoteHub, files};
use crate::{Access, MetaRequest, RepoId, RepoKind, Result, Route, SourceError, Token};

/// Public repositories are recognised by their own description; for all others the hub is asked
/// with this requester's token, each time.
pub(super) async fn check(hub: &RemoteHub, repo: &RepoId, token: Option<&Token>) -> Result<Access> {
    let mut request = MetaRequest::get(repo.clone(), Route::Info, "main");
    // Only these properties instead of the whole file list; hubs that do not know `expand` ignore it.
    request.query = match repo.kind() {
        RepoKind::Space => "expand=private".into(),
        RepoKind::Model | RepoKind::Dataset => "expand=private&expand=gated".into(),
    };
    let mut answer = hub.api(&request, token).await?;
    if answer.status == 400 {
        request.query.clear();
        answer = hub.api(&request, token).await?;
    }
    if !answer.is_success() {
        return Err(answer.into_error());
    }
    let info = answer.json()?;
    let private = info.get("private").and_then(serde_json::Value::as_bool);
    let gated = match info.get("gated") {
        Some(serde_json::Value::Bool(gated)) => Some(*gated),
        Some(serde_json::Value::String(_)) => Some(true),
        _ if repo.kind() == RepoKind::Space => Some(false), // spaces cannot be gated
        _ => None,
    };
    if private == Some(false) && gated == Some(false) {
        return Ok(Access::Public);
    }
    // Gated repositories show their description to everyone: that is no proof.
    let answer = hub.api(&MetaRequest::get(repo.clone(), Route::AuthCheck, ""), token).await?;
    match (answer.status, &answer.error_code) {
        (200..300, _) => Ok(Access::Granted),
        (404, None) => by_file(hub, repo, token).await,
        _ => Err(answer.into_error()),
    }
}

/// For hubs without `auth-check`: access to any one file is access to the repository.
async fn by_file(hub: &RemoteHub, repo: &RepoId, token: Option<&Token>) -> Result<Access> {
    let answer = hub.api(&MetaRequest::get(repo.clone(), Route::Info, "main"), token).await?;
    if !answer.is_success() {
        return Err(answer.into_error());
    }
    let info = answer.json()?;
    let file = info.pointer("/siblings/0/rfilename").and_then(serde_json::Value::as_str);
    let Some(file) = file else {
        return Err(SourceError::Protocol("the hub knows no auth-check and lists no file to try".into()));
    };
    files::stat(hub.inner(), repo, "main", file, token).await.map(|_| Access::Granted)
}
