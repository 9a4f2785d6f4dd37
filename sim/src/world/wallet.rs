//! What a client shows: tokens good and bad.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cellway_mtls::lab::{Claims, IdentityProvider, LabError};

use super::shared::{AUDIENCE, Shared, unix_at};
use crate::engine::EPOCH;
use crate::scenario::{Client, Credential};

/// How long before the start an expired token ended.
const EXPIRED_FOR: Duration = Duration::from_secs(60);

/// A client's tokens.
pub(super) struct Wallet {
    shared: Shared,
    spec: Client,
    held: Mutex<Option<Held>>,
}

#[derive(Clone)]
struct Held {
    token: String,
    /// Since the start of the world.
    issued: Duration,
}

/// What goes with one request.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) token: Option<String>,
    /// Since the Unix epoch.
    pub(super) token_ends: Option<Duration>,
}

impl Wallet {
    pub(super) fn new(shared: &Shared, spec: &Client) -> Self {
        Self {
            shared: shared.clone(),
            spec: spec.clone(),
            held: Mutex::new(None),
        }
    }

    /// For whom the client's certificate speaks, if it has one.
    pub(super) fn certified_tenant(spec: &Client) -> Option<&str> {
        match spec.credential {
            Credential::Certificate | Credential::Both => Some(&spec.tenant),
            Credential::Conflicting => Some("somebody-else"),
            Credential::Token
            | Credential::None
            | Credential::Expired
            | Credential::WrongAudience
            | Credential::Forged
            | Credential::UnknownKey
            | Credential::Overdue => None,
        }
    }

    /// What to show at this time since the start, with the request of this number.
    pub(super) fn show(&self, elapsed: Duration, number: usize) -> Shown {
        let none = Shown {
            token: None,
            token_ends: None,
        };
        let token = match self.spec.credential {
            Credential::None | Credential::Certificate => return none,
            Credential::Token | Credential::Both | Credential::Conflicting => {
                return self.renewed(elapsed, self.spec.token_lifetime * 3 / 4);
            }
            Credential::Overdue => return self.renewed(elapsed, self.spec.token_lifetime * 3 / 2),
            Credential::Expired => self.expired(),
            Credential::WrongAudience => {
                self.provider().sign(&self.claims("somebody-else", elapsed))
            }
            Credential::Forged => self.forged(elapsed, None),
            Credential::UnknownKey => self.forged(elapsed, Some(number)),
        };
        Shown {
            token: Some(token.expect("Ed25519 signs anything")),
            token_ends: None,
        }
    }

    /// A good token, the same until it is that old.
    fn renewed(&self, elapsed: Duration, keep: Duration) -> Shown {
        let lifetime = self.spec.token_lifetime;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = held
            .as_ref()
            .is_some_and(|held| elapsed < held.issued + keep);
        if !fresh {
            let claims = self.claims(AUDIENCE, elapsed);
            let token = self
                .provider()
                .sign(&claims)
                .expect("Ed25519 signs anything");
            let issued = elapsed;
            *held = Some(Held { token, issued });
        }
        let held = held.clone().expect("it was just made");
        // `exp` has whole seconds.
        let ends = unix_at(held.issued).after(lifetime).as_secs();
        Shown {
            token: Some(held.token),
            token_ends: Some(Duration::from_secs(ends)),
        }
    }

    fn expired(&self) -> Result<String, LabError> {
        let issued = cellway_core::Unix::from_epoch(EPOCH - EXPIRED_FOR * 2);
        let provider = self.provider();
        let claims = Claims::new(provider.issuer(), AUDIENCE, issued, EXPIRED_FOR);
        provider.sign(&claims.tenant(&self.spec.tenant).subject(&self.spec.name))
    }

    /// Signed by nobody's key: under the name of the first real one, or under one that no set
    /// has ever had.
    fn forged(&self, elapsed: Duration, made_up: Option<usize>) -> Result<String, LabError> {
        let kid = match made_up {
            None => super::hosts::FIRST_KEY.to_owned(),
            Some(number) => format!("{}-made-up-{number}", self.spec.name),
        };
        let signer = self.shared.forged_signer(&kid)?;
        self.claims(AUDIENCE, elapsed).sign(&signer)
    }

    fn claims(&self, audience: &str, elapsed: Duration) -> Claims {
        let lifetime = self.spec.token_lifetime;
        Claims::new(
            self.provider().issuer(),
            audience,
            unix_at(elapsed),
            lifetime,
        )
        .tenant(&self.spec.tenant)
        .subject(&self.spec.name)
    }

    fn provider(&self) -> IdentityProvider {
        let host = format!("idp-{}", self.spec.issuer);
        let provider = self.shared.lock().identity_providers.get(&host).cloned();
        provider.expect("the scenario was checked: clients name issuers that exist")
    }
}
