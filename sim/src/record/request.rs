//! A request, from its client to its answer.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each question is about a few kinds of steps"
)]

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::seconds;
use crate::engine::EPOCH;
use crate::fact::{Answer, RoutingKeyProof, Sent};

/// A request as its client saw it, and what happened to it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Request {
    /// Who sent it.
    pub client: String,
    /// Its name in the trace.
    pub tag: String,
    /// The router that it was sent to, or the Envoy.
    pub to: String,
    /// The tenant that the client really acts for.
    pub tenant: String,
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The credentials that it showed, in words.
    pub credentials: String,
    /// The issuer of its token and the key that signed it, if the token is valid for a time.
    pub key: Option<[String; 2]>,
    /// The tier that its token names.
    pub tier: Option<String>,
    /// When its token expires, since the start. A token that had expired before is zero.
    pub expires: Option<Duration>,
    /// It may change something, so it must not be sent to a cell twice.
    pub once: bool,
    /// When it was sent, since the start.
    pub sent: Duration,
    /// The last cell that it arrived at, as reported by the cell.
    pub cell: Option<String>,
    /// What came back; `None` if the run ended first.
    pub answer: Option<Answer>,
    /// When the client got the answer.
    pub answered: Option<Duration>,
    /// What happened in between, in order. What only its router knows is missing until a cell or the answer
    /// names the router's id of the request.
    pub steps: Vec<Step>,
}

/// Something that happened to a request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Step {
    /// When, since the start.
    pub at: Duration,
    /// The host that reports it.
    pub host: String,
    /// What.
    pub what: Happened,
}

/// What happened to a request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Happened {
    /// It went over a connection with a client certificate.
    Presented {
        /// The authority that issued it. The first is 0.
        authority: usize,
        /// When it expires, since the start; `None` if that is after the run.
        expires: Option<Duration>,
    },
    /// A router decided it.
    Decided {
        /// The cell, if it may pass.
        cell: Option<String>,
        /// The reason.
        reason: String,
        /// The tenant that the router identified.
        tenant: Option<String>,
        /// The registry version of the decision.
        version: Option<u64>,
    },
    /// A router sends it to another cell than the tenant's placement assigns.
    FailedOver {
        /// The cell that can't serve it.
        from: Option<String>,
        /// The cell that gets it.
        cell: String,
        /// Why.
        reason: String,
    },
    /// It changed the breaker of an endpoint.
    Breaker {
        /// The endpoint's host.
        endpoint: String,
        /// What happened, in words.
        change: String,
    },
    /// It arrived at a cell.
    Arrived {
        /// The cell's id.
        cell: String,
    },
    /// Its body has ended at a cell.
    BodyEnded {
        /// The bytes.
        bytes: u64,
        /// Whether it came whole.
        complete: bool,
    },
    /// A cell refused its envelope.
    EnvelopeRefused {
        /// Why.
        why: String,
    },
    /// A cell gave it no answer.
    Unserved {
        /// How it ended, in words.
        how: String,
    },
    /// A cell ended the gRPC call with this status.
    CallEnded {
        /// The status.
        status: u8,
    },
    /// A cell works on it no longer.
    Left,
    /// A router answered it or gave up.
    Responded {
        /// The status that it sent; `None` if the client had gone.
        status: Option<u16>,
        /// The reason, if the router made or cut the answer.
        reason: Option<String>,
    },
    /// An Envoy asked its router.
    Checked {
        /// What came of it, in words.
        outcome: String,
    },
    /// Its client reads no more of the answer.
    StoppedReading,
    /// The answer has a header that only the router may set.
    Forged {
        /// The header.
        header: String,
    },
    /// The answer belongs to another request.
    Mixed {
        /// What is wrong with it.
        found: String,
    },
}

impl Request {
    pub(super) fn new(at: Duration, sent: &Sent) -> Self {
        let token = sent.token.as_ref();
        Self {
            client: sent.client.clone(),
            tag: sent.tag.clone(),
            to: sent.to.clone(),
            tenant: sent.tenant.clone(),
            method: sent.method.clone(),
            path: sent.path.clone(),
            credentials: credentials(sent),
            key: token.map(|token| [token.issuer.clone(), token.key.clone()]),
            tier: sent.claims.as_ref().and_then(|claims| claims.tier.clone()),
            expires: token.map(|token| token.expires.saturating_sub(EPOCH)),
            once: sent.once,
            sent: at,
            cell: None,
            answer: None,
            answered: None,
            steps: Vec::new(),
        }
    }

    /// What was sent, in words.
    pub fn sentence(&self) -> String {
        let Self {
            client,
            method,
            path,
            tenant,
            credentials,
            to,
            ..
        } = self;
        format!("{client} sends {method} {path} for {tenant} with {credentials} to {to}")
    }

