//! stub

#[derive(Debug)]
pub(super) struct Inner {
    name: String,
}

impl Inner {
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}
