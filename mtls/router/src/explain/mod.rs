//! Explains how the router would decide a request, and why, without sending one.
//!
//! The same state machines and fetching code as in the router make the snapshot, from files,
//! last-known-good copies and, unless it must stay offline, the network. The decision is [`decide`]
//! itself, with a recorder.

mod gather;

use std::fmt;

use cellway_core::cert::PeerCertificate;
use cellway_core::identify::Memo;
use cellway_core::policy::PolicyId;
use cellway_core::{
    Allow, Credentials, Decision, Evidence, Now, Outcome, Reason, Snapshot, Steps, decide,
};
use cellway_env::Env;
use http::{HeaderValue, Method};
use serde::Serialize;

pub use self::gather::{NOT_ASKED, gather};
pub use crate::data_plane::rehearsal::{Rehearsal, Rehearsed, ShownChain};
use crate::envelope::Sealer;
use crate::settings::RouterSettings;

/// What to explain.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The policy that the listener has for the request.
    pub policy: PolicyId,
    /// The method.
    pub method: &'a Method,
    /// Host and port.
    pub authority: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// Whether its content type is gRPC's.
    pub grpc: bool,
    /// The value of `Authorization`.
    pub authorization: Option<HeaderValue>,
    /// The value of the header that chooses one of several tenants.
    pub tenant_choice: Option<HeaderValue>,
    /// The value of `Cell-Bound-Authorization`.
    pub cell_bound: Option<HeaderValue>,
    /// The routing key.
    pub routing_key: Option<HeaderValue>,
    /// Its signature.
    pub routing_key_signature: Option<HeaderValue>,
    /// The client's certificate. Its chain must be verified.
    pub peer: Option<&'a PeerCertificate>,
}

/// A decision and the steps that led to it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// Each check, in order.
    pub steps: Steps,
}

/// Decides as the router would.
pub fn explain(snapshot: &Snapshot, question: &Question<'_>, now: Now) -> Explanation {
    let credentials = Credentials {
        authorization: question.authorization.clone(),
        several: false,
        tenant_choice: question.tenant_choice.clone(),
        cell_bound: question.cell_bound.iter().cloned().collect(),
        routing_key: question.routing_key.iter().cloned().collect(),
        routing_key_signature: question.routing_key_signature.iter().cloned().collect(),
        explain: None,
        grpc: question.grpc,
        overrides_request: false,
    };
    let evidence = Evidence {
        policy: question.policy,
        method: question.method,
        authority: question.authority,
        path: question.path,
        credentials: &credentials,
        peer: question.peer,
        spread: 0,
        waited: true,
    };
    let mut steps = Steps::default();
    let decision = match decide(snapshot, &evidence, now, &mut Memo::disabled(), &mut steps) {
        Outcome::Done(decision) => decision,
        // This can't happen, because `waited` is set.
        Outcome::Wait(_) => unreachable!("a request that has waited is decided"),
    };
    Explanation { decision, steps }
}

/// The envelope of an allowed request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Envelope {
    /// There is no `[envelope]`.
    Off,
    /// No caller is verified.
    NotVerified,
    /// The cell gets one.
    Sealed {
        /// `jws`, `hmac` or `compatible`.
        form: &'static str,
        /// The key.
        kid: String,
    },
    /// No key is shared with the cell, so the request is refused.
    NoKey,
    /// The keys can't be used, so no router would start.
    Unusable {
        /// What is wrong with the keys.
        error: String,
    },
}

impl fmt::Display for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("none, because there is no [envelope]"),
            Self::NotVerified => f.write_str("none, because no caller is verified"),
            Self::Sealed { form, kid } => write!(f, "{form} under key {kid}"),
            Self::NoKey => write!(
                f,
                "none, because no key is shared with the cell: 503 {}",
                Reason::EnvelopeUnavailable
            ),
            Self::Unusable { error } => write!(f, "none, because envelope.keys: {error}"),
        }
    }
}

impl Envelope {
    /// Whether the request reaches its cell.
    pub fn lets_pass(&self) -> bool {
        match self {
            Self::Off | Self::NotVerified | Self::Sealed { .. } => true,
            Self::NoKey | Self::Unusable { .. } => false,
        }
    }
}

/// Says whether the cell would get an envelope with this allowed request. It seals none.
pub async fn envelope<E: Env>(
    env: &E,
    settings: &RouterSettings,
    allow: &Allow,
    now: Now,
) -> Envelope {
    let Some(envelope) = &settings.envelope else {
        return Envelope::Off;
    };
    let sealer = match Sealer::load(env, envelope, now, None).await {
        Ok(sealer) => sealer,
        Err(error) => {
            let error = error.to_string();
            return Envelope::Unusable { error };
        }
    };
    if allow.reason != Reason::Verified {
        return Envelope::NotVerified;
    }
    match sealer.kid(&allow.cell.id, now) {
        None => Envelope::NoKey,
        Some(kid) => Envelope::Sealed {
            form: sealer.form().as_str(),
            kid: kid.to_owned(),
        },
    }
}
