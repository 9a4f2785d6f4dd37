//! An envelope's claims.

use std::borrow::Cow;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use http::Method;
use serde::Serialize;

use crate::base64url;
use crate::identity::Identity;
use crate::json::{Json, Number, Object};
use crate::jws::DateClaim;
use crate::text::Text;
use crate::time::Unix;

use super::{EnvelopeRefused, LIFETIME_MAX};

/// The most roles of an identity, the same limit as for a token's claim.
const ROLES_MAX: usize = 256;

/// The only value of `auth`: only verified callers get an envelope.
const VERIFIED: &str = "verified";

/// The contents of an envelope: an allowed request as it is forwarded, and the time.
#[derive(Clone, Copy, Debug)]
pub struct EnvelopeContents<'a> {
    /// The router's name: the value of `iss`.
    pub issuer: &'a str,
    /// The identity that the credentials proved.
    pub identity: &'a Identity,
    /// The cell that was decided.
    pub cell: &'a Text,
    /// The version of the registry that this was decided on.
    pub placement_epoch: u64,
    /// The request's id: `jti`. Unique together with the cell, because a request that is sent to
    /// another cell is sealed again.
    pub id: &'a str,
    /// The request's method.
    pub method: &'a Method,
    /// Its [`target`](super::target).
    pub target: &'a str,
    /// The present time.
    pub now: Unix,
    /// How long it is valid, capped at [`LIFETIME_MAX`].
    pub lifetime: Duration,
}

/// The caller that the router verified, as an envelope proves it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Verified {
    /// The tenant that the request acts for.
    pub tenant: Option<Text>,
    /// The principal. Percent-encoded as in the plain header; [`Text::decode`] decodes it. The next
    /// two are encoded too.
    pub subject: Option<Text>,
    /// The workspace inside the tenant.
    pub workspace: Option<Text>,
    /// The organization.
    pub org: Option<Text>,
    /// The roles that the tenant allows.
    pub roles: Vec<Text>,
    /// The cell that the router chose: this one.
    pub cell: Text,
    /// The registry version of the decision. Reject requests with a lower version than one seen
    /// before.
    pub placement_epoch: u64,
    /// `jti`: the request's id.
    pub id: Text,
    /// When it expires.
    pub expires: Unix,
}

/// The claims as JSON. The form `hmac` has those of the first group in separate headers. The form
/// `compatible` does too, except for `aud`.
#[derive(Serialize)]
struct Form<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_sha256: Option<&'a str>,
    iss: &'a str,
    jti: &'a str,
    auth: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: &'a Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: &'a Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace: &'a Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    org: &'a Option<Text>,
    roles: &'a [Text],
    placement_epoch: u64,
}

impl<'a> EnvelopeContents<'a> {
    /// `iat` and `exp`, in whole seconds.
    pub(super) fn window(&self) -> (u64, u64) {
        let issued = self.now.as_secs();
        let lifetime = self.lifetime.min(LIFETIME_MAX).as_secs().max(1);
        (issued, issued.saturating_add(lifetime))
    }

    /// All claims.
    pub(super) fn claims(&self) -> Vec<u8> {
        let (issued, expires) = self.window();
        let target = digest_of(self.target);
        json(&Form {
            aud: Some(self.cell.as_str()),
            iat: Some(issued),
            exp: Some(expires),
            method: Some(self.method.as_str()),
            target_sha256: Some(&target),
            ..self.identity()
        })
    }

    /// The identity's claims, and the cell that they are for.
    pub(super) fn claims_for_cell(&self) -> Vec<u8> {
        json(&Form {
            aud: Some(self.cell.as_str()),
            ..self.identity()
        })
    }

    /// The identity's claims, without those that bind them to a request.
    pub(super) fn identity_claims(&self) -> Vec<u8> {
        json(&self.identity())
    }

    fn identity(&self) -> Form<'a> {
        let identity = self.identity;
        Form {
            aud: None,
            iat: None,
            exp: None,
            method: None,
            target_sha256: None,
            iss: self.issuer,
            jti: self.id,
            auth: VERIFIED,
            tenant: &identity.tenant,
            sub: &identity.subject,
            workspace: &identity.workspace,
            org: &identity.org,
            roles: &identity.roles,
            placement_epoch: self.placement_epoch,
        }
    }
}

fn json(form: &Form<'_>) -> Vec<u8> {
    // Only texts and numbers, which always serialize. Empty claims would prove nothing.
    serde_json::to_vec(form).unwrap_or_default()
}

/// The claim about a target is its SHA-256, so that the envelope's length doesn't depend on the
/// path's, and logs of envelopes contain no query.
fn digest_of(target: &str) -> String {
    base64url::encode(digest(&SHA256, target.as_bytes()))
}

/// Reads the claims of an envelope whose signature is valid.
pub(super) struct Reader<'a>(pub(super) &'a Object<'a>);

