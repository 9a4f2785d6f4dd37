//! A client's tokens, good and bad.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cellway_core::routing_key::Signed;
use cellway_testbed::{Claims, IdentityProvider, TestbedError, unsigned};
use http::Method;
use serde_json::json;

use super::credentials::RequestCredentials;
use super::keys;
use super::state::{AUDIENCE, WorldHandle, unix_at};
use crate::engine::EPOCH;
use crate::fact::{self, RoutingKeyProof, Token};
use crate::scenario::{Client, Credential, FIRST_KEY, Flaw};

/// How long before the start an expired token expired.
const EXPIRED_FOR: Duration = Duration::from_secs(60);

/// How old a stale signature is: more than any router may allow.
const STALE_FOR: Duration = Duration::from_secs(300);

/// How far in the future an early token becomes valid: more than any router may allow.
const EARLY_BY: Duration = Duration::from_secs(3600);

/// The length of a certificate's SHA-256 thumbprint in base64url.
const THUMBPRINT_LEN: usize = 43;

/// A client's tokens.
pub(super) struct Wallet {
    world: WorldHandle,
    spec: Client,
    held: Mutex<Option<Held>>,
}

#[derive(Clone)]
struct Held {
    token: String,
    key: String,
    /// Since the start of the world.
    issued: Duration,
}

impl Wallet {
    pub(super) fn new(world: &WorldHandle, spec: &Client) -> Self {
        Self {
            world: world.clone(),
            spec: spec.clone(),
            held: Mutex::new(None),
        }
    }

    /// What proves the client's routing key at this time, if it has one.
    pub(super) fn routing_key_proof(&self, elapsed: Duration) -> Option<RoutingKeyProof> {
        match self.spec.credential {
            Credential::GatewayKey => Some(RoutingKeyProof::Gateway),
            Credential::SignedKey => Some(RoutingKeyProof::Signer {
                kid: self.spec.signer.clone(),
                time: Duration::from_secs(unix_at(elapsed).as_secs()),
            }),
            Credential::SpoofedKey
            | Credential::BorrowedKey
            | Credential::ForgedKey
            | Credential::StaleKey => Some(RoutingKeyProof::None),
            Credential::Token
            | Credential::Certificate
            | Credential::Both
            | Credential::None
            | Credential::Expired
            | Credential::WrongAudience
            | Credential::Forged
            | Credential::UnknownKey
            | Credential::Conflicting
            | Credential::Overdue => None,
        }
    }

    /// The signature of the client's routing key, if it sends one.
    pub(super) fn signature(
        &self,
        elapsed: Duration,
        method: &Method,
        authority: &str,
        path: &str,
    ) -> Option<String> {
        let now = unix_at(elapsed).as_secs();
        let (time, forged) = match self.spec.credential {
            Credential::SignedKey => (now, false),
            Credential::ForgedKey => (now, true),
            Credential::StaleKey => (now.saturating_sub(STALE_FOR.as_secs()), false),
            Credential::Token
            | Credential::Certificate
            | Credential::Both
            | Credential::None
            | Credential::Expired
            | Credential::WrongAudience
            | Credential::Forged
            | Credential::UnknownKey
            | Credential::Conflicting
            | Credential::Overdue
            | Credential::GatewayKey
            | Credential::SpoofedKey
            | Credential::BorrowedKey => return None,
        };
        let signed = Signed {
            kid: &self.spec.signer,
            time,
            method,
            authority,
            path,
            key: &self.spec.tenant,
        };
        let signature = keys::edge(&self.spec.signer, forged)
            .and_then(|signer| signer.sign_routing_key(&signed));
        Some(signature.expect("Ed25519 signs anything"))
    }

