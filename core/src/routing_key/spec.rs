//! `[routing_key]`, as the configuration writes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `[routing_key]`: who may name the tenant of a request in a header.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoutingKeySpec {
    /// The header's name. Its signature is in the header of this name plus `-signature`.
    pub header: String,
    /// The exact URI or DNS SANs of the gateways whose routing keys are accepted.
    pub gateways: Vec<GatewaySpec>,
    /// `[[routing_key.signer]]`: the keys whose signatures are accepted, from any sender.
    pub signer: Vec<SignerSpec>,
    /// How old a signature may be, in seconds.
    pub max_age_secs: u64,
    /// How far a signature's time may be in the future, in seconds.
    pub skew_secs: u64,
}

impl Default for RoutingKeySpec {
    fn default() -> Self {
        Self {
            header: super::HEADER.to_owned(),
            gateways: Vec::new(),
            signer: Vec::new(),
            max_age_secs: super::AGE_SECS_MAX,
            skew_secs: 5,
        }
    }
}

/// A gateway, alone or with the tenants that it may speak for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged, expecting = "one of: a SAN, { san, tenants }")]
pub enum GatewaySpec {
    /// `"spiffe://example/gateway"`
    San(String),
    /// `{ san = "spiffe://example/gateway", tenants = ["acme"] }`
    Bound(BoundGatewaySpec),
}

/// A gateway with the tenants that it may speak for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoundGatewaySpec {
    /// Its certificate's SAN.
    pub san: String,
    /// The tenants that it may speak for.
    pub tenants: KeySpeaksSpec,
}

/// One `[[routing_key.signer]]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignerSpec {
    /// The key's id in signatures.
    pub kid: String,
    /// Its public half as a JWK: Ed25519 or P-256. The key fixes the algorithm.
    pub jwk: BTreeMap<String, String>,
    /// The tenants that it may speak for. Required if there are other sources of identity.
    #[serde(default)]
    pub tenants: Option<KeySpeaksSpec>,
}

/// The tenants that a gateway or a signer may speak for: a list, or the word `any`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged, expecting = "one of: a list of tenants, \"any\"")]
pub enum KeySpeaksSpec {
    /// Exactly these tenants.
    Listed(Vec<String>),
    /// `"any"`: every tenant.
    Word(String),
}
