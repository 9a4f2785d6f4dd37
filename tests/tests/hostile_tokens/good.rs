//! Tokens and key sets that are legal, however unusual, and must be taken.

use serde_json::{Value, json};

use crate::Row;
use crate::keys::{
    ALGORITHMS, AUDIENCE, EXP, bare, claims, decode, encode, header, jwk, message, set, sign,
    signed, strangers, token, with, with_claims, with_header,
};
use crate::signatures::{fixed, row};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = fixed()
        .into_iter()
        .filter(|fixed| fixed.good)
        .map(|fixed| row("good", fixed))
        .collect();
    rows.extend(tokens());
    rows.extend(texts());
    rows.extend(sets());
    rows
}

fn tokens() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |name: String, token| rows.push(Row::new("good", name, token));
    for algorithm in ALGORITHMS {
        row(algorithm.to_owned(), token(algorithm));
        let kidless = with_header(algorithm, json!({"kid": null}));
        row(format!("{algorithm}, no kid"), kidless);
    }
    for change in [
        json!({"typ": null}),
        json!({"typ": "jwt"}),
        json!({"typ": "at+jwt"}),
        json!({"typ": "AT+JWT"}),
        json!({"typ": "application/at+jwt"}),
        json!({"typ": "Application/JWT"}),
        json!({"cty": "json"}),
        json!({"x5t": "AAAA", "x5c": ["MIIB"], "x5u": "https://idp.example/x5u"}),
        json!({"jku": "https://idp.example/jwks.json", "jwk": strangers("EdDSA")}),
        json!({"unheard": {"of": [1, 2, {"a": null}]}}),
    ] {
        row(format!("header {change}"), with_header("EdDSA", change));
    }
    let claims = registered_claims().into_iter().chain(other_claims());
    for change in claims {
        row(format!("claims {change}"), with_claims(change));
    }
    rows
}

/// Claims that RFC 7519 defines.
fn registered_claims() -> Vec<Value> {
    vec![
        json!({"aud": [AUDIENCE]}),
        json!({"aud": ["other", AUDIENCE, "more"]}),
        json!({"aud": [AUDIENCE, AUDIENCE]}),
        json!({"exp": EXP as f64 + 0.5}),
        json!({"exp": 253_402_300_799_u64}),
        json!({"nbf": 0}),
        json!({"nbf": 1.5, "iat": 1.5}),
        json!({"iat": 1_700_000_000}),
        json!({"jti": "x", "azp": "y", "scope": "a b", "client_id": "z"}),
        json!({"jti": 7}),
        json!({"jti": ""}),
        json!({"sub": "CN=Ada,OU=People,DC=example"}),
        json!({"sub": "jos\u{e9} \u{1f600}"}),
        json!({"sub": "ada\r\nx-tenant: globex"}),
        json!({"sub": " 100% "}),
        json!({"sub": "s".repeat(2048)}),
    ]
}

