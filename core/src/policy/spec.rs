//! The configuration's tables about identity, as the file writes them.
//!
//! These types only read; [`Policy::build`](super::Policy::build) says what is wrong with them, all
//! errors at once. A member that isn't known is refused by the reader.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::headers::HeaderSpec;
use crate::routing_key::RoutingKeySpec;

/// Every table that a [`Policy`](super::Policy) is built from.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicySpecs {
    /// `[[issuer]]`: issuers whose tokens are accepted.
    pub issuer: Vec<IssuerSpec>,
    /// `[[policy]]`: which credentials a listener asks for.
    pub policy: Vec<PolicySpec>,
    /// `[trust]`: which client certificates are trusted.
    pub trust: Option<TrustSpec>,
    /// `[headers]`: what the router's own headers are called.
    pub headers: HeaderSpec,
    /// `[cba]`: what cells show that call other cells.
    pub cba: CbaSpec,
    /// `[routing_key]`: who may say in a header which tenant a request is for.
    pub routing_key: RoutingKeySpec,
}

/// One `[[issuer]]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerSpec {
    /// What logs, metrics and the registry's `issuer` call it.
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
    /// Which claims say what.
    #[serde(default)]
    pub claims: ClaimsSpec,
    /// How long after `exp` a token is still taken, in seconds.
    #[serde(default)]
    pub leeway_exp_secs: u64,
    /// How far `nbf` and `iat` may lie ahead, in seconds.
    #[serde(default = "default_leeway_nbf_secs")]
    pub leeway_nbf_secs: u64,
    /// Where its keys are; otherwise discovery finds them.
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

/// One string, or a list of them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged, expecting = "one of: a string, a list of strings")]
pub enum OneOrMany {
    /// `"a"`
    One(String),
    /// `["a", "b"]`
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl OneOrMany {
    /// The strings, in order.
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// The tenants that an issuer or a trust domain may speak for: a list, or the word `registry`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged, expecting = "one of: a list of tenants, \"registry\"")]
pub enum SpeaksSpec {
    /// Exactly these tenants.
    Listed(Vec<String>),
    /// `"registry"`: the tenants whose `issuer` in the registry is this one.
    Word(String),
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
    /// How long a set that couldn't be refreshed goes on serving after that.
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

/// One `[[policy]]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySpec {
    /// What listeners call it.
    pub name: String,
    /// What happens to requests without credentials.
    #[serde(default)]
    pub mode: Mode,
    /// One of these must be there; each that is there must verify.
    #[serde(default)]
    pub any_of: Option<Vec<Scheme>>,
    /// All of these must be there.
    #[serde(default)]
    pub all_of: Option<Vec<Scheme>>,
    /// Whether a token must have a subject.
    #[serde(default)]
    pub subject: SubjectNeed,
    /// The names of the issuers that it accepts; all of them if absent.
    #[serde(default)]
    pub issuers: Option<Vec<String>>,
    /// The status of `jwks_unreachable`: 503, or 401 for clients that expect it.
    #[serde(default = "default_jwks_unreachable_status")]
    pub jwks_unreachable_status: u16,
    /// Where requests without credentials go in `permissive` mode.
    #[serde(default)]
    pub anonymous_placement: Option<String>,
    /// Required with `mode = "disabled"`, so that one slip doesn't disable authentication.
    #[serde(default)]
    pub allow_insecure: bool,
    /// `mode = "disabled"`: the identity given to every request.
    #[serde(default)]
    pub insecure_identity: Option<InsecureSpec>,
    /// What differs from `[cba]` for this policy.
    #[serde(default)]
    pub cba: Option<PolicyCbaSpec>,
    /// `[[policy.rule]]`: which callers may ask for what. Absent: whoever is let in, for anything.
    #[serde(default)]
    pub rule: Option<Vec<RuleSpec>>,
    /// `[policy.cors]`: which pages of other origins may make requests. Absent: CORS is left to the
    /// cells, and a preflight is a request without credentials like any other.
    #[serde(default)]
    pub cors: Option<CorsSpec>,
}

/// `[policy.cors]`: the router answers preflights, and says which pages may read its own and the
/// cells' answers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CorsSpec {
    /// The origins of the pages, as browsers send them: `https://app.example`. A star as the first
    /// label matches all subdomains, a star alone every origin.
    pub origins: Vec<String>,
    /// The methods that pages may use.
    pub methods: Vec<String>,
    /// The request header fields that pages may set.
    pub headers: Vec<String>,
    /// The answers' header fields that pages may read, besides the router's own.
    pub expose: Vec<String>,
    /// Whether browsers may send cookies and client certificates.
    pub credentials: bool,
    /// How long a browser may remember the answer to a preflight, in seconds.
    pub max_age_secs: u64,
}

impl Default for CorsSpec {
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            methods: ["GET", "HEAD", "POST"].map(str::to_owned).into(),
            headers: ["authorization", "content-type"].map(str::to_owned).into(),
            expose: Vec::new(),
            credentials: false,
            max_age_secs: 600,
        }
    }
}

