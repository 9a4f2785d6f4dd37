//! Reads and checks a token's claims after its signature was verified (RFC 7519).

use std::borrow::Cow;
use std::sync::Arc;

use crate::base64url;
use crate::cert::Thumbprint;
use crate::identity::{Identity, LeftOut, Proof, TokenProof, is_scope};
use crate::ids::IssuerId;
use crate::json::{Json, Object};
use crate::jws::DateClaim;
use crate::keys::KeysDigest;
use crate::policy::{ClaimSpec, Fingerprint, Issuer};
use crate::reason::Reason;
use crate::refused::Refused;
use crate::registry::Revocations;
use crate::text::{Text, TextError};

use super::unreadable;

/// The most tenants of a token.
const TENANTS_MAX: usize = 64;
/// The most roles that are kept of a token. Some issuers put every group of a user into the claim,
/// up to 200.
const ROLES_MAX: usize = 256;
/// The most scopes that are kept of a token: some issuers give one for each kind of call.
const SCOPES_MAX: usize = 256;

/// What a token's signature proved, and what it was verified with. Nothing in here depends on the
/// time, the connection or the registry, so it can be cached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct VerifiedToken {
    pub(super) issuer: IssuerId,
    /// The policy whose issuer, audience and claim names were applied.
    pub(super) policy: Fingerprint,
    /// The key set that held the key.
    pub(super) keys: KeysDigest,
    pub(super) exp: u64,
    pub(super) nbf: Option<u64>,
    pub(super) iat: Option<u64>,
    /// The token is valid only with this client certificate.
    pub(super) bound_to: Option<Thumbprint>,
    /// The tenants that it may act for, one or more.
    pub(super) tenants: Vec<Text>,
    /// The identity. It has no tenant if there are several and no default.
    pub(super) identity: Arc<Identity>,
}

/// Checks that the token is for this service, and was issued to a client that may use it here.
pub(super) fn check_audience(claims: &Object<'_>, issuer: &Issuer) -> Result<(), Refused> {
    let ours = |aud: &str| issuer.audiences.iter().any(|audience| **audience == *aud);
    let found = match claims.get("aud") {
        None if issuer.client_ids.is_empty() => {
            return Err(audience(Reason::MissingClaim, "`aud` is missing"));
        }
        None => return check_client(claims, issuer).and_then(|()| check_party(claims, issuer)),
        Some(Json::String(aud)) => ours(aud),
        Some(Json::Array(auds)) if auds.iter().all(|aud| aud.as_str().is_some()) => {
            auds.iter().filter_map(Json::as_str).any(ours)
        }
        Some(_) => {
            let detail = "`aud` is not a string or a list";
            return Err(audience(Reason::MalformedToken, detail));
        }
    };
    if !found {
        let detail = "`aud` does not contain a configured audience";
        return Err(audience(Reason::WrongAudience, detail));
    }
    check_party(claims, issuer)
}

/// Checks an access token that names its client instead of an audience, as Amazon Cognito issues
/// them. An ID token only tells a client who its user is; it doesn't authorize calls.
fn check_client(claims: &Object<'_>, issuer: &Issuer) -> Result<(), Refused> {
    one_of(
        claims,
        "token_use",
        &["access".into()],
        [
            "`aud` and `token_use` are missing",
            "`token_use` is not a string",
            "`aud` is missing, and `token_use` is not `access`",
        ],
    )?;
    one_of(
        claims,
        "client_id",
        &issuer.client_ids,
        [
            "`aud` and `client_id` are missing",
            "`client_id` is not a string",
            "`client_id` is not on the issuer's list",
        ],
    )
}

/// Checks that the token was issued to one of the issuer's `authorized_parties`, if there are any.
fn check_party(claims: &Object<'_>, issuer: &Issuer) -> Result<(), Refused> {
    if issuer.authorized_parties.is_empty() {
        return Ok(());
    }
    one_of(
        claims,
        "azp",
        &issuer.authorized_parties,
        [
            "`azp` is missing",
            "`azp` is not a string",
            "`azp` is not on the issuer's list",
        ],
    )
}

