//! What a token's claims say, once its signature holds (RFC 7519).

use std::sync::Arc;

use crate::base64url;
use crate::cert::Thumbprint;
use crate::identity::{Identity, Proof, TokenMarks};
use crate::json::{Json, Object};
use crate::jws::DateClaim;
use crate::keys::KeysDigest;
use crate::policy::{Fingerprint, Issuer, IssuerId};
use crate::reason::Reason;
use crate::registry::Revocations;
use crate::text::Text;

use super::Denial;

/// The most values in a claim that is a list.
const LIST_MAX: usize = 64;
/// The most scopes of a token: some issuers give one for each kind of call.
const SCOPES_MAX: usize = 256;

/// What the signature of a token proved, with what it was verified against. Nothing in here
/// depends on the time, the connection or the registry, so that it can be remembered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Proven {
    pub(super) issuer: IssuerId,
    /// The policy whose issuer, audience and claim names were applied.
    pub(super) policy: Fingerprint,
    /// The key set that held the key.
    pub(super) keys: KeysDigest,
    pub(super) exp: u64,
    pub(super) nbf: Option<u64>,
    pub(super) iat: Option<u64>,
    /// The token holds only over this client certificate.
    pub(super) bound_to: Option<Thumbprint>,
    /// The tenants that it may act for, one or more.
    pub(super) tenants: Vec<Text>,
    /// The identity; without tenant where there are several and none is the default.
    pub(super) identity: Arc<Identity>,
}

/// Whether `aud` holds one of the issuer's audiences.
pub(super) fn check_audience(claims: &Object<'_>, issuer: &Issuer) -> Result<(), Denial> {
    let denial = |reason, detail| Err(Denial::new("token.audience", reason, detail));
    let ours = |aud: &str| issuer.audiences.iter().any(|audience| **audience == *aud);
    let found = match claims.get("aud") {
        None => return denial(Reason::MissingClaim, "`aud` is missing"),
        Some(Json::String(aud)) => ours(aud),
        Some(Json::Array(auds)) if auds.iter().all(|aud| aud.as_str().is_some()) => {
            auds.iter().filter_map(Json::as_str).any(ours)
        }
        Some(_) => return denial(Reason::MalformedToken, "`aud` is not a string or a list"),
    };
    if found {
        return Ok(());
    }
    denial(Reason::WrongAudience, "`aud` does not hold this service")
}

impl Proven {
    /// Reads the claims of a token whose signature holds.
    pub(super) fn read(
        claims: &Object<'_>,
        id: IssuerId,
        issuer: &Issuer,
        policy: Fingerprint,
        keys: KeysDigest,
    ) -> Result<Self, Denial> {
        let exp = DateClaim::Exp.read(claims)?.ok_or(Denial::new(
            "token.claims",
            Reason::MissingClaim,
            "`exp` is missing",
        ))?;
        let (tenants, default) = tenants(claims, issuer)?;
        let iat = DateClaim::Iat.read(claims)?;
        let names = &issuer.claims;
        let optional = |name: &Option<String>| match name {
            Some(name) => text(claims, name),
            None => Ok(None),
        };
        let identity = Identity {
            tenant: default,
            subject: text(claims, &names.subject)?,
            workspace: optional(&names.workspace)?,
            org: optional(&names.org)?,
            tier: optional(&names.tier)?,
            roles: match &names.roles {
                Some(name) => list(claims, name)?,
                None => Vec::new(),
            },
            scopes: match &names.scopes {
                Some(name) => scopes(claims, name)?,
                None => Vec::new(),
            },
            names_roles: names.roles.as_ref().is_some_and(|name| {
                let claim = claims.get(name);
                claim.is_some_and(|claim| !matches!(claim, Json::Null))
            }),
            proof: Proof {
                jwt: Some(issuer.name.clone()),
                token: TokenMarks {
                    jti: jti(claims)?,
                    iat,
                },
                ..Proof::default()
            },
        };
        Ok(Self {
            issuer: id,
            policy,
            keys,
            exp,
            nbf: DateClaim::Nbf.read(claims)?,
            iat,
            bound_to: binding(claims)?,
            tenants,
            identity: Arc::new(identity),
        })
    }
}

