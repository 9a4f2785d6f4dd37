//! `[trust]`: client certificates.

use serde::{Deserialize, Serialize};

use super::SpeaksSpec;

/// `[trust]`: client certificates.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrustSpec {
    /// A PEM file with the certificate authorities that sign clients' certificates.
    pub bundle: Option<String>,
    /// Files with the revocation lists of those authorities, PEM or DER. If there are any, they
    /// must cover every certificate of a chain.
    pub crl: Vec<String>,
    /// Whether to refuse certificates whose list is past its next update.
    pub crl_stale: OnDoubt,
    /// Whether to refuse certificates whose issuer has no list.
    pub crl_missing: OnDoubt,
    /// The SPIFFE trust domains that `{trust_domain}` stands for.
    pub trust_domains: Vec<TrustDomainSpec>,
    /// Templates that a client certificate's SAN must match, such as
    /// `spiffe://{trust_domain}/tenant/{tenant}/**` or `{tenant}.clients.example`. `{service}` and
    /// `{cell}` may be used with `{tenant}` or instead of it.
    pub san: Vec<String>,
}

impl TrustSpec {
    /// Whether any client certificates are accepted.
    pub fn has_bundle(&self) -> bool {
        self.bundle.is_some() || self.own_bundles().next().is_some()
    }

    /// The trust domains with bundles of their own, and those bundles.
    pub fn own_bundles(&self) -> impl Iterator<Item = (&str, &str)> {
        self.trust_domains
            .iter()
            .filter_map(TrustDomainSpec::own_bundle)
    }
}

/// Whether to refuse a certificate if the router can't tell whether it is revoked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDoubt {
    /// The certificate is refused.
    #[default]
    Refuse,
    /// The certificate is accepted.
    Allow,
}

/// A trust domain, alone or with the tenants that it may speak for and a bundle of its own.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged, expecting = "one of: a name, { name, tenants, bundle }")]
pub enum TrustDomainSpec {
    /// `"example"`
    Name(String),
    /// `{ name = "example", tenants = ["acme"] }`
    Bound(BoundTrustDomainSpec),
}

impl TrustDomainSpec {
    fn own_bundle(&self) -> Option<(&str, &str)> {
        match self {
            Self::Name(_) => None,
            Self::Bound(bound) => Some((&bound.name, bound.bundle.as_deref()?)),
        }
    }
}

/// A trust domain with the tenants that it may speak for, a bundle of its own, or both.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoundTrustDomainSpec {
    /// The trust domain.
    pub name: String,
    /// The tenants that it may speak for. Required as soon as there are two trust domains.
    #[serde(default)]
    pub tenants: Option<SpeaksSpec>,
    /// A PEM file with the certificate authorities that sign for it, instead of those in
    /// `trust.bundle`. They sign for no other trust domain.
    #[serde(default)]
    pub bundle: Option<String>,
}
