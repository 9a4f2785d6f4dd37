//! Calls of the cell `b` to the cell `a`, for `ada` of `acme`: good ones, and every way to be bad.

use std::time::Duration;

use cellway_core::Unix;
use cellway_testbed::{Claims, Signer};
use cellway_tests::decide::{jwks, signer};
use serde_json::{Value, json};

/// What a call shows, and why it doesn't hold.
pub(crate) struct Case {
    pub what: &'static str,
    pub shown: Vec<String>,
    pub refused: Option<&'static str>,
}

/// The key that the cell `b` has published.
pub(crate) fn key() -> Signer {
    signer("b-1")
}

/// The cells that may or may not call, each with the same key, by their states.
pub(crate) const STATES: [&str; 5] = [
    "active",
    "draining",
    "quarantined",
    "provisioning",
    "retired",
];

/// The cells that call, for a registry: `b`, one of each other state, and one without keys.
pub(crate) fn callers(endpoint: &Value) -> Vec<Value> {
    let cell = |id: &str, state: &str, annotations: Value| {
        json!({"id": id, "tier": "standard", "region": "eu", "state": state,
               "endpoints": [endpoint], "annotations": annotations})
    };
    let keys = json!({"cba-jwks": jwks(&[&key()])});
    let states = STATES.iter().map(|state| match *state {
        "active" => cell("b", state, keys.clone()),
        state => cell(state, state, keys.clone()),
    });
    let mute = cell("mute", "active", json!({}));
    states.chain([mute]).collect()
}

/// A good authorization that begins now.
pub(crate) fn good(jti: &str, now: Unix) -> Claims {
    Claims::cell_bound("b", "a", jti, now)
        .with("tenant", "acme")
        .subject("ada")
}

/// Good and bad calls.
pub(crate) fn all(now: Unix) -> Vec<Case> {
    let mut cases = of_callers(now);
    cases.extend(of_claims(now));
    cases.extend(of_form(now));
    for (number, case) in cases.iter().enumerate() {
        let same = cases[..number].iter().find(|other| other.what == case.what);
        assert!(same.is_none(), "two cases are called {}", case.what);
    }
    cases
}

/// A call whose claims differ from good ones by this change, signed by the cell itself. Its name is its
/// `jti`.
fn changed(
    now: Unix,
    what: &'static str,
    change: impl FnOnce(Claims) -> Claims,
    refused: Option<&'static str>,
) -> Case {
    let claims = change(good(what, now));
    Case {
        what,
        shown: vec![claims.sign(&key()).unwrap()],
        refused,
    }
}

/// By cells that may call, and by others.
fn of_callers(now: Unix) -> Vec<Case> {
    let by = |what, cell, refused| changed(now, what, |c| c.with("iss", cell), refused);
    let not_allowed = Some("cba_cell_not_allowed");
    vec![
        by("good", "b", None),
        changed(
            now,
            "good for a minute",
            |c| c.with("exp", later(now, 60)),
            None,
        ),
        by("by a draining cell", "draining", None),
        by("by a quarantined cell", "quarantined", not_allowed),
        by("by a provisioning cell", "provisioning", not_allowed),
        by("by a retired cell", "retired", not_allowed),
        by("by no cell", "nobody", Some("cba_unknown_cell")),
        by("by a cell without keys", "mute", Some("cba_no_keys")),
    ]
}

/// For another call than the one that they come with, or at another time.
fn of_claims(now: Unix) -> Vec<Case> {
    let set = |what, claim, value: &str, refused| {
        changed(now, what, |c| c.with(claim, value), Some(refused))
    };
    let times = |what, iat, exp: u64, refused| {
        changed(
            now,
            what,
            |c| c.with("iat", iat).with("exp", exp),
            Some(refused),
        )
    };
    let without = |what, claim, refused| changed(now, what, |c| c.without(claim), Some(refused));
    let begin = now.as_secs();
    vec![
        set("for another cell", "aud", "b", "cba_wrong_destination"),
        set("for another tenant", "tenant", "globex", "cba_wrong_tenant"),
        set("for another user", "sub", "eve", "cba_wrong_subject"),
        without("for no user", "sub", "cba_wrong_subject"),
        times("good for too long", begin, later(now, 61), "cba_lifetime"),
        times("over", begin - 60, begin, "cba_expired"),
        times(
            "not begun",
            later(now, 30),
            later(now, 60),
            "cba_not_yet_valid",
        ),
        without("without jti", "jti", "cba_malformed"),
    ]
}

/// So many seconds later.
fn later(now: Unix, secs: u64) -> u64 {
    now.after(Duration::from_secs(secs)).as_secs()
}

/// Of another form, or signed otherwise.
fn of_form(now: Unix) -> Vec<Case> {
    let sign = |jti, typ| good(jti, now).typ(typ).sign(&key()).unwrap();
    let case = |what, shown, refused| Case {
        what,
        shown: vec![shown],
        refused: Some(refused),
    };
    let (mine, stranger) = (key(), signer("stranger"));
    let forged = good("form 1", now).kid(mine.kid()).sign(&stranger).unwrap();
    let unknown = good("form 2", now).sign(&stranger).unwrap();
    let twice = sign("form 6", Some("cba+jwt"));
    let two = Case {
        what: "two of them",
        shown: vec![twice.clone(), twice],
        refused: Some("cba_duplicate"),
    };
    let token = Some("JWT");
    vec![
        case("signed by another", forged, "cba_bad_signature"),
        case("by an unknown key", unknown, "cba_no_matching_key"),
        case(
            "a bearer token's type",
            sign("form 3", token),
            "cba_malformed",
        ),
        case("no type", sign("form 4", None), "cba_malformed"),
        case("rubbish", "a.b.c".to_owned(), "cba_malformed"),
        two,
    ]
}
