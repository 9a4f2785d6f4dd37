//! Numbers of configured issuers and policies.

use serde::Serialize;

/// Which issuer: its place in [`Policy::issuers`](crate::policy::Policy::issuers) and in the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize)]
pub struct IssuerId(pub u16);

/// Which policy: its place in the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PolicyId(pub u16);
