//! Key sets.
/// The key sets of all issuers.
#[derive(Debug)]
pub struct KeyTable {}
