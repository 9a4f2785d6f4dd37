//! The trusted header: a routing key that a gateway in front of the router has found out, and sends
//! as `X-Routing-Key`.
//!
//! Anybody can send a header. This one is believed from a connection whose client certificate
//! carries the exact SAN of a listed gateway, or with a signature by a listed key over the request
//! that it stands in. Without either it is worth nothing, and a request that shows it where it is
//! looked at is refused, not passed as if it had none.
//!
//! The parts: `rules` is what was configured, `signature` the signed form, `judge` holds what came
//! against both.

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

/// The header, where the configuration names no other.
pub const HEADER: &str = "x-routing-key";

/// What the header's name and this make is the name of the signature's header.
pub const SIGNATURE_SUFFIX: &str = "-signature";

/// The oldest that a signature can be allowed to be, in seconds.
pub const AGE_SECS_MAX: u64 = 60;

/// The most seconds that a signature's time can be allowed to lie ahead.
pub const SKEW_SECS_MAX: u64 = 10;

/// Who stood behind a routing key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RoutingKeySender {
    /// The gateway whose connection it came by: its SAN.
    Gateway(Text),
    /// The key that signed it: its kid.
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
