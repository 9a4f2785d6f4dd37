//! `[[issuer]]`: issuers, where their tokens have claims, and when their keys are fetched.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{OneOrMany, SpeaksSpec};

/// One `[[issuer]]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerSpec {
    /// Its name in logs, metrics and the registry's `issuer`.
    pub name: String,
    /// The exact `iss` of its tokens.
    #[serde(default)]
    pub issuer: String,
    /// One of these must be in `aud`.
    #[serde(default)]
    pub audience: OneOrMany,
    /// The clients whose access tokens need no audience: tokens with one of these as `client_id`,
    /// `access` as `token_use` and no `aud`, as Amazon Cognito issues them.
    #[serde(default)]
    pub client_ids: OneOrMany,
    /// If not empty, `azp` (the client that the token was issued to) must be one of these (OpenID
    /// Connect Core 1.0, section 2).
    #[serde(default)]
    pub authorized_parties: OneOrMany,
    /// The algorithms that its tokens may be signed with.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<String>,
    /// The values that `typ` may have. A token without `typ` counts as a `JWT`.
    #[serde(default = "default_types")]
    pub types: Vec<String>,
    /// The claims that the identity is read from.
    #[serde(default)]
    pub claims: ClaimsSpec,
    /// How long after `exp` a token is still accepted, in seconds.
    #[serde(default)]
    pub leeway_exp_secs: u64,
    /// How far `nbf` and `iat` may be in the future, in seconds.
    #[serde(default = "default_leeway_nbf_secs")]
    pub leeway_nbf_secs: u64,
    /// The URL of its keys. Without it, discovery finds them.
    #[serde(default)]
    pub jwks_uri: Option<String>,
    /// A local file with its keys.
    #[serde(default)]
    pub jwks_file: Option<String>,
    /// The tenants that it may speak for. Required as soon as there are two issuers.
    #[serde(default)]
    pub tenants: Option<SpeaksSpec>,
    /// When its keys are fetched and how long they serve.
    #[serde(default)]
    pub keys: KeyTimingSpec,
}

/// The claims that an identity is read from.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClaimsSpec {
    /// The tenant, a string. With `tenants` too it is the default choice among them.
    pub tenant: ClaimSpec,
    /// All tenants that the token may act for, an array of strings.
    pub tenants: Option<ClaimSpec>,
    /// The principal.
    pub subject: ClaimSpec,
    /// The workspace inside the tenant.
    pub workspace: Option<ClaimSpec>,
    /// The organization.
    pub org: Option<ClaimSpec>,
    /// The tier, below which placement never goes.
    pub tier: Option<ClaimSpec>,
    /// The roles, a string or an array of them.
    pub roles: Option<ClaimSpec>,
    /// The scopes: a string with spaces between them (RFC 8693, section 4.2), or an array.
    pub scopes: Option<ClaimSpec>,
}

/// Where a claim is, and how it is read: `"roles"`, `["realm_access", "roles"]`, or
/// `{ claim = ..., number = true }` with either of them.
///
/// Dots and slashes in a name have no meaning, so `https://example/tenant_id` and
/// `realm_access.roles` are one name each. Only a list is a path into an object.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(from = "RawClaimSpec", into = "RawClaimSpec")]
pub struct ClaimSpec {
    /// The names from the outermost object to the claim; a single name for a top-level claim.
    pub path: Vec<String>,
    /// Whether a whole number counts as the string of its digits.
    pub number: bool,
    /// Whether the path is written as a list, so that dots in a name are intended.
    pub listed: bool,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "one of: a claim's name, a list of names such as [\"realm_access\", \"roles\"], { claim, number }"
)]
enum RawClaimSpec {
    At(OneOrMany),
    Read(ReadClaimSpec),
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadClaimSpec {
    claim: OneOrMany,
    #[serde(default)]
    number: bool,
}

impl From<&str> for ClaimSpec {
    fn from(name: &str) -> Self {
        Self {
            path: vec![name.to_owned()],
            number: false,
            listed: false,
        }
    }
}

impl From<RawClaimSpec> for ClaimSpec {
    fn from(raw: RawClaimSpec) -> Self {
        let (claim, number) = match raw {
            RawClaimSpec::At(claim) => (claim, false),
            RawClaimSpec::Read(ReadClaimSpec { claim, number }) => (claim, number),
        };
        Self {
            path: claim.as_slice().to_vec(),
            number,
            listed: matches!(claim, OneOrMany::Many(_)),
        }
    }
}

impl From<ClaimSpec> for RawClaimSpec {
    fn from(spec: ClaimSpec) -> Self {
        let claim = match &*spec.path {
            [name] if !spec.listed => OneOrMany::One(name.clone()),
            _ => OneOrMany::Many(spec.path),
        };
        match spec.number {
            false => Self::At(claim),
            true => Self::Read(ReadClaimSpec {
                claim,
                number: true,
            }),
        }
    }
}

impl Default for ClaimsSpec {
    fn default() -> Self {
        Self {
            tenant: "tenant_id".into(),
            tenants: None,
            subject: "sub".into(),
            workspace: None,
            org: None,
            tier: None,
            roles: None,
            scopes: None,
        }
    }
}

/// When an issuer's keys are fetched and how long they serve.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyTimingSpec {
    /// How long a fetched set counts as fresh. It is fetched again before this ends.
    pub fresh_secs: u64,
    /// How long a set that couldn't be refreshed is used after that.
    pub stale_max_secs: u64,
    /// The least time between two fetches that unknown keys force.
    pub cooldown_secs: u64,
    /// The longest that a request waits for keys.
    pub wait_max_ms: u64,
    /// The delay after a first failed fetch; it doubles with each further one.
    pub retry_min_secs: u64,
    /// The longest delay between failed fetches.
    pub retry_max_secs: u64,
}

impl Default for KeyTimingSpec {
    fn default() -> Self {
        Self {
            fresh_secs: 600,
            stale_max_secs: 24 * 60 * 60,
            cooldown_secs: 30,
            wait_max_ms: 5_000,
            retry_min_secs: 2,
            retry_max_secs: 60,
        }
    }
}

impl From<&KeyTimingSpec> for crate::keys::KeyTiming {
    fn from(spec: &KeyTimingSpec) -> Self {
        Self {
            fresh: Duration::from_secs(spec.fresh_secs),
            stale_max: Duration::from_secs(spec.stale_max_secs),
            cooldown: Duration::from_secs(spec.cooldown_secs),
            wait_max: Duration::from_millis(spec.wait_max_ms),
            retry_min: Duration::from_secs(spec.retry_min_secs),
            retry_max: Duration::from_secs(spec.retry_max_secs),
        }
    }
}

fn default_algorithms() -> Vec<String> {
    ["RS256", "ES256", "EdDSA"].map(Into::into).into()
}

fn default_types() -> Vec<String> {
    ["JWT", "at+jwt"].map(Into::into).into()
}

fn default_leeway_nbf_secs() -> u64 {
    5
}
