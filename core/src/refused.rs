//! Why a request is refused.

use std::fmt;
use std::sync::Arc;

use crate::ids::IssuerId;
use crate::reason::Reason;
use crate::text::Text;
use crate::time::Mono;

/// A check that a request did not pass.
///
/// Every check in core returns this one type, and [`decide`](crate::decide()) makes a
/// [`Deny`](crate::Deny) of it. It is small, because each check returns it: what only a few
/// refusals know is behind one pointer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The check that failed, as `explain` names it.
    pub check: &'static str,
    /// The reason of the denial.
    pub reason: Reason,
    /// What is wrong, in words that hold nothing of the credential.
    pub detail: &'static str,
    extra: Option<Box<Extra>>,
}

// Every check returns it, so it must stay small.
const _: () = assert!(size_of::<Refused>() <= 48);

/// What only a few refusals know.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Extra {
    tenant: Option<Text>,
    rule: Option<Arc<str>>,
}

impl Refused {
    /// A failed check.
    pub const fn new(check: &'static str, reason: Reason, detail: &'static str) -> Self {
        Self {
            check,
            reason,
            detail,
            extra: None,
        }
    }

    /// The tenant, if a credential proved one although [`identify`](crate::identify::identify)
    /// found no identity.
    pub fn tenant(&self) -> Option<&Text> {
        self.extra.as_ref()?.tenant.as_ref()
    }

    /// The rule of the policy that denies the request.
    pub fn rule(&self) -> Option<&Arc<str>> {
        self.extra.as_ref()?.rule.as_ref()
    }

    pub(crate) fn with_tenant(mut self, tenant: Text) -> Self {
        self.extra.get_or_insert_default().tenant = Some(tenant);
        self
    }

    pub(crate) fn with_rule(mut self, rule: Arc<str>) -> Self {
        self.extra.get_or_insert_default().rule = Some(rule);
        self
    }
}

/// The reason and the detail.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}

impl std::error::Error for Refused {}

/// What a request waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyWait {
    /// The issuer whose keys are missing.
    pub issuer: IssuerId,
    /// The key that the token names.
    pub kid: Option<Box<str>>,
    /// The [`IssuerKeys::epoch`](crate::keys::IssuerKeys::epoch) of the key set that lacked the
    /// key. Ask again when this issuer has a later one.
    pub seen: u64,
    /// When to stop waiting.
    pub until: Mono,
}
