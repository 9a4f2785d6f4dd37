//! The configuration about identity: issuers, trust domains, and the credentials that a
//! listener asks for.
//!
//! [`Policy::build`] finds every mistake in the configuration at once. A [`Policy`] that it returns
//! needs no further check.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::cert::SanTemplates;
use crate::cors::CorsRules;
use crate::headers::HeaderRules;
use crate::identity::Identity;
use crate::keys::{Algorithm, KeyTiming};
use crate::reason::Class;
use crate::routing_key::RoutingKeyRules;
use crate::text::Text;

mod build;
mod rules;
mod spec;
#[cfg(test)]
mod tests;

pub use crate::ids::{IssuerId, PolicyId};
pub(crate) use rules::{AllowedCallers, MatchInput};
pub use rules::{Rule, Rules};
pub use spec::{
    BoundTrustDomainSpec, CbaMode, CbaSpec, ClaimSpec, ClaimsSpec, CorsSpec, InsecureSpec,
    IssuerSpec, KeyTimingSpec, Mode, OnDoubt, OneOrMany, PolicyCbaSpec, PolicySpec, PolicySpecs,
    RuleAllow, RuleSpec, Scheme, SpeaksSpec, SubjectNeed, TrustDomainSpec, TrustSpec,
};

/// Everything about identity that was configured.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The issuers, by [`IssuerId`].
    pub issuers: Vec<Issuer>,
    /// What the router's headers are called.
    pub headers: HeaderRules,
    /// Where the cells' keys for cell-bound authorizations are, and how the authorizations are
    /// checked.
    pub cba: CbaRules,
    /// The gateways and signers whose routing keys are accepted.
    pub routing_key: RoutingKeyRules,
    auth: Vec<AuthPolicy>,
    sans: SanTemplates,
    trust_domains: BTreeMap<Text, Speaks>,
    /// Issuers by `iss` and by name.
    by_iss: BTreeMap<Box<str>, IssuerId>,
    by_name: BTreeMap<Text, IssuerId>,
    fingerprint: Fingerprint,
    /// What it was built from.
    specs: PolicySpecs,
}

/// Identifies the content of the tables that verification depends on: equal tables have equal
/// fingerprints.
///
/// A token that was verified under one policy doesn't count as verified under another. A reload
/// that changes nothing keeps the memo valid.
pub type Fingerprint = [u8; 32];

/// One identity provider whose tokens are accepted.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// What logs, metrics and the registry call it.
    pub name: Text,
    /// The exact `iss` of its tokens.
    pub iss: Box<str>,
    /// One of these must be in `aud`.
    pub audiences: Vec<Box<str>>,
    /// If an access token has no `aud`, its `client_id` must be one of these.
    pub client_ids: Vec<Box<str>>,
    /// If there are any, `azp` must be one of these.
    pub authorized_parties: Vec<Box<str>>,
    /// The algorithms allowed, in order of preference.
    pub algorithms: Vec<Algorithm>,
    /// The media types that `typ` may name, in lower case and without `application/`.
    pub types: Vec<Box<str>>,
    /// The claims that the identity is read from.
    pub claims: ClaimsSpec,
    /// How many seconds after `exp` a token is still accepted.
    pub leeway_exp_secs: u64,
    /// How many seconds `nbf` and `iat` may be in the future.
    pub leeway_nbf_secs: u64,
    /// Where its keys come from.
    pub keys: KeysLocation,
    /// When its keys are fetched and how long they serve.
    pub timing: KeyTiming,
    speaks: Speaks,
}

/// Where the cells' keys for cell-bound authorizations are, and how the authorizations are checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CbaRules {
    /// The annotation of a cell that holds its JWKS. `None` if no policy uses it.
    pub annotation: Option<Box<str>>,
    /// The algorithms allowed, in order of preference.
    pub algorithms: Vec<Algorithm>,
    /// How many seconds `nbf` and `iat` may be in the future.
    pub leeway_secs: u64,
    /// Each authorization is accepted once per router.
    pub one_use: bool,
    /// The only cell that they may be for, under policies that name none themselves.
    pub destination: Option<Text>,
}

