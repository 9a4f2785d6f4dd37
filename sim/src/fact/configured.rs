//! What a configuration means.

use std::collections::BTreeSet;

/// What a router's configuration file says, as far as an invariant depends on it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Configured {
    /// The router's host.
    pub router: String,
    /// The placement of requests without credentials; `None` if they are refused.
    pub anonymous: Option<String>,
    /// How it treats cell-bound authorizations.
    pub cell_bound: CellBoundRules,
    /// The kids of the keys whose signatures of routing keys it accepts.
    pub signers: BTreeSet<String>,
    /// The rules; `None` if there are none.
    pub rules: Option<Vec<Rule>>,
}

/// A rule of a router's policy.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Rule {
    /// The methods that it covers; all methods if empty.
    pub methods: Vec<String>,
    /// The path pattern, as in the configuration.
    pub path: String,
    /// Whether it covers gRPC calls only.
    pub grpc: bool,
    /// The callers that it allows.
    pub who: Who,
}

/// The callers that a rule allows.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Who {
    /// Everyone.
    Anyone,
    /// Everyone with valid credentials.
    Verified,
    /// Callers that have one of these roles and all of these scopes.
    Granted {
        /// The roles. If empty, only scopes count.
        roles: Vec<String>,
        /// Scopes.
        scopes: Vec<String>,
    },
}

/// How a router's configuration treats cell-bound authorizations.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct CellBoundRules {
    /// Requests with an invalid one are denied.
    pub enforced: bool,
    /// Each is accepted once.
    pub once: bool,
}
