//! Trust modes: how a service treats a request with a valid, an invalid or no envelope.

use serde::Deserialize;

use super::{EnvelopeRefused, Verified};

/// How much a service leaves to the router.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustMode {
    /// The service checks callers itself. A valid envelope is additional information, and an
    /// invalid one counts as none.
    ServiceEnforced,
    /// Without an envelope the service checks callers itself. An envelope must be valid.
    Hybrid,
    /// Every request needs a valid envelope.
    GatewayEnforced,
}

impl TrustMode {
    /// Every mode there is.
    pub const ALL: [Self; 3] = [Self::ServiceEnforced, Self::Hybrid, Self::GatewayEnforced];

    /// The word in configurations and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ServiceEnforced => "service_enforced",
            Self::Hybrid => "hybrid",
            Self::GatewayEnforced => "gateway_enforced",
        }
    }

    /// What happens to a request with this result of the check.
    ///
    /// # Errors
    /// The mode doesn't let the request be served.
    pub(super) fn apply(
        self,
        found: Result<Verified, EnvelopeRefused>,
    ) -> Result<Verdict, EnvelopeRefused> {
        let refused = match found {
            Ok(verified) => return Ok(Verdict::Verified(Box::new(verified))),
            Err(refused) => refused,
        };
        match (self, refused) {
            (Self::ServiceEnforced, _) | (Self::Hybrid, EnvelopeRefused::Missing) => {
                Ok(Verdict::Local(refused))
            }
            (Self::Hybrid | Self::GatewayEnforced, _) => Err(refused),
        }
    }
}

/// The verified identity that a service gets for a request that it may serve.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The router has verified this identity, and chosen this cell for it.
    Verified(Box<Verified>),
    /// Nothing is proved, for this reason. Check the request as if there were no router, and trust
    /// none of the headers under its prefix.
    Local(EnvelopeRefused),
}

impl Verdict {
    /// The identity, if it is proved.
    pub fn verified(&self) -> Option<&Verified> {
        match self {
            Self::Verified(verified) => Some(verified),
            Self::Local(_) => None,
        }
    }
}
