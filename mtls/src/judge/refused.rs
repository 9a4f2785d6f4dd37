//! Why the router answers in its own name.

use std::time::Duration;

use cellway_core::{Challenge, Class, Deny, RETRY_AFTER_DEFAULT, Reason};

/// Why the router answers in its own name.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) reason: Reason,
    pub(crate) class: Class,
    pub(crate) detail: &'static str,
    pub(crate) challenge: Challenge,
    pub(crate) retry_after: Option<Duration>,
}

impl Refused {
    pub(crate) fn new(reason: Reason, detail: &'static str) -> Self {
        let class = reason.class();
        let retry = class == Class::Unavailable;
        Self {
            reason,
            class,
            detail,
            challenge: Challenge::None,
            retry_after: retry.then_some(RETRY_AFTER_DEFAULT),
        }
    }
}

impl From<Deny> for Refused {
    fn from(deny: Deny) -> Self {
        Self {
            reason: deny.reason,
            class: deny.class,
            detail: deny.detail,
            challenge: deny.challenge,
            retry_after: deny.retry_after,
        }
    }
}
