//! `[explain]`: explanations of requests.

use cellway_core::rate_limit::RateLimit;

/// Who may ask for the explanation of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExplainSettings {
    /// The SHA-256 digests of the operators' tokens.
    pub tokens: Vec<[u8; 32]>,
    /// How many explanations the router gives.
    pub rate: RateLimit,
    /// Whether an explanation names the subject of a client certificate.
    pub subjects: bool,
}
