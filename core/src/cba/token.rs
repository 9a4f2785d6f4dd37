//! Verifies an authorization's signature by the source cell's keys, and reads its claims.

use crate::cell::{Cell, CellState};
use crate::explain::Recorder;
use crate::json::{Json, Object};
use crate::jws::{DateClaim, Header, Jws, JwsError};
use crate::keys::{Found, KeySet};
use crate::reason::Reason;
use crate::refused::Refused;
use crate::text::Text;

use super::{LIFETIME_SECS_MAX, RequestContext, TYPE};

/// What a signature proved.
pub(super) struct VerifiedAuthorization {
    pub(super) source: Text,
    pub(super) audience: Text,
    pub(super) tenant: Text,
    pub(super) subject: Option<Text>,
    pub(super) jti: Text,
    pub(super) exp: u64,
}

/// The dates of an authorization, in Unix seconds.
struct Dates {
    exp: u64,
    iat: u64,
    nbf: Option<u64>,
}

/// The refusal for an authorization that can't be read.
fn unreadable(error: JwsError) -> Refused {
    let reason = match error {
        JwsError::Malformed(_) => Reason::CbaMalformed,
        JwsError::ForbiddenAlgorithm => Reason::CbaForbiddenAlgorithm,
    };
    Refused::new("cba.form", reason, error.detail())
}

/// Reads an authorization, and checks it against its source cell's keys and the time.
pub(super) fn verify(
    request: &RequestContext<'_>,
    authorization: &[u8],
    source: &mut Option<Text>,
    recorder: &mut impl Recorder,
) -> Result<VerifiedAuthorization, Refused> {
    let jws = Jws::parse(authorization).map_err(unreadable)?;
    let header = jws.header().map_err(unreadable)?;
    if !header.is_of_type(TYPE) {
        return Err(malformed("`typ` is not cba+jwt"));
    }
    let claims = jws.claims().map_err(unreadable)?;
    recorder.pass("cba.form", || format!("signed by {}", header.algorithm));
    // Not trusted yet: it only says which cell's keys to verify with.
    let cell = source_cell(request, &claims)?;
    *source = Some(cell.id.clone());
    check_state(cell)?;
    recorder.pass("cba.source", || {
        format!("cell {} is {}", cell.id, cell.state.as_str())
    });
    check_signature(keys_of(request, cell)?, &jws, &header)?;
    recorder.pass("cba.signature", || "valid".to_owned());
    let (verified, dates) = VerifiedAuthorization::read(&claims, cell)?;
    recorder.pass("cba.claims", || "well-formed".to_owned());
    check_dates(request, &dates)?;
    recorder.pass("cba.times", || format!("until {}", dates.exp));
    Ok(verified)
}

fn source_cell<'a>(request: &RequestContext<'a>, claims: &Object<'_>) -> Result<&'a Cell, Refused> {
    let iss = claims.get("iss").and_then(Json::as_str);
    let iss = iss.ok_or(malformed("`iss` is missing or not a string"))?;
    request
        .registry
        .cell(iss)
        .map(|cell| &**cell)
        .ok_or(Refused::new(
            "cba.source",
            Reason::CbaUnknownCell,
            "the registry has no cell of this name",
        ))
}

fn check_state(cell: &Cell) -> Result<(), Refused> {
    match cell.state {
        CellState::Active | CellState::Draining => Ok(()),
        CellState::Provisioning | CellState::Quarantined | CellState::Retired => Err(Refused::new(
            "cba.source",
            Reason::CbaCellNotAllowed,
            "the source cell is neither active nor draining",
        )),
    }
}

fn keys_of<'a>(request: &RequestContext<'a>, cell: &Cell) -> Result<&'a KeySet, Refused> {
    let none = |detail| Refused::new("cba.keys", Reason::CbaNoKeys, detail);
    let published = request.keys.cell(cell.id.as_str());
    let published = published.ok_or(none("the source cell has no keys in the registry"))?;
    let unusable = |_| none("the source cell's keys in the registry can't be used");
    published.keys().map_err(unusable)
}

