//! `[[policy]]`: which credentials a listener asks for, and which requests it allows.

use serde::{Deserialize, Serialize};

use super::PolicyCbaSpec;

/// One `[[policy]]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySpec {
    /// The name that listeners use.
    pub name: String,
    /// What happens to requests without credentials.
    #[serde(default)]
    pub mode: Mode,
    /// A request needs one of these. Each that it has must verify.
    #[serde(default)]
    pub any_of: Option<Vec<Scheme>>,
    /// A request needs all of these.
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
    /// `[[policy.rule]]`: which callers may make which requests. Absent: all callers may make all
    /// requests.
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

/// One `[[policy.rule]]`. The first that matches a request decides. A request that matches none is
/// denied.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuleSpec {
    /// Its name in logs and `explain`. Default: its position.
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
    /// Every verified caller.
    Verified,
    /// Anonymous callers too, if the mode is permissive.
    Anyone,
}

/// How strictly a policy asks for credentials.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// No credential is 401.
    #[default]
    Required,
    /// An invalid credential is 401. A request without credentials goes to the anonymous placement.
    Permissive,
    /// Credentials are ignored. Every request has the configured identity.
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

fn default_jwks_unreachable_status() -> u16 {
    503
}
