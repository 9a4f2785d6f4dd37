//! Refusals that the router makes outside of core.

use std::time::Duration;

use cellway_core::{Challenge, Class, Deny, LeftOut, RETRY_AFTER_DEFAULT, Reason};

use crate::data_plane::buckets::Quota;
use crate::data_plane::well_formed::RequestRefused;
use crate::envelope::SealError;
use crate::tls::ChainRefused;

/// Why the router answers a request itself.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) reason: Reason,
    pub(crate) class: Class,
    pub(crate) detail: &'static str,
    pub(crate) challenge: Challenge,
    pub(crate) retry_after: Option<Duration>,
    /// The rate limit that is used up, if that is the reason.
    pub(crate) quota: Option<Box<Quota>>,
    /// Whether it was already emitted as a denial.
    pub(crate) told: bool,
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
            quota: None,
            told: false,
        }
    }

    /// The client's chain is refused.
    pub(crate) fn chain(why: ChainRefused) -> Self {
        let (challenge, detail) = match why {
            ChainRefused::Expired => (
                Challenge::Certificate,
                "the client certificate has expired or is not valid yet",
            ),
            ChainRefused::Revoked => (Challenge::Certificate, "the client certificate is revoked"),
            ChainRefused::RevocationUnknown => (
                // Another certificate wouldn't help.
                Challenge::None,
                "no fresh revocation list covers the client certificate",
            ),
            ChainRefused::Usage => (
                Challenge::Certificate,
                "the extended key usage of the client certificate lacks clientAuth",
            ),
            ChainRefused::UnknownIssuer | ChainRefused::Signer(_) | ChainRefused::Untrusted => (
                Challenge::Certificate,
                "the client certificate is not trusted",
            ),
        };
        Self {
            challenge,
            ..Self::new(why.reason(), detail)
        }
    }

    /// The request needs an envelope, and none can be sealed.
    pub(crate) fn envelope(why: SealError) -> Self {
        let detail = match why {
            SealError::NoKey => "no key for envelopes is shared with the cell",
            SealError::TooLarge => "the envelope would be too large",
        };
        Self::new(Reason::EnvelopeUnavailable, detail)
    }

    /// The same as a denial of core. It proves no identity.
    pub(crate) fn as_denial(&self) -> Deny {
        Deny {
            reason: self.reason,
            class: self.class,
            detail: self.detail,
            tenant: None,
            subject: None,
            left_out: LeftOut::default(),
            rule: None,
            challenge: self.challenge,
            retry_after: self.retry_after,
            cell_bound: None,
        }
    }

    /// As [`chain`](Self::chain), for the chain of an Envoy that asks. It has no challenge, because
    /// the client can't fix it.
    pub(crate) fn caller(why: ChainRefused) -> Self {
        Self::new(why.reason(), "the client certificate is no longer trusted")
    }
}

impl ChainRefused {
    /// The reason in the answer.
    pub(crate) const fn reason(self) -> Reason {
        match self {
            Self::Expired => Reason::CertificateExpired,
            Self::Revoked => Reason::CertificateRevoked,
            Self::RevocationUnknown => Reason::RevocationUnknown,
            Self::Usage => Reason::CertificateUsage,
            Self::UnknownIssuer | Self::Signer(_) | Self::Untrusted => Reason::CertificateUntrusted,
        }
    }
}

impl From<Box<RequestRefused>> for Refused {
    fn from(unfit: Box<RequestRefused>) -> Self {
        let refused = Self::new(unfit.reason, unfit.detail);
        match refused.class == Class::Unauthenticated {
            // Only a connection can be refused like this: for its certificate, or for none.
            true => Self {
                challenge: Challenge::Certificate,
                ..refused
            },
            false => refused,
        }
    }
}

/// Every decision was already emitted.
impl From<Deny> for Refused {
    fn from(deny: Deny) -> Self {
        Self {
            reason: deny.reason,
            class: deny.class,
            detail: deny.detail,
            challenge: deny.challenge,
            retry_after: deny.retry_after,
            quota: None,
            told: true,
        }
    }
}