    /// The cells where it arrived, each with its endpoint and the time, in order.
    pub fn arrivals(&self) -> impl Iterator<Item = (&str, &Step)> {
        self.steps.iter().filter_map(|step| match &step.what {
            Happened::Arrived { cell } => Some((cell.as_str(), step)),
            _ => None,
        })
    }

    /// The last decision about it, and the registry version of that.
    pub fn decision(&self) -> Option<(&Step, Option<u64>)> {
        self.steps.iter().rev().find_map(|step| match &step.what {
            Happened::Decided { version, .. } => Some((step, *version)),
            _ => None,
        })
    }
}

/// What a client shows to prove who it is, in words.
fn credentials(sent: &Sent) -> String {
    let mut shown = match (&sent.token, &sent.claims, sent.anonymous) {
        (_, _, true) => "no credentials".to_owned(),
        (Some(token), _, _) => format!("a token of {} (key {})", token.issuer, token.key),
        (None, Some(_), _) => "a token".to_owned(),
        (None, None, _) => "a certificate".to_owned(),
    };
    match &sent.routing_key {
        Some(RoutingKeyProof::Gateway) => shown = "a gateway's routing key".to_owned(),
        Some(RoutingKeyProof::Signer { kid, .. }) => {
            shown = format!("a routing key signed by {kid}");
        }
        Some(RoutingKeyProof::None) => shown = "an unproved routing key".to_owned(),
        None => {}
    }
    if let Some(bound) = &sent.cell_bound {
        shown += &format!(" on behalf of cell {}", bound.source);
    }
    if !sent.good && !sent.anonymous {
        shown += ", which prove nothing";
    }
    shown
}

impl Step {
    /// What happened, with its host, in words.
    pub fn sentence(&self) -> String {
        format!("{} {}", self.host, self.what)
    }

    /// One word for it, as stories and pages show it.
    pub fn label(&self) -> &'static str {
        match &self.what {
            Happened::Presented { .. } => "presented",
            Happened::Decided { .. } => "decided",
            Happened::FailedOver { .. } => "fails over",
            Happened::Breaker { .. } => "breaker",
            Happened::Arrived { .. } => "received",
            Happened::BodyEnded { .. } => "body",
            Happened::EnvelopeRefused { .. } => "envelope",
            Happened::Unserved { .. } => "unserved",
            Happened::CallEnded { .. } => "call",
            Happened::Left => "left",
            Happened::Responded { .. } => "responded",
            Happened::Checked { .. } => "asked",
            Happened::StoppedReading => "client",
            Happened::Forged { .. } | Happened::Mixed { .. } => "answer",
        }
    }
}

/// A sentence without its subject, which is the host.
impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Presented { authority, expires } => {
                write!(f, "shows a certificate of authority {authority}")?;
                match expires {
                    Some(at) => write!(f, ", which expires at {}", seconds(*at)),
                    None => Ok(()),
                }
            }
            Self::Decided {
                cell,
                reason,
                tenant,
                version,
            } => {
                match cell {
                    Some(cell) => write!(f, "allows it to {cell} ({reason})")?,
                    None => write!(f, "denies it: {reason}")?,
                }
                let tenant = tenant.as_deref().unwrap_or("nobody");
                match version {
                    Some(version) => write!(f, ", as {tenant} on registry version {version}"),
                    None => write!(f, ", as {tenant} without a registry"),
                }
            }
            Self::FailedOver { from, cell, reason } => {
                let from = from.as_deref().unwrap_or("its placement");
                write!(f, "sends it to {cell} instead of {from}: {reason}")
            }
            Self::Breaker { endpoint, change } => write!(f, "{change} of {endpoint}"),
            Self::Arrived { cell } => write!(f, "of cell {cell} receives it"),
            Self::BodyEnded { bytes, complete } => match complete {
                true => write!(f, "has its body, {bytes} bytes"),
                false => write!(f, "gets {bytes} bytes of its body, which breaks off"),
            },
            Self::EnvelopeRefused { why } => write!(f, "refuses its envelope: {why}"),
            Self::Unserved { how } => f.write_str(how),
            Self::CallEnded { status } => write!(f, "ends the call with status {status}"),
            Self::Left => f.write_str("works on it no longer"),
            Self::Responded { status, reason } => {
                match status {
                    Some(status) => write!(f, "answers {status}")?,
                    None => f.write_str("finds that the client has gone")?,
                }
                match reason {
                    Some(reason) => write!(f, ": {reason}"),
                    None => Ok(()),
                }
            }
            Self::Checked { outcome } => f.write_str(outcome),
            Self::StoppedReading => f.write_str("reads no more of the answer"),
            Self::Forged { header } => write!(f, "gets the header {header} in the answer"),
            Self::Mixed { found } => write!(f, "gets another answer: {found}"),
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tag, sent) = (&self.tag, seconds(self.sent));
        write!(f, "{tag}: {} at {sent}", self.sentence())
    }
}