/// How a policy treats cell-bound authorizations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CbaPolicy {
    /// Whether they are checked and enforced.
    pub mode: CbaMode,
    /// The only cell that they may be for.
    pub destination: Option<Text>,
}

/// Where an issuer's keys come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeysLocation {
    /// This URL.
    Uri(Box<str>),
    /// This file.
    File(Box<str>),
    /// The `jwks_uri` of the OIDC configuration document, whose `issuer` must match. The fallback
    /// is used if there is no such document.
    Discovery {
        /// `<issuer>/.well-known/openid-configuration`
        document: Box<str>,
        /// `<issuer>/.well-known/jwks.json`
        fallback: Box<str>,
    },
}

/// The tenants that an issuer or a trust domain may speak for.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Speaks {
    /// All tenants, because it is the only issuer or trust domain.
    Any,
    /// These tenants.
    Listed(BTreeSet<Text>),
    /// The tenants whose `issuer` in the registry is this one.
    Registry,
}

/// Which credentials a listener asks for.
#[derive(Clone, Debug)]
pub struct AuthPolicy {
    /// What the configuration calls it.
    pub name: Text,
    /// What happens to requests without credentials.
    pub mode: Mode,
    /// Bearer tokens are accepted.
    pub jwt: bool,
    /// Client certificates are accepted.
    pub mtls: bool,
    /// Routing keys are accepted.
    pub routing_key: bool,
    /// All accepted kinds of credentials are required, not only one.
    pub all: bool,
    /// Whether a token must have a subject.
    pub subject: SubjectNeed,
    /// The answer to a token whose issuer's keys can't be fetched: `Unavailable` or
    /// `Unauthenticated`.
    pub jwks_unreachable: Class,
    /// The placement of requests without credentials in `permissive` mode. `None` in other modes.
    pub anonymous_placement: Option<Text>,
    /// How it treats cell-bound authorizations.
    pub cba: CbaPolicy,
    /// Which callers may make which requests. `None` allows all requests.
    pub rules: Option<Rules>,
    /// The CORS rules. `None`: CORS is left to the cells.
    pub cors: Option<Arc<CorsRules>>,
    /// The identity of requests in `permissive` mode without credentials, or in `disabled` mode.
    pub(crate) unverified_identity: Arc<Identity>,
    /// Whether each issuer's tokens are accepted, by [`IssuerId`].
    issuers: Vec<bool>,
}

/// A mistake in the configuration that keeps the router from starting.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PolicyError {
    /// The setting's path, such as `issuer[0].audience`.
    pub setting: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do about it.
    pub fix: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.setting, self.problem, self.fix)
    }
}

impl std::error::Error for PolicyError {}

impl Policy {
    /// Checks the tables and builds a policy from them.
    ///
    /// # Errors
    /// Every mistake there is, in the order of the configuration.
    pub fn build(specs: &PolicySpecs) -> Result<Self, Vec<PolicyError>> {
        build::build(specs)
    }

    /// The tables that it was built from, to show them to operators.
    pub fn specs(&self) -> &PolicySpecs {
        &self.specs
    }

    /// The policy with this id.
    ///
    /// # Panics
    /// If the id is not from this policy. That is a bug of the driver: ids come from
    /// [`Policy::policy_id`] and must be looked up again when the policy is replaced.
    pub fn auth(&self, id: PolicyId) -> &AuthPolicy {
        &self.auth[usize::from(id.0)]
    }

    /// Every policy, by [`PolicyId`].
    pub fn auths(&self) -> &[AuthPolicy] {
        &self.auth
    }

    /// The policy of this name.
    pub fn policy_id(&self, name: &str) -> Option<PolicyId> {
        let position = self.auth.iter().position(|auth| auth.name == *name)?;
        u16::try_from(position).ok().map(PolicyId)
    }

    /// The issuer with this id.
    ///
    /// # Panics
    /// As [`Policy::auth`].
    pub fn issuer(&self, id: IssuerId) -> &Issuer {
        &self.issuers[usize::from(id.0)]
    }

    /// Every issuer's id.
    pub fn issuer_ids(&self) -> impl Iterator<Item = IssuerId> + use<> {
        (0..self.issuers.len()).filter_map(|i| u16::try_from(i).ok().map(IssuerId))
    }

