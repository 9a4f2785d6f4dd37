//! Numbers of configured issuers and policies.

use serde::Serialize;

/// An issuer's position in [`Policy::issuers`](crate::policy::Policy::issuers) and in the
/// configuration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize)]
pub struct IssuerId(pub u16);

/// A policy's position in the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PolicyId(pub u16);
