//! The configuration's tables about identity, as the file writes them.
//!
//! These types only read; [`Policy::build`](super::Policy::build) says what is wrong with them, all
//! errors at once. The reader refuses a member that isn't known.

use serde::{Deserialize, Serialize};

use crate::headers::HeaderSpec;
use crate::routing_key::RoutingKeySpec;

mod cba;
mod issuer;
mod policy;
mod trust;

pub use cba::{CbaMode, CbaSpec, PolicyCbaSpec};
pub use issuer::{ClaimSpec, ClaimsSpec, IssuerSpec, KeyTimingSpec};
pub use policy::{
    CorsSpec, InsecureSpec, Mode, PolicySpec, RuleAllow, RuleSpec, Scheme, SubjectNeed,
};
pub use trust::{BoundTrustDomainSpec, OnDoubt, TrustDomainSpec, TrustSpec};

/// Every table that a [`Policy`](super::Policy) is built from.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicySpecs {
    /// `[[issuer]]`: issuers whose tokens are accepted.
    pub issuer: Vec<IssuerSpec>,
    /// `[[policy]]`: which credentials a listener asks for.
    pub policy: Vec<PolicySpec>,
    /// `[trust]`: which client certificates are trusted.
    pub trust: Option<TrustSpec>,
    /// `[headers]`: the names of the router's own headers.
    pub headers: HeaderSpec,
    /// `[cba]`: authorizations of cells that call other cells.
    pub cba: CbaSpec,
    /// `[routing_key]`: who may name the tenant of a request in a header.
    pub routing_key: RoutingKeySpec,
}

/// One string, or a list of them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged, expecting = "one of: a string, a list of strings")]
pub enum OneOrMany {
    /// `"a"`
    One(String),
    /// `["a", "b"]`
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl OneOrMany {
    /// The strings, in order.
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// The tenants that an issuer or a trust domain may speak for: a list, or the word `registry`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged, expecting = "one of: a list of tenants, \"registry\"")]
pub enum SpeaksSpec {
    /// Exactly these tenants.
    Listed(Vec<String>),
    /// `"registry"`: the tenants whose `issuer` in the registry is this one.
    Word(String),
}
