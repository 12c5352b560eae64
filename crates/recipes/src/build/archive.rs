//! The member of an archive that is written without lies.

use super::Source;
use serde::Deserialize;

/// Name and content.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Member {
    pub name: String,
    pub data: Source,
}
