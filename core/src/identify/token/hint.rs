//! The parts of a refused token that logs may show.

use crate::evidence::Credentials;
use crate::json::Json;
use crate::jws::Jws;
use crate::keys::KeyTable;
use crate::policy::Policy;
use crate::text::Text;

use super::bearer::token_of;

/// Which issuer and key a token names, as far as both are known here. Names that a client makes up
/// never get into a log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hint<'a> {
    /// The configured name of the issuer whose `iss` the token has.
    pub issuer: Option<&'a Text>,
    /// The token's `kid`, where the issuer's key set has a key of that name.
    pub kid: Option<Box<str>>,
}

/// Reads what logs may say about a request's bearer token. It verifies nothing, so use it only to
/// log refused requests.
pub fn hint<'a>(policy: &'a Policy, keys: &KeyTable, credentials: &Credentials) -> Hint<'a> {
    read(policy, keys, credentials).unwrap_or_default()
}

fn read<'a>(policy: &'a Policy, keys: &KeyTable, credentials: &Credentials) -> Option<Hint<'a>> {
    let authorization = credentials.authorization.as_ref()?;
    let jws = Jws::parse(token_of(authorization.as_bytes())?).ok()?;
    let claims = jws.claims().ok()?;
    let Some(Json::String(iss)) = claims.get("iss") else {
        return None;
    };
    let id = policy.issuer_of(iss)?;
    let header = jws.header().ok();
    let kid = header.as_ref().and_then(|header| header.kid.as_deref());
    let set = keys.issuer(id).and_then(|keys| keys.set.as_ref());
    let known = kid.filter(|kid| set.is_some_and(|set| set.has(kid)));
    Some(Hint {
        issuer: Some(&policy.issuer(id).name),
        kid: known.map(Into::into),
    })
}