impl Reader<'_> {
    /// Whether the method and the target are those of the request.
    pub(super) fn check_request(
        &self,
        method: &Method,
        target: &str,
    ) -> Result<(), EnvelopeRefused> {
        if self.required("method")? != method.as_str() {
            return Err(EnvelopeRefused::OtherMethod);
        }
        if self.required("target_sha256")? != digest_of(target) {
            return Err(EnvelopeRefused::OtherTarget);
        }
        Ok(())
    }

    /// `aud`, which must be one text.
    pub(super) fn cell(&self) -> Result<Text, EnvelopeRefused> {
        self.required_text("aud")
    }

    /// `iat` and `exp`.
    pub(super) fn window(&self) -> Result<(u64, u64), EnvelopeRefused> {
        let date = |claim: DateClaim| {
            let date = claim.read(self.0).ok().flatten();
            date.ok_or(EnvelopeRefused::Malformed(
                "a date is missing or not a number",
            ))
        };
        Ok((date(DateClaim::Iat)?, date(DateClaim::Exp)?))
    }

    /// The identity in it, if this issuer sealed it.
    pub(super) fn identity(
        &self,
        issuer: &str,
        cell: Text,
        expires: u64,
    ) -> Result<Verified, EnvelopeRefused> {
        if self.required("iss")? != issuer {
            return Err(EnvelopeRefused::OtherIssuer);
        }
        if self.required("auth")? != VERIFIED {
            return Err(EnvelopeRefused::Malformed("`auth` is not `verified`"));
        }
        let Some(Json::Number(Number::Unsigned(placement_epoch))) = self.0.get("placement_epoch")
        else {
            return Err(EnvelopeRefused::Malformed("no `placement_epoch`"));
        };
        Ok(Verified {
            tenant: self.text("tenant")?,
            subject: self.encoded("sub")?,
            workspace: self.encoded("workspace")?,
            org: self.encoded("org")?,
            roles: self.roles()?,
            cell,
            placement_epoch: *placement_epoch,
            id: self.required_text("jti")?,
            expires: Unix::from_secs(expires),
        })
    }

    fn required(&self, name: &str) -> Result<&str, EnvelopeRefused> {
        let value = self.0.get(name).and_then(Json::as_str);
        value.ok_or(EnvelopeRefused::Malformed(
            "a claim is missing or not a string",
        ))
    }

    fn required_text(&self, name: &str) -> Result<Text, EnvelopeRefused> {
        text(self.required(name)?)
    }

    fn text(&self, name: &str) -> Result<Option<Text>, EnvelopeRefused> {
        match self.0.get(name) {
            None => Ok(None),
            Some(_) => self.required_text(name).map(Some),
        }
    }

    /// A claim that may be a SPIFFE ID or percent-encoded, and therefore longer than other texts.
    fn encoded(&self, name: &str) -> Result<Option<Text>, EnvelopeRefused> {
        match self.0.get(name) {
            None => Ok(None),
            Some(_) => Text::id(self.required(name)?)
                .map(Some)
                .map_err(|_| BAD_TEXT),
        }
    }

    fn roles(&self) -> Result<Vec<Text>, EnvelopeRefused> {
        const REFUSED: EnvelopeRefused =
            EnvelopeRefused::Malformed("`roles` is not a list of strings");
        match self.0.get("roles") {
            Some(Json::Array(roles)) if roles.len() <= ROLES_MAX => roles
                .iter()
                .map(|role| text(role.as_str().ok_or(REFUSED)?))
                .collect(),
            _ => Err(REFUSED),
        }
    }
}

const BAD_TEXT: EnvelopeRefused = EnvelopeRefused::Malformed("a claim that can't be in a header");

fn text(value: &str) -> Result<Text, EnvelopeRefused> {
    Text::new(value).map_err(|_| BAD_TEXT)
}

impl Verified {
    /// The value that the stamped header of this short name (see
    /// [`STAMP_NAMES`](crate::headers::STAMP_NAMES)) must have. `None` if no claim has that value.
    pub(super) fn stamp(&self, short: &str) -> Option<Cow<'_, str>> {
        let text = |value: &Option<Text>| match value {
            Some(text) => Cow::Owned(text.as_str().to_owned()),
            None => Cow::Borrowed(""),
        };
        Some(match short {
            "cell" => self.cell.as_str().into(),
            "tenant" => text(&self.tenant),
            "sub" => text(&self.subject),
            "workspace" => text(&self.workspace),
            "org" => text(&self.org),
            "roles" => {
                let roles: Vec<&str> = self.roles.iter().map(Text::as_str).collect();
                roles.join(",").into()
            }
            "auth" => VERIFIED.into(),
            "placement-epoch" => self.placement_epoch.to_string().into(),
            "request-id" => self.id.as_str().into(),
            _ => return None,
        })
    }
}
