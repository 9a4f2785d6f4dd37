//! The identity that credentials proved.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::routing_key::RoutingKeySender;
use crate::text::Text;
use crate::time::Unix;

/// Who is calling, as far as verified credentials (or the configuration, for the `disabled` and
/// `permissive` modes) say.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Identity {
    /// The tenant that the request acts for. `None` for anonymous callers only.
    pub tenant: Option<Text>,
    /// The principal: `sub` of the token, or the certificate's SAN. Percent-encoded
    /// ([`Text::encode`]), like the next two.
    pub subject: Option<Text>,
    /// The workspace inside the tenant.
    pub workspace: Option<Text>,
    /// The organization.
    pub org: Option<Text>,
    /// Roles in the order of the claim. In a decision, only those that the tenant allows.
    pub roles: Vec<Text>,
    /// What the client that sends the token may do on behalf of the subject (RFC 6749, section
    /// 3.3).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<Box<str>>,
    /// The credential names the roles. The list may be empty.
    #[serde(skip)]
    pub names_roles: bool,
    /// The tier that the credential names; placement never goes below it.
    pub tier: Option<Text>,
    /// Unusable values in the credential. They grant nothing.
    #[serde(skip_serializing_if = "LeftOut::is_nothing")]
    pub left_out: LeftOut,
    /// Which kinds of credential proved it.
    pub proof: Proof,
}

/// How many of a token's values were left out because they can't be used: a role with a comma, a
/// list of organizations. They would have granted nothing, so the rest of the token still counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct LeftOut {
    /// Roles that aren't valid [`Text`]s, and those over the limit.
    pub roles: u16,
    /// Scopes that aren't scope tokens (RFC 6749, section 3.3), and those over the limit.
    pub scopes: u16,
    /// A workspace that isn't a string, or is too long for a header.
    pub workspace: bool,
    /// The same for the organization.
    pub org: bool,
}

impl LeftOut {
    /// The claims that it counts, in the order of [`counts`](Self::counts).
    pub const CLAIMS: [&'static str; 4] = ["roles", "scopes", "workspace", "org"];

    /// The number of values of each claim.
    pub fn counts(&self) -> [u16; Self::CLAIMS.len()] {
        let (workspace, org) = (self.workspace.into(), self.org.into());
        [self.roles, self.scopes, workspace, org]
    }

    /// Whether everything could be used.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// `3 roles, 1 org`; empty if nothing was left out.
impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for (claim, count) in Self::CLAIMS.iter().zip(self.counts()) {
            if count > 0 {
                write!(f, "{comma}{count} {claim}")?;
                comma = ", ";
            }
        }
        Ok(())
    }
}

/// The credentials that proved an [`Identity`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Proof {
    /// The configured name of the issuer whose token was verified.
    pub jwt: Option<Text>,
    /// A client certificate's SAN names the tenant.
    pub mtls: bool,
    /// The trust domain of the accepted SAN, if that is a SPIFFE ID. This and the next two are also
    /// set if the SAN names no tenant. The SAN then identifies the caller, and a token names the
    /// tenant.
    pub trust_domain: Option<Text>,
    /// The service that the accepted SAN names.
    pub service: Option<Text>,
    /// The cell that the accepted SAN names: where the request comes from, not where it goes.
    pub cell: Option<Text>,
    /// What the registry can revoke the token by, in addition to the names in it.
    #[serde(skip)]
    pub token: TokenProof,
    /// What the registry can revoke the client certificate by. `None` if no certificate was used.
    #[serde(skip)]
    pub certificate: Option<CertificateProof>,
    /// The gateway or signer that vouched for the routing key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing_key: Option<RoutingKeySender>,
}

/// What distinguishes a token from others of the same subject.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TokenProof {
    /// Its `jti`.
    pub jti: Option<Arc<str>>,
    /// Its `iat`, in seconds since 1970.
    pub iat: Option<u64>,
    /// When it expires, in seconds since 1970: its `exp`, and the leeway that its issuer has.
    pub expires: Option<u64>,
}

/// What identifies a client certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateProof {
    /// The accepted SAN. If there is also a token, [`Identity::subject`] is the token's.
    pub subject: Text,
    /// The start of its validity, which counts as its time of issue.
    pub not_before: Unix,
}

/// Whether it is one `scope-token` (RFC 6749, section 3.3).
pub(crate) fn is_scope(scope: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    !scope.is_empty() && scope.bytes().all(allowed)
}
