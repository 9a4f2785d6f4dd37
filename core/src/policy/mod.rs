//! What the configuration says about identity.
use serde::Serialize;
/// Which issuer: its place in the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize)]
pub struct IssuerId(pub u16);
/// Which policy: its place in the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PolicyId(pub u16);
/// Issuers, policies, templates.
#[derive(Debug)]
pub struct Policy {}
