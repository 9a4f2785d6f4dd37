//! Claims: the usual ones, and what the file says instead.

use cellway_core::Unix;
use cellway_core::policy::{ClaimSpec, Issuer};
use cellway_router::config::Tables;
use serde_json::{Map, Value, json};
use toml::{Table, Value as Toml};

use crate::cases::{Offset, unix};

/// How long tokens are valid.
const LIFETIME_SECS: u64 = 300;

/// The subject of tokens that name none.
const SUBJECT: &str = "somebody";

/// The claims that hold times.
const TIMES: [&str; 3] = ["exp", "nbf", "iat"];

/// The claims of a good token of this issuer, without a tenant.
pub(super) fn usual(issuer: &Issuer, now: Unix) -> Map<String, Value> {
    let mut claims = Map::new();
    claims.insert("iss".to_owned(), (*issuer.iss).into());
    match (issuer.audiences.first(), issuer.client_ids.first()) {
        (Some(audience), _) => {
            claims.insert("aud".to_owned(), (**audience).into());
        }
        (None, Some(client)) => {
            claims.insert("client_id".to_owned(), (**client).into());
            claims.insert("token_use".to_owned(), "access".into());
        }
        (None, None) => {}
    }
    if let Some(party) = issuer.authorized_parties.first() {
        claims.insert("azp".to_owned(), (**party).into());
    }
    claims.insert("iat".to_owned(), now.as_secs().into());
    let expires = now.as_secs().saturating_add(LIFETIME_SECS);
    claims.insert("exp".to_owned(), expires.into());
    put(&mut claims, &issuer.claims.subject, SUBJECT);
    claims
}

/// Sets a claim, which may be inside others.
fn put(claims: &mut Map<String, Value>, at: &ClaimSpec, value: &str) {
    let Some((last, outer)) = at.path.split_last() else {
        return;
    };
    let mut inside = claims;
    for name in outer {
        let next = inside.entry(name.clone()).or_insert_with(|| json!({}));
        let Some(next) = next.as_object_mut() else {
            return;
        };
        inside = next;
    }
    inside.insert(last.clone(), value.into());
}

/// A claim, which may be inside others, if it is text.
pub(super) fn get<'a>(claims: &'a Map<String, Value>, at: &ClaimSpec) -> Option<&'a str> {
    let (first, rest) = at.path.split_first()?;
    let inside = rest
        .iter()
        .try_fold(claims.get(first)?, |value, name| value.get(name))?;
    inside.as_str()
}

/// Puts what the file says in place of the usual claims.
pub(super) fn change(
    claims: &mut Map<String, Value>,
    setting: &str,
    (said, without): (&Table, &[String]),
    now: Unix,
    mistakes: &mut Tables,
) {
    for (name, value) in said {
        let is_time = TIMES.contains(&name.as_str());
        let made = match value.as_str().filter(|_| is_time) {
            Some(text) => time(text, now).map(Value::from),
            None => as_json(value),
        };
        match made {
            Some(value) => {
                claims.insert(name.clone(), value);
            }
            None => {
                let setting = format!("{setting}.claims.{name}");
                let fix = "write \"-5min\", \"+1h\" or 2026-01-01T00:00:00Z";
                mistakes.mistake(&setting, format!("{value} is not a time"), fix);
            }
        }
    }
    for (at, name) in without.iter().enumerate() {
        if claims.remove(name).is_none() {
            let setting = format!("{setting}.without[{at}]");
            let known: Vec<_> = claims.keys().map(String::as_str).collect();
            let fix = format!("there are: {}", known.join(", "));
            mistakes.mistake(&setting, format!("there is no claim {name:?}"), fix);
        }
    }
}

/// Seconds since 1970, from a distance to now or a date. (TOML's dates come as text.)
fn time(text: &str, now: Unix) -> Option<u64> {
    let at = match Offset::parse(text) {
        Some(offset) => offset.from(now),
        None => unix(&text.parse().ok()?)?,
    };
    Some(at.as_secs())
}

/// The same value in JSON; `None` for numbers that JSON doesn't have.
fn as_json(value: &Toml) -> Option<Value> {
    serde_json::to_value(value).ok()
}
