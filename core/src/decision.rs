//! The result of [`decide`](crate::decide()).

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::cba::{CellBound, Claimed};
use crate::cell::{Cell, Endpoint};
use crate::identity::{Identity, LeftOut};
use crate::ranked::Ranked;
use crate::reason::{Class, Reason};
use crate::refused::{KeyWait, Refused};
use crate::text::Text;

/// The answer to one request.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// Final.
    Done(Decision),
    /// The token may be good, but keys are missing. Tell control, wait for a newer key set of this
    /// issuer until the time given, then ask again with `waited` set.
    Wait(KeyWait),
}

/// Forward or refuse.
#[derive(Clone, PartialEq, Debug)]
pub enum Decision {
    /// Forward to the cell.
    Allow(Allow),
    /// Answer in the router's own name.
    Deny(Deny),
}

/// A request that may pass: who it is, and where it goes.
#[derive(Clone, PartialEq, Debug)]
pub struct Allow {
    /// `verified`, `anonymous` or `insecure`.
    pub reason: Reason,
    /// The identity that the credentials proved.
    pub identity: Arc<Identity>,
    /// The placement that chose the cell; `None` where the tenant has a cell of its own.
    pub placement: Option<Text>,
    /// The cell that serves the request, and no other may.
    pub cell: Arc<Cell>,
    /// The cell's endpoints, best first: those that take traffic, then those that are ejected.
    pub endpoints: Ranked,
    /// The rule that lets the request pass, where the policy has rules.
    pub rule: Option<Arc<str>>,
    /// The version of the registry that this was decided on; cells fence by it.
    pub placement_epoch: u64,
    /// What its cell-bound authorization came to; `None` where there is none, and none is wanted.
    pub cell_bound: Option<Box<CellBound>>,
}

/// A request that may not pass.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deny {
    /// The check that failed.
    pub reason: Reason,
    /// What kind of answer that leads to: the reason's own kind, unless the policy has chosen
    /// another for `jwks_unreachable`.
    pub class: Class,
    /// Which check failed, in words that hold nothing of the credential.
    pub detail: &'static str,
    /// The rule of the policy that the request is denied by.
    pub rule: Option<Arc<str>>,
    /// The tenant, where one was proved before the request was refused.
    pub tenant: Option<Text>,
    /// The subject, where one was proved. For logs, which hash it; it isn't part of the JSON form.
    pub subject: Option<Text>,
    /// Unusable values in a verified credential. A role that the caller lacks may be one of them.
    pub left_out: LeftOut,
    /// Which credential is missing or bad, for `WWW-Authenticate`.
    pub challenge: Challenge,
    /// When to try again, for `Retry-After`.
    pub retry_after: Option<Duration>,
    /// What its cell-bound authorization came to, where the request is denied for it.
    pub cell_bound: Option<Box<CellBound>>,
}

/// What a 401 asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Challenge {
    /// Not a 401.
    #[default]
    None,
    /// A bearer token (RFC 6750).
    Bearer,
    /// A client certificate in the TLS handshake.
    Certificate,
    /// A routing key from a gateway, or signed.
    RoutingKey,
}

impl Allow {
    /// The endpoints to try, best first.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints
            .positions()
            .filter_map(|i| self.cell.endpoints.get(i))
    }
}

impl Decision {
    /// The reason for the decision, as metrics and logs name it.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Allow(allow) => allow.reason,
            Self::Deny(deny) => deny.reason,
        }
    }

    /// The rule that decided, where the policy has rules and one fits.
    pub fn rule(&self) -> Option<&str> {
        match self {
            Self::Allow(allow) => allow.rule.as_deref(),
            Self::Deny(deny) => deny.rule.as_deref(),
        }
    }

    /// What the request's cell-bound authorization came to, where it was looked at.
    pub fn cell_bound(&self) -> Option<&CellBound> {
        match self {
            Self::Allow(allow) => allow.cell_bound.as_deref(),
            Self::Deny(deny) => deny.cell_bound.as_deref(),
        }
    }

    /// The decision once the driver has claimed its [`CellBound::claim`]: one that was claimed
    /// before is denied, or in `monitor` mode would be.
    #[must_use]
    pub fn claimed(self, claimed: Claimed) -> Self {
        let (reason, detail) = match claimed {
            Claimed::First => return self,
            Claimed::Again => (
                Reason::CbaReplayed,
                "the authorization has already been used",
            ),
            Claimed::Forgotten => (
                Reason::CbaExpired,
                "the router's clock was set back, and `exp` had come before",
            ),
            Claimed::Full => (
                Reason::Overloaded,
                "the source cell has used up its room for used authorizations",
            ),
        };
        let Self::Allow(mut allow) = self else {
            return self;
        };
        let Some(mut bound) = allow.cell_bound.take() else {
            return Self::Allow(allow);
        };
        let refused = Refused::new("cba.one_use", reason, detail);
        bound.refused = Some(refused.clone());
        if bound.denies().is_none() {
            allow.cell_bound = Some(bound);
            return Self::Allow(allow);
        }
        let answer = (reason.class(), Challenge::None);
        Self::Deny(Deny::new(refused, answer, &allow.identity, Some(bound)))
    }
}

impl Deny {
    /// The denial that a failed check leads to, with what has been proved about the caller so far.
    pub(crate) fn new(
        refused: Refused,
        (class, challenge): (Class, Challenge),
        identity: &Identity,
        cell_bound: Option<Box<CellBound>>,
    ) -> Self {
        Self {
            reason: refused.reason,
            class,
            detail: refused.detail,
            rule: refused.rule().cloned(),
            tenant: refused.tenant().or(identity.tenant.as_ref()).cloned(),
            subject: identity.subject.clone(),
            left_out: identity.left_out,
            challenge,
            retry_after: class.retry_after(),
            cell_bound,
        }
    }
}

/// The stable JSON form: `decision`, `reason`, then what belongs to each. Field order is fixed.
impl Serialize for Decision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Allow(allow) => {
                map.serialize_entry("decision", "allow")?;
                map.serialize_entry("reason", &allow.reason)?;
                map.serialize_entry("identity", &*allow.identity)?;
                map.serialize_entry("placement", &allow.placement)?;
                map.serialize_entry("cell", &allow.cell.id)?;
                let endpoints: Vec<_> = allow.endpoints().map(|e| e.url.as_str()).collect();
                map.serialize_entry("endpoints", &endpoints)?;
                map.serialize_entry("placement_epoch", &allow.placement_epoch)?;
                if let Some(rule) = &allow.rule {
                    map.serialize_entry("rule", &**rule)?;
                }
                if let Some(bound) = &allow.cell_bound {
                    map.serialize_entry("cell_bound", bound)?;
                }
            }
            Self::Deny(deny) => {
                map.serialize_entry("decision", "deny")?;
                map.serialize_entry("reason", &deny.reason)?;
                map.serialize_entry("status", &deny.class.status().map(|s| s.as_u16()))?;
                map.serialize_entry("detail", deny.detail)?;
                if let Some(rule) = &deny.rule {
                    map.serialize_entry("rule", &**rule)?;
                }
                map.serialize_entry("tenant", &deny.tenant)?;
                if !deny.left_out.is_nothing() {
                    map.serialize_entry("left_out", &deny.left_out)?;
                }
                map.serialize_entry("retry_after_secs", &deny.retry_after.map(|d| d.as_secs()))?;
            }
        }
        map.end()
    }
}
