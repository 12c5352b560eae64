//! Analyses of text and values that several formats share.

pub(crate) mod opaque;
pub(crate) mod paths;
