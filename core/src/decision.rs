//! The result of [`decide`](crate::decide()).

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::cba::{CellBound, Claimed};
use crate::cell::{Cell, Endpoint};
use crate::identity::{Identity, LeftOut};
use crate::ranked::Ranked;
use crate::rate_limit::RateLimit;
use crate::reason::{Class, Reason};
use crate::refused::{KeyWait, Refused};
use crate::registry::Standby;
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
    /// The placement that chose this cell, or that chose the cell which this one replaces. `None` if
    /// the tenant has a cell of its own.
    pub placement: Option<Text>,
    /// The only cell that may serve the request.
    pub cell: Arc<Cell>,
    /// The cell's endpoints, best first: those that take traffic, then those that are ejected.
    pub endpoints: Ranked,
    /// The rule that allows the request, if the policy has rules.
    pub rule: Option<Arc<str>>,
    /// The registry version of this decision. Cells use it to reject requests that were decided on
    /// an older version.
    pub placement_epoch: u64,
    /// The rate limits that the registry sets for this request. The driver counts requests.
    pub rates: Rates,
    /// The registry's limits on requests in flight that count this request. The driver counts them.
    pub requests_max: RequestsMax,
    /// The result of checking its cell-bound authorization. `None` if it has none and needs none.
    pub cell_bound: Option<Box<CellBound>>,
    /// The cells to which the request may go if this one can't be reached
    /// ([`fail_over`](crate::fail_over())). `None`: nowhere.
    pub standby: Option<Arc<Standby>>,
    /// Set if this cell replaces another one. Boxed, because few decisions have it.
    pub failed_over: Option<Box<FailedOver>>,
}

/// Why a request doesn't go to the cell that its placement assigns.
#[derive(Clone, PartialEq, Debug)]
pub struct FailedOver {
    /// Why the assigned cell doesn't serve the request: what its client would be answered otherwise.
    pub reason: Reason,
    /// The cells that can't serve it, the assigned one first. Empty if no cell of the placement takes
    /// traffic.
    pub cells: Vec<Arc<Cell>>,
    /// The fallback placement, if the cell is one of its cells.
    pub fallback: Option<Text>,
}

/// The registry's rate limits for one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rates {
    /// The tenant's own limit.
    pub tenant: Option<RateLimit>,
    /// The limit of the placement that chose the cell.
    pub placement: Option<RateLimit>,
}

/// How many requests in flight the registry allows, for one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RequestsMax {
    /// Those of the tenant.
    pub tenant: Option<NonZeroU32>,
    /// Those of all tenants of the placement that chose the cell.
    pub placement: Option<NonZeroU32>,
}

/// A request that is denied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deny {
    /// The check that failed.
    pub reason: Reason,
    /// The kind of answer: that of the reason, unless the policy sets another one for
    /// `jwks_unreachable`.
    pub class: Class,
    /// Which check failed, in words that hold nothing of the credential.
    pub detail: &'static str,
    /// The rule of the policy that denies the request.
    pub rule: Option<Arc<str>>,
    /// The tenant, if one was proved before the check failed.
    pub tenant: Option<Text>,
    /// The subject, if one was proved. It is for logs, which hash it, and isn't part of the JSON
    /// form.
    pub subject: Option<Text>,
    /// Unusable values in a verified credential. A role that the caller lacks may be one of them.
    pub left_out: LeftOut,
    /// Which credential is missing or bad, for `WWW-Authenticate`.
    pub challenge: Challenge,
    /// When to try again, for `Retry-After`.
    pub retry_after: Option<Duration>,
    /// The result of checking its cell-bound authorization, if that is why the request is denied.
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
    /// The identity, unless the policy is `disabled`. Then it is the same for all requests and
    /// proves nothing.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "only one reason proves nothing"
    )]
    pub fn proved_identity(&self) -> Option<&Identity> {
        match self.reason {
            Reason::Insecure => None,
            _ => Some(&self.identity),
        }
    }

    /// The tenant that the request was proved to be for.
    pub fn proved_tenant(&self) -> Option<&Text> {
        self.proved_identity()?.tenant.as_ref()
    }

    /// The endpoints in the order in which to try them.
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

    /// The rule that decided, if the policy has rules and one matches.
    pub fn rule(&self) -> Option<&str> {
        match self {
            Self::Allow(allow) => allow.rule.as_deref(),
            Self::Deny(deny) => deny.rule.as_deref(),
        }
    }

    /// The result of checking the request's cell-bound authorization, if it was checked.
    pub fn cell_bound(&self) -> Option<&CellBound> {
        match self {
            Self::Allow(allow) => allow.cell_bound.as_deref(),
            Self::Deny(deny) => deny.cell_bound.as_deref(),
        }
    }

    /// The decision after the driver has claimed its [`CellBound::claim`]. An authorization that
    /// was claimed before is denied, or only reported in `monitor` mode.
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
                "the router's clock was set back, and `exp` had already passed",
            ),
            Claimed::Full => (
                Reason::Overloaded,
                "the source cell has used up its space for used authorizations",
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

/// The stable JSON form.
impl Serialize for FailedOver {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let cells: Vec<_> = self.cells.iter().map(|cell| cell.id.as_str()).collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("reason", &self.reason)?;
        map.serialize_entry("cells", &cells)?;
        map.serialize_entry("fallback", &self.fallback)?;
        map.end()
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
                if let Some(failed_over) = &allow.failed_over {
                    map.serialize_entry("failed_over", &**failed_over)?;
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