    /// The id here of the issuer that another policy calls `id`: issuers are the same if their `iss`
    /// is. `None` if there is no such issuer here.
    pub fn same_issuer(&self, other: &Self, id: IssuerId) -> Option<IssuerId> {
        let issuer = other.issuers.get(usize::from(id.0))?;
        self.issuer_of(&issuer.iss)
    }

    /// The issuer of this configured name.
    pub fn issuer_named(&self, name: &str) -> Option<IssuerId> {
        self.by_name.get(name).copied()
    }

    /// The issuer whose tokens have this `iss`.
    pub(crate) fn issuer_of(&self, iss: &str) -> Option<IssuerId> {
        self.by_iss.get(iss).copied()
    }

    /// The templates of `[trust] san`.
    pub fn sans(&self) -> &SanTemplates {
        &self.sans
    }

    /// Identifies the content of everything that verification depends on.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Whether this is a known issuer for the registry: an issuer's name, its `iss`, or a trust
    /// domain.
    pub(crate) fn knows(&self, issuer: &str) -> bool {
        let issuers = self.issuer_named(issuer).or_else(|| self.issuer_of(issuer));
        issuers.is_some() || self.trust_domains.contains_key(issuer)
    }

    /// The names that the registry may use for issuers: names of issuers, and trust domains.
    pub(crate) fn speakers(&self) -> impl Iterator<Item = &str> {
        let issuers = self.issuers.iter().map(|issuer| issuer.name.as_str());
        issuers.chain(self.trust_domains.keys().map(Text::as_str))
    }

    /// Whether no issuer may name a tenant to which the registry gives no issuer.
    pub(crate) fn registry_binds_issuers(&self) -> bool {
        let issuers = self.issuers.iter().map(|issuer| &issuer.speaks);
        let mut all = issuers.chain(self.trust_domains.values()).peekable();
        all.peek().is_some() && all.all(|speaks| *speaks == Speaks::Registry)
    }

    /// Whether those who proved `identity` may speak for its tenant, given the `issuer` that the
    /// registry has for that tenant.
    ///
    /// The registry's `issuer` is an issuer's name, its `iss`, or a trust domain. It restricts only
    /// its own kind: a tenant bound to an issuer accepts no other issuer's tokens, but any allowed
    /// certificate. If the bound name isn't configured, nobody may speak for the tenant. A
    /// certificate that names no tenant is not checked, because it speaks for none. The
    /// configuration alone says which tenants gateways and signers of routing keys may speak for.
    pub fn may_speak(&self, identity: &Identity, bound_to: Option<&str>) -> bool {
        let Some(tenant) = identity.tenant.as_ref() else {
            return true;
        };
        let issuer = bound_to.and_then(|b| self.issuer_named(b).or_else(|| self.issuer_of(b)));
        let domain = bound_to.and_then(|b| self.trust_domains.get_key_value(b));
        let unknown = bound_to.is_some() && issuer.is_none() && domain.is_none();

        let jwt = identity.proof.jwt.as_ref().is_none_or(|name| {
            self.issuer_named(name.as_str()).is_some_and(|id| {
                let own = issuer == Some(id);
                self.issuer(id).speaks.speaks_for(tenant, own) && (own || issuer.is_none())
            })
        });
        let named_by = identity.proof.trust_domain.as_ref();
        let mtls = named_by.filter(|_| identity.proof.mtls).is_none_or(|name| {
            self.trust_domains.get(name).is_some_and(|speaks| {
                let own = domain.is_some_and(|(bound, _)| bound == name);
                speaks.speaks_for(tenant, own) && (own || domain.is_none())
            })
        });
        let voucher = identity.proof.routing_key.as_ref();
        let routing_key = voucher.is_none_or(|voucher| self.routing_key.may_speak(voucher, tenant));
        !unknown && jwt && mtls && routing_key
    }
}

impl Speaks {
    fn speaks_for(&self, tenant: &Text, bound: bool) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tenants) => tenants.contains(tenant),
            Self::Registry => bound,
        }
    }
}

impl AuthPolicy {
    /// Whether this issuer's tokens are accepted.
    pub fn accepts(&self, issuer: IssuerId) -> bool {
        self.jwt && self.issuers.get(usize::from(issuer.0)) == Some(&true)
    }
}