/// The tenants that the token may act for, and the one that it means unless told otherwise.
fn tenants(claims: &Object<'_>, issuer: &Issuer) -> Result<(Vec<Text>, Option<Text>), Denial> {
    let scalar = text(claims, &issuer.claims.tenant)?;
    let mut tenants = match &issuer.claims.tenants {
        Some(name) => list(claims, name)?,
        None => Vec::new(),
    };
    tenants.sort_unstable();
    tenants.dedup();
    match (scalar, &*tenants) {
        (None, []) => Err(Denial::new(
            "token.tenant",
            Reason::MissingClaim,
            "the claim that names the tenant is missing",
        )),
        (Some(scalar), []) => Ok((vec![scalar.clone()], Some(scalar))),
        (None, [only]) => {
            let only = Some(only.clone());
            Ok((tenants, only))
        }
        (None, _) => Ok((tenants, None)),
        (Some(scalar), _) if tenants.contains(&scalar) => Ok((tenants, Some(scalar))),
        (Some(_), _) => Err(malformed("the default tenant is not among the tenants")),
    }
}

/// What the registry may revoke the token by: any string (RFC 7519, section 4.1.7) that an entry
/// there can hold.
fn jti(claims: &Object<'_>) -> Result<Option<Arc<str>>, Denial> {
    match claims.get("jti") {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(jti)) if jti.len() > Revocations::JTI_LEN_MAX => {
            Err(malformed("`jti` is longer than can be revoked"))
        }
        Some(Json::String(jti)) => Ok(Some(Arc::from(&**jti))),
        Some(_) => Err(malformed("`jti` is not a string")),
    }
}

/// The certificate that `cnf` binds the token to (RFC 8705). A binding of another kind can't be
/// checked, and a token that must not be passed on isn't taken from just anybody.
fn binding(claims: &Object<'_>) -> Result<Option<Thumbprint>, Denial> {
    let Some(cnf) = claims.get("cnf") else {
        return Ok(None);
    };
    let refused = Denial::new(
        "token.binding",
        Reason::WrongBinding,
        "`cnf` holds something else than one certificate thumbprint",
    );
    match cnf {
        Json::Object(cnf) if cnf.len() == 1 => cnf
            .get("x5t#S256")
            .and_then(Json::as_str)
            .and_then(base64url::decode_exact)
            .map(Some)
            .ok_or(refused),
        _ => Err(refused),
    }
}

/// A claim that is one string. `null` counts as absent.
fn text(claims: &Object<'_>, name: &str) -> Result<Option<Text>, Denial> {
    match claims.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(value)) => value_text(value).map(Some),
        Some(_) => Err(malformed("a claim of the identity is not a string")),
    }
}

/// A claim that is one string or a list of them. `null` counts as absent.
fn list(claims: &Object<'_>, name: &str) -> Result<Vec<Text>, Denial> {
    match claims.get(name) {
        None | Some(Json::Null) => Ok(Vec::new()),
        Some(Json::String(value)) => Ok(vec![value_text(value)?]),
        Some(Json::Array(values)) if values.len() <= LIST_MAX => values
            .iter()
            .map(|value| match value {
                Json::String(value) => value_text(value),
                _ => Err(malformed(
                    "a claim of the identity is not a list of strings",
                )),
            })
            .collect(),
        Some(_) => Err(malformed(
            "a claim of the identity is not a list of acceptable length",
        )),
    }
}

/// A claim that holds scopes: a string with spaces between them (RFC 8693, section 4.2; RFC 9068,
/// section 2.2.3), or an array. They stand in no header, and so needn't be a [`Text`].
fn scopes(claims: &Object<'_>, name: &str) -> Result<Vec<Box<str>>, Denial> {
    let all: Vec<&str> = match claims.get(name) {
        None | Some(Json::Null) => Vec::new(),
        Some(Json::String(value)) => value.split(' ').filter(|scope| !scope.is_empty()).collect(),
        Some(Json::Array(values)) => values
            .iter()
            .map(|value| value.as_str().ok_or(malformed(NO_SCOPES)))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(malformed(NO_SCOPES)),
    };
    if all.len() > SCOPES_MAX || !all.iter().all(|scope| is_scope(scope)) {
        return Err(malformed(NO_SCOPES));
    }
    Ok(all.into_iter().map(Into::into).collect())
}

const NO_SCOPES: &str = "the claim of scopes is not a list of scopes";

/// Whether it is one `scope-token` (RFC 6749, section 3.3).
pub(crate) fn is_scope(scope: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    !scope.is_empty() && scope.bytes().all(allowed)
}

fn value_text(value: &str) -> Result<Text, Denial> {
    Text::new(value)
        .map_err(|_| malformed("a claim of the identity can not stand in a header as it is"))
}

fn malformed(detail: &'static str) -> Denial {
    Denial::new("token.claims", Reason::MalformedToken, detail)
}