/// One `[[policy.rule]]`: the first that fits a request decides, and what none fits is denied.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuleSpec {
    /// What logs and `explain` call it; otherwise its place.
    pub name: Option<String>,
    /// The methods; all if absent. `GET` includes `HEAD`.
    pub methods: Option<Vec<String>>,
    /// The paths: `/orders/{id}`, `/orders/*`, `/orders/**`.
    pub path: Option<String>,
    /// Instead of a path: `package.Service/Method`, or `package.Service/*`.
    pub grpc: Option<String>,
    /// The caller needs one of these.
    pub roles: Option<Vec<String>>,
    /// The caller needs all of these.
    pub scopes: Option<Vec<String>>,
    /// Instead of roles and scopes: whoever is verified, or anyone.
    pub allow: Option<RuleAllow>,
}

/// The callers that a rule without roles and scopes allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleAllow {
    /// Everyone whose credentials hold.
    Verified,
    /// Anonymous callers too, where the mode is permissive.
    Anyone,
}

/// How strictly a policy asks for credentials.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// No credential is 401.
    #[default]
    Required,
    /// An invalid credential is 401; none at all passes to the anonymous placement.
    Permissive,
    /// No credential is looked at; every request has the configured identity.
    Disabled,
}

impl Mode {
    /// As the configuration and the metrics write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Permissive => "permissive",
            Self::Disabled => "disabled",
        }
    }
}

/// Whether a policy requires a subject in tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectNeed {
    /// A token without a subject is refused, because it couldn't be revoked by its caller.
    #[default]
    Required,
    /// A token without a subject is accepted if it has a `jti`, by which it can be revoked.
    Optional,
}

/// A kind of credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// A bearer token.
    Jwt,
    /// A client certificate.
    Mtls,
    /// A routing key from a gateway, or with a signature.
    RoutingKey,
}

/// The synthetic identity of `disabled` mode.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InsecureSpec {
    /// The tenant; required.
    pub tenant: String,
    /// The principal.
    pub subject: Option<String>,
    /// The tier.
    pub tier: Option<String>,
    /// The roles.
    pub roles: Vec<String>,
    /// The scopes.
    pub scopes: Vec<String>,
}

/// `[cba]`: cell-bound authorizations, which cells show that call other cells.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CbaSpec {
    /// Whether they are checked and enforced.
    pub mode: CbaMode,
    /// The only cell that they may lead to. Absent: whichever cell is decided.
    pub destination: Option<String>,
    /// The annotation of a cell in the registry that holds its JWKS, as a string.
    pub annotation: String,
    /// The algorithms that they may be signed with.
    pub algorithms: Vec<String>,
    /// How far `nbf` and `iat` may lie ahead, in seconds.
    pub leeway_secs: u64,
    /// Each is taken once, by this router.
    pub one_use: bool,
}

impl Default for CbaSpec {
    fn default() -> Self {
        Self {
            mode: CbaMode::default(),
            destination: None,
            annotation: "cba-jwks".into(),
            algorithms: ["ES256", "EdDSA"].map(Into::into).into(),
            leeway_secs: 5,
            one_use: false,
        }
    }
}

/// `[policy.cba]`: what differs from `[cba]` for one policy.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyCbaSpec {
    /// Whether cell-bound authorizations are checked and enforced under this policy.
    pub mode: Option<CbaMode>,
    /// The only cell that they may lead to here.
    pub destination: Option<String>,
}

/// Whether cell-bound authorizations are checked and enforced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CbaMode {
    /// Nobody looks at them.
    Off,
    /// What `enforce` would deny passes, and is logged and counted.
    Monitor,
    /// One that is there must hold. A request without one passes.
    #[default]
    Enforce,
    /// As `enforce`, and a client certificate that names a cell needs one.
    Require,
}

impl CbaMode {
    /// As the configuration and `/readyz` write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Monitor => "monitor",
            Self::Enforce => "enforce",
            Self::Require => "require",
        }
    }
}

/// `[trust]`: client certificates.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrustSpec {
    /// A PEM file with the certificate authorities that sign clients' certificates.
    pub bundle: Option<String>,
    /// Files with the revocation lists of those authorities, PEM or DER. Where there is one, every
    /// certificate of a chain must be covered by one.
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
    /// It doesn't count.
    #[default]
    Refuse,
    /// It counts.
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
    /// `trust.bundle`. They count for no other trust domain.
    #[serde(default)]
    pub bundle: Option<String>,
}

fn default_algorithms() -> Vec<String> {
    ["RS256", "ES256", "EdDSA"].map(Into::into).into()
}

fn default_types() -> Vec<String> {
    ["JWT", "at+jwt"].map(Into::into).into()
}

fn default_jwks_unreachable_status() -> u16 {
    503
}

fn default_leeway_nbf_secs() -> u64 {
    5
}