    /// The credentials of the request with this number, sent at this time since the start.
    pub(super) fn credentials(&self, elapsed: Duration, number: usize) -> RequestCredentials {
        let none = RequestCredentials {
            token: None,
            truth: None,
            bound: None,
        };
        let token = match self.spec.credential {
            Credential::None
            | Credential::Certificate
            | Credential::GatewayKey
            | Credential::SignedKey
            | Credential::SpoofedKey
            | Credential::BorrowedKey
            | Credential::ForgedKey
            | Credential::StaleKey => return none,
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
        RequestCredentials {
            token: Some(token.expect("Ed25519 signs anything")),
            truth: None,
            bound: None,
        }
    }

    /// A good token, which is replaced when it is older than `keep`.
    fn renewed(&self, elapsed: Duration, keep: Duration) -> RequestCredentials {
        let lifetime = self.spec.token_lifetime;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = held
            .as_ref()
            .is_some_and(|held| elapsed < held.issued + keep);
        if !fresh {
            let provider = self.provider();
            let token = self.issue(&self.claims(AUDIENCE, elapsed), elapsed);
            *held = Some(Held {
                token: token.expect("Ed25519 signs anything"),
                key: provider.signing_key(),
                issued: elapsed,
            });
        }
        let held = held.clone().expect("a token was just made");
        // `iat` and `exp` have whole seconds.
        let (issued, expires) = (unix_at(held.issued), unix_at(held.issued).after(lifetime));
        RequestCredentials {
            token: Some(held.token),
            truth: Some(Token {
                issuer: self.spec.issuer.clone(),
                key: held.key,
                issued: Duration::from_secs(issued.as_secs()),
                expires: Duration::from_secs(expires.as_secs()),
            }),
            bound: None,
        }
    }

    fn expired(&self) -> Result<String, TestbedError> {
        let issued = cellway_core::Unix::from_epoch(EPOCH - EXPIRED_FOR * 2);
        let provider = self.provider();
        let claims = Claims::new(provider.issuer(), AUDIENCE, issued, EXPIRED_FOR);
        provider.sign(&claims.tenant(&self.spec.tenant).subject(&self.spec.name))
    }

    /// A token signed with an unknown key. It names the first real key, or an invented one.
    fn forged(&self, elapsed: Duration, made_up: Option<usize>) -> Result<String, TestbedError> {
        let kid = match made_up {
            None => FIRST_KEY.to_owned(),
            Some(number) => format!("{}-made-up-{number}", self.spec.name),
        };
        let signer = keys::forged(self.world.seed(), &kid)?;
        self.claims(AUDIENCE, elapsed).sign(&signer)
    }

    fn claims(&self, audience: &str, elapsed: Duration) -> Claims {
        let lifetime = self.spec.token_lifetime;
        let now = unix_at(elapsed);
        let claims = Claims::new(self.provider().issuer(), audience, now, lifetime)
            .tenant(&self.spec.tenant)
            .subject(&self.spec.name);
        self.with_further_claims(claims, audience)
    }

    /// Adds the client's further claims.
    fn with_further_claims(&self, mut claims: Claims, audience: &str) -> Claims {
        let said = &self.spec.claims;
        if let Some(tenants) = &said.tenants {
            claims = match &said.default_tenant {
                Some(default) => claims.tenant(default),
                None => claims.without("tenant_id"),
            };
            claims = claims.with("tenants", json!(tenants));
        }
        if let Some(roles) = &said.roles {
            claims = claims.with("roles", json!(roles));
        }
        if !said.scopes.is_empty() {
            claims = claims.with("scope", said.scopes.join(" "));
        }
        if let Some(tier) = &said.tier {
            claims = claims.with("tier", tier.as_str());
        }
        if !said.audiences.is_empty() {
            let all: Vec<_> = said.audiences.iter().map(String::as_str).collect();
            claims = claims.with("aud", json!([&all[..], &[audience]].concat()));
        }
        claims
    }

    /// The claims of the client's tokens as a fact, if it has tokens.
    pub(super) fn claims_fact(&self) -> Option<fact::Claims> {
        let Client {
            credential,
            claims,
            flaw,
            tenant,
            ..
        } = &self.spec;
        if !credential.has_token() {
            return None;
        }
        let audience = match *credential == Credential::WrongAudience {
            true => "somebody-else",
            false => AUDIENCE,
        };
        let audiences = claims
            .audiences
            .iter()
            .map(String::as_str)
            .chain([audience]);
        let audiences = audiences.filter(|_| *flaw != Some(Flaw::NoAudience));
        let (tenants, default_tenant) = match &claims.tenants {
            _ if *flaw == Some(Flaw::NoTenant) => (BTreeSet::new(), None),
            Some(tenants) => (
                tenants.iter().cloned().collect(),
                claims.default_tenant.clone(),
            ),
            None => ([tenant.clone()].into(), Some(tenant.clone())),
        };
        let roles = claims.roles.as_ref();
        Some(fact::Claims {
            audiences: audiences.map(str::to_owned).collect(),
            tenants,
            default_tenant,
            roles: roles.map(|roles| roles.iter().cloned().collect()),
            scopes: claims.scopes.iter().cloned().collect(),
            tier: claims.tier.clone(),
        })
    }

    /// Signs a token, with its flaw.
    fn issue(&self, claims: &Claims, elapsed: Duration) -> Result<String, TestbedError> {
        let sign = |claims: Claims| self.provider().sign(&claims);
        let claims = claims.clone();
        match self.spec.flaw {
            Some(Flaw::Unsigned) => Ok(unsigned(&claims)),
            Some(Flaw::WrongIssuer) => sign(claims.with("iss", "https://somebody-else.test")),
            Some(Flaw::Early) => {
                let from = unix_at(elapsed).after(EARLY_BY);
                sign(claims.with("nbf", from.as_secs()))
            }
            Some(Flaw::WrongType) => sign(claims.typ(Some("cba+jwt"))),
            Some(Flaw::BoundElsewhere) => {
                let thumbprint = "A".repeat(THUMBPRINT_LEN);
                sign(claims.with("cnf", json!({ "x5t#S256": thumbprint })))
            }
            Some(Flaw::NoTenant) => sign(claims.without("tenant_id").without("tenants")),
            Some(Flaw::NoSubject) => sign(claims.without("sub")),
            Some(Flaw::NoExpiry) => sign(claims.without("exp")),
            Some(Flaw::NoAudience) => sign(claims.without("aud")),
            // The flaw is in the request.
            Some(Flaw::Twice | Flaw::InQuery | Flaw::NamesStamps) | None => sign(claims),
        }
    }

    fn provider(&self) -> IdentityProvider {
        let host = format!("idp-{}", self.spec.issuer);
        let provider = self.world.lock().identity_providers.get(&host).cloned();
        provider.expect("the scenario was checked: clients name issuers that exist")
    }
}