/// Claims of identity providers.
fn other_claims() -> Vec<Value> {
    vec![
        json!({"org": "Acme, Inc."}),
        json!({"org": ""}),
        json!({"org": 42}),
        json!({"org": ["acme"]}),
        json!({"team": "B\u{fc}ro"}),
        json!({"team": "t".repeat(3000)}),
        json!({"team": {"id": 1}}),
        json!({"realm_access": {"roles": vec!["r"; 65]}}),
        json!({"realm_access": {"roles": groups(200)}}),
        json!({"realm_access": {"roles": ["CN=Admins,OU=Groups", "B\u{fc}ro", "", null, 1]}}),
        json!({"realm_access": {"roles": "admin,owner"}}),
        json!({"realm_access": {"roles": {"admin": true}}}),
        json!({"realm_access": "admin"}),
        json!({"realm_access.roles": ["admin"]}),
        json!({"scope": ["a", 1, "b c", "\""]}),
        json!({"scope": true}),
        json!({"unheard": {"of": [1, -2, 3.5, true, null, "\u{1f600}"]}}),
        json!({"verified": {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": 1}}}}}}}}}),
    ]
}

/// As many as some issuers put into one token.
fn groups(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{i:08x}-aaaa-bbbb")).collect()
}

/// Claims that a token need not have.
const OPTIONAL: [&str; 9] = [
    "nbf",
    "iat",
    "jti",
    "cnf",
    "org",
    "team",
    "realm_access",
    "scope",
    "tier",
];
/// Members that a header need not have.
const OF_HEADER: [&str; 7] = ["typ", "cty", "crit", "b64", "zip", "enc", "x5t"];

/// The JSON object with these members first, each `null`.
fn with_nulls(text: &str, names: &[&str]) -> String {
    let nulls: String = names
        .iter()
        .map(|name| format!("\"{name}\":null,"))
        .collect();
    text.replacen('{', &format!("{{{nulls}"), 1)
}

/// Spellings that a JSON library wouldn't choose, and `null`, which [`with`] would take away.
fn texts() -> Vec<Row> {
    let good = claims().to_string();
    let header = header("EdDSA").to_string();
    let spaced = good.replace(',', " ,\n\t").replace("\":", "\" : ");
    [
        ("null claims", header.clone(), with_nulls(&good, &OPTIONAL)),
        (
            "null in the header",
            with_nulls(
                &header
                    .replace(r#""typ":"JWT","#, "")
                    .replace(r#","typ":"JWT""#, ""),
                &OF_HEADER,
            ),
            good.clone(),
        ),
        (
            "a null kid",
            r#"{"alg":"EdDSA","kid":null}"#.to_owned(),
            good.clone(),
        ),
        ("white space in the claims", header.clone(), spaced),
        (
            "white space around the header",
            format!(" \n{header}\t "),
            good.clone(),
        ),
        (
            "names escaped",
            header.replace("alg", r"\u0061lg"),
            good.replace("exp", r"e\u0078p"),
        ),
        (
            "values escaped",
            header.clone(),
            good.replace("acme", r"\u0061cme"),
        ),
        ("slashes escaped", header.clone(), good.replace('/', r"\/")),
        (
            "exp with an exponent",
            header.clone(),
            good.replace("4102444800", "4.1024448e9"),
        ),
        (
            "exp with a point",
            header.clone(),
            good.replace("4102444800", "4102444800.0"),
        ),
    ]
    .map(|(name, header, payload)| Row::new("good", name, signed("EdDSA", &header, &payload)))
    .into()
}

fn sets() -> Vec<Row> {
    let mut rows: Vec<Row> = [
        spelled_keys(),
        spelled_members(),
        spelled_sets(),
        mixed_sets(),
    ]
    .into_iter()
    .flatten()
    .map(|(name, algorithm, keys)| Row {
        class: "good",
        name: format!("set: {name}"),
        keys,
        token: token(algorithm),
    })
    .collect();
    let ed = jwk("EdDSA");
    let numbered = with(&ed, json!({"kid": 7}));
    for kid in [json!(7), json!("7")] {
        rows.push(Row {
            class: "good",
            name: format!("set: a kid that is a number, and {kid} in the token"),
            keys: set(&[numbered.clone(), jwk("ES256")]),
            token: with_header("EdDSA", json!({ "kid": kid })),
        });
    }
    // One key by two names is one key.
    let message = message(&json!({"alg": "EdDSA"}).to_string(), &claims().to_string());
    rows.push(Row {
        class: "good",
        name: "set: one key by two names, none in the token".to_owned(),
        keys: set(&[
            with(&ed, json!({"kid": "a"})),
            with(&ed, json!({"kid": "b"})),
        ]),
        token: format!("{message}.{}", sign("EdDSA", &message)),
    });
    rows
}

/// A name, the algorithm of the token, and the document.
type Set = (&'static str, &'static str, String);

/// Keys without a name, with odd members, or under an unusual algorithm.
fn spelled_keys() -> Vec<Set> {
    let ed = jwk("EdDSA");
    let unnamed = |key: &Value| with(key, json!({"kid": null}));
    let padded_n = format!("{}==", bare("RS256")["n"].as_str().unwrap());
    let many: Vec<Value> = (0..1000).map(|_| json!({"kty": "oct"})).collect();
    vec![
        ("one key without a name", "EdDSA", set(&[unnamed(&ed)])),
        (
            "one key without a name, among unusable ones",
            "EdDSA",
            set(&[json!({"kty": "oct", "kid": "EdDSA"}), unnamed(&ed)]),
        ),
        (
            "null members",
            "EdDSA",
            format!(
                r#"{{"keys":[{}]}}"#,
                ed.to_string()
                    .replacen('{', r#"{"key_ops":null,"x5c":null,"d":null,"k":null,"#, 1)
            ),
        ),
        (
            "PS256 under an RSA key for anything",
            "PS256",
            set(&[with(&bare("RS256"), json!({"kid": "PS256"}))]),
        ),
        (
            "a padded modulus",
            "RS256",
            set(&[with(&jwk("RS256"), json!({"n": padded_n}))]),
        ),
        (
            "1000 unusable ones before",
            "EdDSA",
            set(&[many, vec![ed.clone()]].concat()),
        ),
        (
            "a byte-order mark",
            "EdDSA",
            format!("\u{feff}{}", set(std::slice::from_ref(&ed))),
        ),
    ]
}

/// One key with more members than it needs, or with fewer than usual.
fn spelled_members() -> Vec<Set> {
    let ed = jwk("EdDSA");
    let n = decode(bare("RS256")["n"].as_str().unwrap());
    let padded = encode([&[0], &n[..]].concat());
    vec![
        (
            "one key, nothing but the key",
            "EdDSA",
            set(&[with(&ed, json!({"use": null, "alg": null}))]),
        ),
        (
            "key_ops",
            "EdDSA",
            set(&[with(&ed, json!({"key_ops": ["verify"], "ext": true}))]),
        ),
        (
            "key_ops of both kinds",
            "EdDSA",
            set(&[with(&ed, json!({"key_ops": ["sign", "verify"]}))]),
        ),
        (
            "certificates beside the key",
            "EdDSA",
            set(&[with(&ed, json!({"x5c": ["MIIB"], "x5t": "AAAA"}))]),
        ),
        (
            "a modulus with a zero byte",
            "RS256",
            set(&[with(&jwk("RS256"), json!({"n": padded}))]),
        ),
        (
            "RSA for the first of the list",
            "RS256",
            set(&[with(&jwk("RS256"), json!({"alg": null}))]),
        ),
    ]
}

/// Several keys, and unusual documents around them.
fn spelled_sets() -> Vec<Set> {
    let ed = jwk("EdDSA");
    let deep = deep();
    vec![
        (
            "two keys of one name",
            "EdDSA",
            set(&[
                with(&strangers("EdDSA"), json!({"kid": "EdDSA"})),
                ed.clone(),
            ]),
        ),
        (
            "the same key twice",
            "EdDSA",
            set(&[ed.clone(), ed.clone()]),
        ),
        ("64 keys", "EdDSA", set(&vec![ed.clone(); 64])),
        (
            "members beside `keys`",
            "EdDSA",
            format!(r#"{{"x":{deep},"keys":[{ed}]}}"#),
        ),
        (
            "white space",
            "EdDSA",
            format!("\n {{ \"keys\" : [ {ed} ] }} \r\n"),
        ),
    ]
}

/// A good key among what is none.
fn mixed_sets() -> Vec<Set> {
    let ed = jwk("EdDSA");
    let among = |bad: &str| format!(r#"{{"keys":[{bad},{ed},{bad}]}}"#);
    vec![
        (
            "among symmetric ones",
            "EdDSA",
            among(r#"{"kty":"oct","k":"AAAA"}"#),
        ),
        (
            "among unknown ones",
            "EdDSA",
            among(r#"{"kty":"AKP","alg":"ML-DSA-44","pub":"AAAA"}"#),
        ),
        ("among deep ones", "EdDSA", among(&deep())),
        (
            "among huge numbers",
            "EdDSA",
            among(r#"{"kty":"RSA","n":1e999}"#),
        ),
        (
            "among half characters",
            "EdDSA",
            among(r#"{"kid":"\ud800"}"#),
        ),
        (
            "among names twice",
            "EdDSA",
            among(r#"{"kty":"OKP","kty":"OKP"}"#),
        ),
        (
            "among what is no object",
            "EdDSA",
            among(r#"null,1,"x",[],true"#),
        ),
    ]
}

/// Nested more deeply than any document that is read.
fn deep() -> String {
    format!("{}{}", "[".repeat(5000), "]".repeat(5000))
}