fn check_signature(keys: &KeySet, jws: &Jws<'_>, header: &Header<'_>) -> Result<(), Refused> {
    let no_key = |reason, detail| Err(Refused::new("cba.keys", reason, detail));
    let candidates = match keys.find(header.kid.as_deref(), header.algorithm) {
        Found::Keys(candidates) => candidates,
        Found::OtherAlgorithm => {
            let detail = "the key is not for this algorithm";
            return no_key(Reason::CbaForbiddenAlgorithm, detail);
        }
        Found::Ambiguous => {
            let detail = "there is no `kid`, and several keys fit";
            return no_key(Reason::CbaNoMatchingKey, detail);
        }
        Found::None => {
            let detail = "the source cell has no such key";
            return no_key(Reason::CbaNoMatchingKey, detail);
        }
    };
    if candidates.verify(jws.message, &jws.signature) {
        return Ok(());
    }
    let detail = "the signature is not valid";
    Err(Refused::new(
        "cba.signature",
        Reason::CbaBadSignature,
        detail,
    ))
}

impl VerifiedAuthorization {
    /// Reads the claims of an authorization whose signature holds.
    fn read(claims: &Object<'_>, cell: &Cell) -> Result<(Self, Dates), Refused> {
        if claims.has("cnf") {
            return Err(malformed("`cnf` is not supported here"));
        }
        let date = |claim: DateClaim| claim.read(claims).map_err(unreadable);
        let dates = Dates {
            exp: date(DateClaim::Exp)?.ok_or(malformed("`exp` is missing"))?,
            iat: date(DateClaim::Iat)?.ok_or(malformed("`iat` is missing"))?,
            nbf: date(DateClaim::Nbf)?,
        };
        let verified = Self {
            source: cell.id.clone(),
            audience: audience(claims)?,
            tenant: text(claims, "tenant")?.ok_or(malformed("`tenant` is missing"))?,
            subject: subject(claims)?,
            jti: text(claims, "jti")?.ok_or(malformed("`jti` is missing"))?,
            exp: dates.exp,
        };
        Ok((verified, dates))
    }
}

/// `aud` as one string or a list of one. An authorization for several cells isn't bound to one.
fn audience(claims: &Object<'_>) -> Result<Text, Refused> {
    let aud = match claims.get("aud") {
        Some(Json::Array(auds)) => match &**auds {
            [only] => only.as_str(),
            _ => {
                return Err(malformed(
                    "`aud` is a list that does not have exactly one entry",
                ));
            }
        },
        Some(aud) => aud.as_str(),
        None => return Err(malformed("`aud` is missing")),
    };
    let aud = aud.ok_or(malformed("`aud` is not a string"))?;
    Text::new(aud).map_err(|_| malformed("`aud` can't be a cell's id"))
}

fn text(claims: &Object<'_>, name: &str) -> Result<Option<Text>, Refused> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let value = value.as_str().and_then(|value| Text::new(value).ok());
    let value = value.ok_or(malformed("`tenant` or `jti` is not a short string"))?;
    Ok(Some(value))
}

/// The subject, percent-encoded as in the header that the cell got. So it may be longer than other
/// claims.
fn subject(claims: &Object<'_>) -> Result<Option<Text>, Refused> {
    let Some(value) = claims.get("sub") else {
        return Ok(None);
    };
    let value = value.as_str().and_then(|value| Text::id(value).ok());
    let value = value.ok_or(malformed("`sub` is not a string that a header can hold"))?;
    Ok(Some(value))
}

fn check_dates(request: &RequestContext<'_>, dates: &Dates) -> Result<(), Refused> {
    let wrong = |reason, detail| Err(Refused::new("cba.times", reason, detail));
    let now = request.now.unix.as_secs();
    let Dates { exp, iat, nbf } = *dates;
    if exp <= iat || exp - iat > LIFETIME_SECS_MAX {
        let detail = "`exp` is not within 60 seconds after `iat`";
        return wrong(Reason::CbaLifetime, detail);
    }
    if now >= exp {
        return wrong(Reason::CbaExpired, "`exp` has passed");
    }
    let latest = now.saturating_add(request.policy.cba.leeway_secs);
    if iat.max(nbf.unwrap_or(0)) > latest {
        return wrong(Reason::CbaNotYetValid, "`nbf` or `iat` is in the future");
    }
    Ok(())
}

const fn malformed(detail: &'static str) -> Refused {
    Refused::new("cba.form", Reason::CbaMalformed, detail)
}
