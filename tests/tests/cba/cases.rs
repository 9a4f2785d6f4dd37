//! Calls of the cell `b` to the cell `a`, for `ada` of `acme`: good ones, and every way to be bad.

use std::time::Duration;

use cellway_core::Unix;
use cellway_testbed::{Claims, Signer};
use cellway_tests::decide::{jwks, signer};
use serde_json::{Value, json};

/// What a call shows, and why it doesn't hold.
pub struct Case {
    pub what: &'static str,
    pub shown: Vec<String>,
    pub refused: Option<&'static str>,
}

/// The key that the cell `b` has published.
pub fn key() -> Signer {
    signer("b-1")
}

/// The cells that may or may not call, each with the same key, by their states.
pub const STATES: [&str; 5] = [
    "active",
    "draining",
    "quarantined",
    "provisioning",
    "retired",
];

/// The cells that call, for a registry: `b`, one of each other state, and one without keys.
pub fn callers(endpoint: &Value) -> Vec<Value> {
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
pub fn good(jti: &str, now: Unix) -> Claims {
    Claims::cell_bound("b", "a", jti, now)
        .with("tenant", "acme")
        .subject("ada")
}

/// Good and bad calls.
pub fn all(now: Unix) -> Vec<Case> {
    let mut cases = of_claims(now);
    cases.extend(of_form(now));
    for (number, case) in cases.iter().enumerate() {
        let same = cases[..number].iter().find(|other| other.what == case.what);
        assert!(same.is_none(), "two cases are called {}", case.what);
    }
    cases
}

/// Signed by the cell itself, and saying something else than they must.
fn of_claims(now: Unix) -> Vec<Case> {
    let later = |secs| now.after(Duration::from_secs(secs)).as_secs();
    let mut number = 0;
    let mut case = |what, change: &dyn Fn(Claims) -> Claims, refused| {
        number += 1;
        let claims = change(good(&format!("claims {number}"), now));
        let shown = vec![claims.sign(&key()).unwrap()];
        Case {
            what,
            shown,
            refused,
        }
    };
    vec![
        case("good", &|c| c, None),
        case("good for a minute", &|c| c.with("exp", later(60)), None),
        case("by a draining cell", &|c| c.with("iss", "draining"), None),
        case(
            "by a quarantined cell",
            &|c| c.with("iss", "quarantined"),
            Some("cba_cell_not_allowed"),
        ),
        case(
            "by a provisioning cell",
            &|c| c.with("iss", "provisioning"),
            Some("cba_cell_not_allowed"),
        ),
        case(
            "by a retired cell",
            &|c| c.with("iss", "retired"),
            Some("cba_cell_not_allowed"),
        ),
        case(
            "by no cell",
            &|c| c.with("iss", "nobody"),
            Some("cba_unknown_cell"),
        ),
        case(
            "by a cell without keys",
            &|c| c.with("iss", "mute"),
            Some("cba_no_keys"),
        ),
        case(
            "for another cell",
            &|c| c.with("aud", "b"),
            Some("cba_wrong_destination"),
        ),
        case(
            "for another tenant",
            &|c| c.with("tenant", "globex"),
            Some("cba_wrong_tenant"),
        ),
        case(
            "for another user",
            &|c| c.subject("eve"),
            Some("cba_wrong_subject"),
        ),
        case(
            "for no user",
            &|c| c.without("sub"),
            Some("cba_wrong_subject"),
        ),
        case(
            "good for too long",
            &|c| c.with("exp", later(61)),
            Some("cba_lifetime"),
        ),
        case(
            "over",
            &|c| c.with("iat", now.as_secs() - 60).with("exp", now.as_secs()),
            Some("cba_expired"),
        ),
        case(
            "not begun",
            &|c| c.with("iat", later(30)).with("exp", later(60)),
            Some("cba_not_yet_valid"),
        ),
        case("without jti", &|c| c.without("jti"), Some("cba_malformed")),
    ]
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
