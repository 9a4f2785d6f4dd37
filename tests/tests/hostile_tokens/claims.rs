//! Claims. Every one of these tokens is well signed by the issuer.

use serde_json::{Value, json};

use crate::Row;
use crate::keys::{AUDIENCE, EXP, ISSUER, claims, encode, header, signed, with_claims};

/// In 2001, and so over.
const PAST: u64 = 1_000_000_000;
/// In 2096, and so ahead.
const AHEAD: u64 = 4_000_000_000;

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |class, change: Value| {
        let mut name = change.to_string();
        name.truncate(58);
        rows.push(Row::new(class, name, with_claims(change)));
    };
    for iss in issuers() {
        row("iss", json!({"iss": iss}));
    }
    for aud in audiences() {
        row("aud", json!({"aud": aud}));
    }
    for cnf in confirmations() {
        row("cnf", json!({"cnf": cnf}));
    }
    for tenant in tenants() {
        row("tenant", json!({"tenant_id": tenant}));
    }
    row("tenant", json!({"tenant_id": null}));
    for sub in subjects() {
        row("subject", json!({"sub": sub}));
    }
    row("subject", json!({"sub": null, "jti": "1"}));
    for jti in [
        json!("j".repeat(1025)),
        json!(["j"]),
        json!(1.5),
        json!(-1),
        json!(true),
    ] {
        row("subject", json!({"jti": jti}));
    }
    for tier in [json!(1), json!("std,gold"), json!(["std"]), json!("")] {
        row("tier", json!({"tier": tier}));
    }
    rows.extend(dates());
    rows
}

fn confirmations() -> Vec<Value> {
    vec![
        json!({}),
        json!({"jkt": encode([0; 32])}),
        json!({"jwk": {"kty": "OKP"}}),
        json!({"kid": "EdDSA"}),
        json!({"x5t#S256": encode([0; 32])}),
        json!({"x5t#S256": ""}),
        json!({"x5t#S256": 1}),
        json!({"x5t": encode([0; 20])}),
        json!({"x5t#S256": encode([0; 32]), "jkt": encode([0; 32])}),
        json!("x"),
        json!([]),
        json!(false),
    ]
}

fn tenants() -> Vec<Value> {
    vec![
        json!(""),
        json!(" acme"),
        json!("acme "),
        json!("acme\r\nx-tenant: globex"),
        json!("acme\u{0}"),
        json!("acme,globex"),
        json!("a".repeat(300)),
        json!(1),
        json!(true),
        json!(["acme"]),
        json!({"id": "acme"}),
    ]
}

fn subjects() -> Vec<Value> {
    vec![
        json!(null),
        json!(""),
        json!(1),
        json!(true),
        json!(["ada"]),
        json!({"ada": 1}),
        json!("\u{e9}".repeat(342)),
    ]
}

fn issuers() -> Vec<Value> {
    vec![
        json!(null),
        json!(""),
        json!("https://idp.example/"),
        json!("https://idp.example "),
        json!(" https://idp.example"),
        json!("https://IDP.example"),
        json!("HTTPS://idp.example"),
        json!("https://idp.example:443"),
        json!("https://idp.example."),
        json!("https://idp.example#"),
        json!("https://idp.example?"),
        json!("https://idp.example.evil.test"),
        json!("https://evil.test/https://idp.example"),
        json!("http://idp.example"),
        json!("idp.example"),
        json!("https://idp.example\u{0}"),
        json!("https://\u{456}dp.example"),
        json!("https://idp.e\u{301}xample"),
        json!([ISSUER]),
        json!({"iss": ISSUER}),
        json!(1),
        json!(true),
    ]
}

fn audiences() -> Vec<Value> {
    vec![
        json!(null),
        json!(""),
        json!("Cellway"),
        json!("cellway "),
        json!("cellway/"),
        json!("cell"),
        json!("cellway2"),
        json!("cellway,other"),
        json!("other cellway"),
        json!("cellw\u{430}y"),
        json!("*"),
        json!([]),
        json!([[AUDIENCE]]),
        json!(["other"]),
        json!([AUDIENCE, 1]),
        json!([AUDIENCE, null]),
        json!(["cell", "way"]),
        json!({"cellway": true}),
        json!({"0": AUDIENCE}),
        json!(1),
        json!(true),
    ]
}

/// Values that are no date that a claim may have.
const BAD_DATES: [&str; 24] = [
    "true",
    "\"\"",
    "\"never\"",
    "\"4102444800\"",
    "[4102444800]",
    "{}",
    "-1",
    "-0.5",
    "-1e300",
    // Milliseconds.
    "4102444800000",
    "253402300800",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1e400",
    "Infinity",
    "NaN",
    "0x7fffffff",
    "+4102444800",
    "04102444800",
    "4102444800.",
    "\"2099-01-01T00:00:00Z\"",
];

/// Dates as text, because a JSON library changes some of them.
fn dates() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |claim: &str, value: &str| {
        let mut others = claims();
        others.as_object_mut().unwrap().remove(claim);
        let others = others.to_string();
        let payload = format!(r#"{{"{claim}":{value},{}"#, &others[1..]);
        let token = signed("EdDSA", &header("EdDSA").to_string(), &payload);
        rows.push(Row::new("dates", format!("{claim} {value}"), token));
    };
    for claim in ["exp", "nbf", "iat"] {
        for value in BAD_DATES {
            row(claim, value);
        }
    }
    for value in [
        "0",
        "-0",
        "0.999",
        "1e9",
        &PAST.to_string(),
        "1799999999.999",
    ] {
        row("exp", value);
    }
    for value in [&AHEAD.to_string(), "4e9", "4000000000.5", "253402300799"] {
        row("nbf", value);
        row("iat", value);
    }
    rows.push(Row::new(
        "dates",
        "no exp",
        with_claims(json!({"exp": null})),
    ));
    let claims = claims().to_string().replace(&EXP.to_string(), "null");
    let token = signed("EdDSA", &header("EdDSA").to_string(), &claims);
    rows.push(Row::new("dates", "exp null", token));
    rows
}
