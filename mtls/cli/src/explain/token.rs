//! What a token says about itself, for an operator who wonders why it is refused.
//!
//! No decision uses this: nothing in it is verified. It leaves out who the token is for.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cellway_core::policy::{Issuer, Policy, PolicyId};
use cellway_core::{Reason, Unix};
use cellway_router::envelope::rfc3339;
use serde_json::{Map, Value};

/// The most characters of one value that are shown.
const SHOWN_MAX: usize = 120;
/// The last second of the year 9999. RFC 3339 has no later ones.
const SECS_MAX: u64 = 253_402_300_799;

/// Its algorithm, key, issuer, audience and times. `None` if it isn't a signed token.
pub(super) fn described(token: &str, now: Unix) -> Option<String> {
    let mut parts = token.split('.').map(object);
    let (header, claims) = (parts.next()??, parts.next()??);
    let mut said = Vec::new();
    for (name, value) in [
        ("alg", header.get("alg")),
        ("kid", header.get("kid")),
        ("iss", claims.get("iss")),
        ("aud", claims.get("aud")),
    ] {
        said.extend(value.map(|value| format!("{name} {}", shown(value))));
    }
    for name in ["nbf", "exp"] {
        let Some(value) = claims.get(name) else {
            continue;
        };
        let at = value.as_u64().filter(|at| *at <= SECS_MAX);
        said.push(match at {
            Some(at) => format!(
                "{name} {} ({})",
                rfc3339(Unix::from_secs(at)),
                from(at, now)
            ),
            None => format!("{name} {}", shown(value)),
        });
    }
    (!said.is_empty()).then(|| said.join(", "))
}

/// What the policy accepts instead, if the token was refused because of its issuer or audience.
pub(super) fn wanted(reason: Reason, policy: &Policy, id: PolicyId) -> Option<String> {
    let auth = policy.auth(id);
    let accepted = policy.issuer_ids().filter(|id| auth.accepts(*id));
    let accepted: Vec<_> = accepted.map(|id| policy.issuer(id)).collect();
    let list = |of: fn(&Issuer) -> &[Box<str>]| {
        let all = accepted.iter().flat_map(|issuer| of(issuer));
        all.map(|text| format!("{text:?}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    if reason == Reason::WrongIssuer {
        Some(format!(
            "accepted: {}",
            list(|it| std::slice::from_ref(&it.iss))
        ))
    } else if reason == Reason::WrongAudience {
        Some(format!("accepted: {}", list(|it| &it.audiences)))
    } else {
        None
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    let json = URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&json).ok()
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_MAX) {
        None => text,
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

/// How far a time is from now.
fn from(at: u64, now: Unix) -> String {
    let now = now.as_secs();
    let span = |secs: u64| match secs {
        0..120 => format!("{secs} s"),
        120..7_200 => format!("{} min", secs / 60),
        7_200..172_800 => format!("{} h", secs / 3_600),
        _ => format!("{} days", secs / 86_400),
    };
    match at.checked_sub(now) {
        Some(left) => format!("in {}", span(left)),
        None => format!("{} ago", span(now - at)),
    }
}