/// Checks that the claim is one of these values. The texts are for: missing, not a string, another
/// value.
fn one_of(
    claims: &Object<'_>,
    name: &str,
    allowed: &[Box<str>],
    [missing, no_string, other]: [&'static str; 3],
) -> Result<(), Refused> {
    match claims.get(name) {
        None => Err(audience(Reason::MissingClaim, missing)),
        Some(Json::String(value)) if allowed.iter().any(|one| **one == **value) => Ok(()),
        Some(Json::String(_)) => Err(audience(Reason::WrongAudience, other)),
        Some(_) => Err(audience(Reason::MalformedToken, no_string)),
    }
}

fn audience(reason: Reason, detail: &'static str) -> Refused {
    Refused::new("token.audience", reason, detail)
}

impl VerifiedToken {
    /// Reads the claims of a token whose signature is valid.
    pub(super) fn read(
        claims: &Object<'_>,
        id: IssuerId,
        issuer: &Issuer,
        policy: Fingerprint,
        keys: KeysDigest,
    ) -> Result<Self, Refused> {
        let date = |claim: DateClaim| claim.read(claims).map_err(unreadable);
        let exp = date(DateClaim::Exp)?.ok_or(Refused::new(
            "token.claims",
            Reason::MissingClaim,
            "`exp` is missing",
        ))?;
        let (tenants, default) = tenants(claims, issuer)?;
        let iat = date(DateClaim::Iat)?;
        Ok(Self {
            issuer: id,
            policy,
            keys,
            exp,
            nbf: date(DateClaim::Nbf)?,
            iat,
            bound_to: binding(claims)?,
            tenants,
            identity: Arc::new(identity(claims, issuer, default, [Some(exp), iat])?),
        })
    }
}

/// Reads the identity. Claims are strict if they decide where the request goes, what it may do, or
/// how it is revoked. Unusable values of other claims are left out.
fn identity(
    claims: &Object<'_>,
    issuer: &Issuer,
    tenant: Option<Text>,
    [exp, iat]: [Option<u64>; 2],
) -> Result<Identity, Refused> {
    let at = &issuer.claims;
    let mut left_out = LeftOut::default();
    let tier = match &at.tier {
        Some(at) => text(claims, at)?,
        None => None,
    };
    let named = |at: &Option<ClaimSpec>, left_out: &mut bool| {
        let found = encoded(claims, at.as_ref()?);
        *left_out = found.is_err();
        found.unwrap_or_default()
    };
    Ok(Identity {
        tenant,
        subject: encoded(claims, &at.subject).map_err(malformed)?,
        workspace: named(&at.workspace, &mut left_out.workspace),
        org: named(&at.org, &mut left_out.org),
        tier,
        roles: match &at.roles {
            Some(at) => roles(claims, at, &mut left_out.roles),
            None => Vec::new(),
        },
        scopes: match &at.scopes {
            Some(at) => scopes(claims, at, &mut left_out.scopes),
            None => Vec::new(),
        },
        names_roles: at
            .roles
            .as_ref()
            .is_some_and(|at| !matches!(find(claims, at), Ok(None))),
        left_out,
        proof: Proof {
            jwt: Some(issuer.name.clone()),
            token: TokenProof {
                jti: jti(claims)?,
                iat,
                expires: exp.map(|exp| exp.saturating_add(issuer.leeway_exp_secs)),
            },
            ..Proof::default()
        },
    })
}

/// The tenants that the token may act for, and the default one.
fn tenants(claims: &Object<'_>, issuer: &Issuer) -> Result<(Vec<Text>, Option<Text>), Refused> {
    let at = &issuer.claims.tenant;
    let scalar = match find(claims, at).map_err(malformed)? {
        // As if it were missing: it names no tenant.
        Some(Json::String(name)) if name.is_empty() => None,
        _ => text(claims, at)?,
    };
    let mut tenants = match &issuer.claims.tenants {
        Some(at) => list(claims, at)?,
        None => Vec::new(),
    };
    tenants.sort_unstable();
    tenants.dedup();
    match (scalar, &*tenants) {
        (None, []) => Err(Refused::new(
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
        (Some(_), _) => Err(malformed("the default tenant is not one of the tenants")),
    }
}

/// The id by which the registry can revoke the token: any string (RFC 7519, section 4.1.7) that
/// fits a revocation, or a number as its digits.
fn jti(claims: &Object<'_>) -> Result<Option<Arc<str>>, Refused> {
    let Some(jti) = claims.get("jti") else {
        return Ok(None);
    };
    let jti = jti.digits_or_str();
    let jti = jti.ok_or(malformed("`jti` is neither a string nor a whole number"))?;
    match jti.len() {
        0 => Ok(None),
        1..=Revocations::JTI_LEN_MAX => Ok(Some(Arc::from(&*jti))),
        _ => Err(malformed("`jti` has more than 1024 bytes")),
    }
}

/// The certificate that `cnf` binds the token to (RFC 8705). Other kinds of binding can't be
/// checked, and a bound token must not be accepted from anyone else.
fn binding(claims: &Object<'_>) -> Result<Option<Thumbprint>, Refused> {
    let Some(cnf) = claims.get("cnf") else {
        return Ok(None);
    };
    let refused = Refused::new(
        "token.binding",
        Reason::WrongBinding,
        "`cnf` is not exactly one certificate thumbprint (x5t#S256)",
    );
    cnf.as_object()
        .filter(|cnf| cnf.len() == 1)
        .and_then(|cnf| cnf.get("x5t#S256"))
        .and_then(Json::as_str)
        .and_then(base64url::decode_exact)
        .map(Some)
        .ok_or(refused)
}

/// The value at a mapping's path; `None` if it, or an object on the path, is missing.
///
/// # Errors
/// Something on the path isn't an object.
fn find<'a, 'j>(
    claims: &'a Object<'j>,
    at: &ClaimSpec,
) -> Result<Option<&'a Json<'j>>, &'static str> {
    let Some((last, way)) = at.path.split_last() else {
        return Ok(None);
    };
    let mut object = claims;
    for name in way {
        match object.get(name) {
            None => return Ok(None),
            Some(Json::Object(inner)) => object = inner,
            Some(_) => return Err("a claim on the path to a mapped claim is not an object"),
        }
    }
    Ok(object.get(last))
}

/// One value as a string: as it is, or the digits of a number if the mapping allows numbers.
fn word<'a>(value: &'a Json<'_>, at: &ClaimSpec) -> Result<Cow<'a, str>, &'static str> {
    match value {
        Json::String(value) => Ok(Cow::Borrowed(value)),
        Json::Number(_) if at.number => value
            .digits_or_str()
            .ok_or("a mapped claim is not a whole number"),
        Json::Number(_) => Err("a mapped claim is a number, and its mapping lacks `number = true`"),
        Json::Null | Json::Bool | Json::Array(_) | Json::Object(_) => {
            Err("a mapped claim is not a string")
        }
    }
}

/// A claim that is one string and goes into a header unchanged.
fn text(claims: &Object<'_>, at: &ClaimSpec) -> Result<Option<Text>, Refused> {
    match find(claims, at).map_err(malformed)? {
        None => Ok(None),
        Some(value) => value_text(value, at).map(Some),
    }
}

/// A claim that is one string or a list of them; each goes into a header unchanged.
fn list(claims: &Object<'_>, at: &ClaimSpec) -> Result<Vec<Text>, Refused> {
    match find(claims, at).map_err(malformed)? {
        None => Ok(Vec::new()),
        Some(Json::Array(values)) if values.len() <= TENANTS_MAX => {
            values.iter().map(|value| value_text(value, at)).collect()
        }
        Some(Json::Array(_)) => Err(malformed("a mapped claim is a list with too many entries")),
        Some(value) => Ok(vec![value_text(value, at)?]),
    }
}

fn value_text(value: &Json<'_>, at: &ClaimSpec) -> Result<Text, Refused> {
    let word = word(value, at).map_err(malformed)?;
    Text::new(&word).map_err(|why| {
        malformed(match why {
            TextError::Empty => "a mapped claim is empty",
            TextError::TooLong => "a mapped claim is too long for a header",
            TextError::BadCharacter => "a mapped claim has characters that a header can't hold",
        })
    })
}

/// A claim that is one string, percent-encoded. An empty one counts as absent.
///
/// # Errors
/// Why the value can't be used.
fn encoded(claims: &Object<'_>, at: &ClaimSpec) -> Result<Option<Text>, &'static str> {
    let Some(value) = find(claims, at)? else {
        return Ok(None);
    };
    match Text::encode(&word(value, at)?) {
        Ok(text) => Ok(Some(text)),
        Err(TextError::Empty) => Ok(None),
        Err(TextError::TooLong | TextError::BadCharacter) => {
            Err("a mapped claim is too long for a header")
        }
    }
}

/// The values of a claim that is one value or a list. Those that are `null` are absent.
fn values<'a, 'j>(value: &'a Json<'j>) -> impl Iterator<Item = &'a Json<'j>> {
    let all = value.as_array();
    let all = all.unwrap_or(std::slice::from_ref(value));
    all.iter().filter(|value| !value.is_null())
}

/// The usable roles, in the order of the claim. The tenant may allow only some of them.
fn roles(claims: &Object<'_>, at: &ClaimSpec, left_out: &mut u16) -> Vec<Text> {
    let role = |value| Text::new(&word(value, at).ok()?).ok();
    match find(claims, at) {
        Ok(Some(value)) => usable(values(value).map(role), ROLES_MAX, left_out),
        Ok(None) => Vec::new(),
        Err(_) => usable([None].into_iter(), ROLES_MAX, left_out),
    }
}

/// The scopes of a claim that is a string with spaces between them (RFC 8693, section 4.2; RFC 9068,
/// section 2.2.3), or an array. They are never sent in a header, so they need not be [`Text`]s.
fn scopes(claims: &Object<'_>, at: &ClaimSpec, left_out: &mut u16) -> Vec<Box<str>> {
    let one = |scope: &str| is_scope(scope).then(|| scope.into());
    match find(claims, at) {
        Ok(Some(Json::String(all))) => {
            let all = all.split(' ').filter(|scope| !scope.is_empty());
            usable(all.map(one), SCOPES_MAX, left_out)
        }
        Ok(Some(value)) => {
            let scope = |value| one(&word(value, at).ok()?);
            usable(values(value).map(scope), SCOPES_MAX, left_out)
        }
        Ok(None) => Vec::new(),
        Err(_) => usable([None].into_iter(), SCOPES_MAX, left_out),
    }
}

/// The first `most` usable values. Counts all others.
fn usable<T>(all: impl Iterator<Item = Option<T>>, most: usize, left_out: &mut u16) -> Vec<T> {
    let mut kept = Vec::new();
    for value in all {
        match value {
            Some(value) if kept.len() < most => kept.push(value),
            Some(_) | None => *left_out = left_out.saturating_add(1),
        }
    }
    kept
}

fn malformed(detail: &'static str) -> Refused {
    Refused::new("token.claims", Reason::MalformedToken, detail)
}
