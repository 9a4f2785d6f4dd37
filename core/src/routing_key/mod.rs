//! Routing keys: the tenant of a request, which a gateway in front of the router sends as
//! `X-Routing-Key`.
//!
//! Anybody can send a header. This one is trusted if the connection's client certificate has the
//! exact SAN of a listed gateway, or if a listed key signed the request. Otherwise a request with
//! the header is refused, if the policy accepts routing keys.
//!
//! `rules` has the configured gateways and signers, `signature` the signed form, and `verify` the
//! checks.

mod rules;
mod signature;
mod spec;
#[cfg(test)]
mod tests;
mod verify;

use std::fmt;

use serde::Serialize;

use crate::text::Text;

pub use rules::RoutingKeyRules;
pub(crate) use rules::{Gateway, GatewaySan, Signer, SpeaksFor};
pub use signature::{Signed, canonical};
pub use spec::{BoundGatewaySpec, GatewaySpec, KeySpeaksSpec, RoutingKeySpec, SignerSpec};
pub(crate) use verify::{Fields, RequestContext};

/// The default name of the header.
pub const HEADER: &str = "x-routing-key";

/// The header of the signature has the name of the key's header plus this.
pub const SIGNATURE_SUFFIX: &str = "-signature";

/// The largest allowed maximum age of a signature, in seconds.
pub const AGE_SECS_MAX: u64 = 60;

/// The largest allowed clock skew of a signature, in seconds.
pub const SKEW_SECS_MAX: u64 = 10;

/// Who vouched for a routing key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RoutingKeySender {
    /// The gateway on whose connection it came, by its SAN.
    Gateway(Text),
    /// The key that signed it, by its kid.
    Signer(Text),
}

impl fmt::Display for RoutingKeySender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway(san) => write!(f, "gateway {san}"),
            Self::Signer(kid) => write!(f, "signer {kid}"),
        }
    }
}

/// A routing key with its gateway or signer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct VerifiedRoutingKey {
    pub(crate) tenant: Text,
    pub(crate) by: RoutingKeySender,
}
