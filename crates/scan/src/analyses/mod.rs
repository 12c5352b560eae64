//! Analyses of text and values that several formats share.
