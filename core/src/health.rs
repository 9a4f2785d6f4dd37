//! Endpoint health.
/// Which endpoints are ejected.
#[derive(Debug, Default)]
pub struct Health {}
