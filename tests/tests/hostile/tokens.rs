//! Tokens that must not count.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cellway_core::Unix;
use cellway_testbed::{Claims, Key, Request, Signer, unsigned};
use cellway_tests::world::{AUDIENCE, HOUR, World, now};
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::ED_SEED;
use crate::table::Table;

/// What stands before an Ed25519 public key in its X.509 form (RFC 8410, section 4).
const ED25519_SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// More than a token may have (16 KiB), and less than a request's header may.
const PADDING_LEN: usize = 20_000;

pub(crate) async fn rows(table: &mut Table<'_>) {
    let world = table.world;
    let good = world.token();
    table.ask("none", get()).await;
    table.ask("a good one", get().bearer(&good)).await;
    malformed(table, &good).await;
    claims(table, world).await;
    signatures(table, world, &good).await;
    carriers(table, &good).await;
}

fn get() -> Request {
    Request::get("/orders")
}

fn authorization(value: &str) -> Request {
    get().header(AUTHORIZATION, HeaderValue::from_str(value).unwrap())
}

async fn malformed(table: &mut Table<'_>, good: &str) {
    let [header, payload, _] = parts(good);
    for (what, value) in [
        ("empty", "Bearer ".to_owned()),
        ("not a JWT", "Bearer open-sesame".to_owned()),
        ("two parts", format!("Bearer {header}.{payload}")),
        ("four parts", format!("Bearer {good}.{payload}")),
        ("padded base64", format!("Bearer {good}==")),
        ("another scheme", "Basic YWNtZTphY21l".to_owned()),
        ("for DPoP", format!("DPoP {good}")),
        ("two words", format!("Bearer {good} {good}")),
        ("two in one header", format!("Bearer {good}, Bearer {good}")),
    ] {
        table.ask(what, authorization(&value)).await;
    }
    let not_json = format!("{header}.{}.AAAA", URL_SAFE_NO_PAD.encode("{\"iss\":"));
    table
        .ask("claims that break off", get().bearer(&not_json))
        .await;
    let twice = r#"{"tenant_id":"acme","tenant_id":"globex"}"#;
    let twice = format!("{header}.{}.AAAA", URL_SAFE_NO_PAD.encode(twice));
    table
        .ask("a claim twice, unsigned", get().bearer(&twice))
        .await;
}

async fn claims(table: &mut Table<'_>, world: &World) {
    let claims = world.claims();
    let (issuer, now) = (world.idp.issuer(), now());
    let hour_ago = Unix::from_secs(now.as_secs() - HOUR.as_secs());
    let minute = std::time::Duration::from_secs(60);
    let past = Claims::new(issuer, AUDIENCE, hour_ago, minute).tenant("acme");
    let elsewhere = Claims::new("https://idp.evil.test", AUDIENCE, now, HOUR).tenant("acme");
    let slash = Claims::new(&format!("{issuer}/"), AUDIENCE, now, HOUR).tenant("acme");
    for (what, claims) in [
        ("expired", past),
        (
            "not yet valid",
            claims.clone().with("nbf", now.as_secs() + 600),
        ),
        ("no exp", claims.clone().without("exp")),
        ("exp as text", claims.clone().with("exp", "4102444800")),
        ("wrong audience", claims.clone().with("aud", "billing")),
        ("no audience", claims.clone().without("aud")),
        ("wrong issuer", elsewhere),
        ("the issuer and a slash", slash),
        ("no tenant", claims.clone().without("tenant_id")),
        (
            "a tenant with a line break",
            claims.clone().tenant("acme\r\nx-admin: 1"),
        ),
        (
            "two tenants in the claim",
            claims.clone().with("tenant_id", json!(["acme", "globex"])),
        ),
        (
            "a tenant that nobody knows",
            claims.clone().tenant("nobody"),
        ),
        ("a suspended tenant", claims.clone().tenant("wayne")),
        (
            "an envelope's type",
            claims.clone().typ(Some("cellway-envelope+jwt")),
        ),
        (
            "bound to a certificate that isn't shown",
            claims.clone().with("cnf", json!({"x5t#S256": "AAAA"})),
        ),
        (
            "oversized",
            claims.clone().with("padding", "x".repeat(PADDING_LEN)),
        ),
    ] {
        let token = world.idp.sign(&claims).unwrap();
        table.ask(what, get().bearer(&token)).await;
    }
}

async fn signatures(table: &mut Table<'_>, world: &World, good: &str) {
    let other = world.token_of("globex");
    let [header, payload, signature] = parts(good);
    let [_, other_payload, _] = parts(&other);
    let mut flipped = URL_SAFE_NO_PAD.decode(signature).unwrap();
    flipped[9] ^= 1;
    let flipped = URL_SAFE_NO_PAD.encode(flipped);
    let claims = world.claims();
    let stranger = Signer::from_seed("ed", [66; 32]).unwrap();
    let unknown = Signer::from_seed("unknown", [66; 32]).unwrap();
    for (what, token) in [
        ("unsigned (alg none)", unsigned(&claims)),
        ("signature cut off", format!("{header}.{payload}.")),
        (
            "one bit of the signature",
            format!("{header}.{payload}.{flipped}"),
        ),
        (
            "another tenant's claims",
            format!("{header}.{other_payload}.{signature}"),
        ),
        (
            "signed by a stranger under a known kid",
            claims.sign(&stranger).unwrap(),
        ),
        (
            "signed by a stranger under a kid of its own",
            claims.sign(&unknown).unwrap(),
        ),
        (
            "signed under the other key's kid",
            world.idp.sign(&claims.clone().kid("ed")).unwrap(),
        ),
        ("the stranger's key in the header", own_key(world)),
    ] {
        table.ask(what, get().bearer(&token)).await;
    }
    for (what, secret) in public_keys() {
        let header = with_kid(Algorithm::HS256);
        let token = encode(&header, &plain(world), &EncodingKey::from_secret(&secret));
        table.ask(what, get().bearer(&token.unwrap())).await;
    }
}

/// Ways to bring a credential that don't count, or count twice.
async fn carriers(table: &mut Table<'_>, good: &str) {
    let twice = get().bearer(good).bearer(good);
    table.ask("two Authorization headers", twice).await;
    let second = get().bearer("open-sesame").bearer(good);
    table.ask("a bad one, then a good one", second).await;
    let query = Request::get(&format!("/orders?access_token={good}"));
    table.ask("a good one in the query", query).await;
    let spelled = Request::get(&format!("/orders?a=b&%61ccess%5Ftoken={good}"));
    table.ask("a good one in the query, escaped", spelled).await;
    let both = Request::get("/orders?access_token=open-sesame").bearer(good);
    table.ask("a good one, and one in the query", both).await;
    let other = Request::get("/orders?token=open-sesame").bearer(good);
    table.ask("a good one, and an innocent query", other).await;
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    let mut form = get().header(CONTENT_TYPE, kind);
    form.method = Method::POST;
    form.body = format!("access_token={good}").into();
    table.ask("a good one in a form", form).await;
    for (what, name) in [
        ("a good one as a cookie", "cookie"),
        ("a good one for proxies", "proxy-authorization"),
        ("a good one as forwarded", "x-forwarded-authorization"),
    ] {
        let value = HeaderValue::from_str(&format!("Bearer {good}")).unwrap();
        let request = get().header(name.parse().unwrap(), value);
        table.ask(what, request).await;
    }
}

fn parts(token: &str) -> [&str; 3] {
    let parts: Vec<&str> = token.split('.').collect();
    parts.try_into().expect("three parts")
}

fn with_kid(algorithm: Algorithm) -> Header {
    let mut header = Header::new(algorithm);
    header.kid = Some("ed".to_owned());
    header
}

/// Good claims, for tokens that the lab's signers wouldn't sign.
fn plain(world: &World) -> Value {
    let now = now().as_secs();
    json!({
        "iss": world.idp.issuer(), "aud": AUDIENCE, "iat": now, "exp": now + 600,
        "tenant_id": "acme", "sub": "mallory",
    })
}

/// The forms in which an attacker has the public key that he uses as a secret.
fn public_keys() -> [(&'static str, Vec<u8>); 3] {
    let jwk = Signer::from_seed("ed", ED_SEED).unwrap().jwk();
    let raw = URL_SAFE_NO_PAD.decode(jwk["x"].as_str().unwrap()).unwrap();
    let spki = [&ED25519_SPKI_PREFIX[..], &raw].concat();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(spki)
    );
    [
        ("HS256, the public key's PEM as secret", pem.into_bytes()),
        ("HS256, the public key's bytes as secret", raw),
        (
            "HS256, the public JWK as secret",
            jwk.to_string().into_bytes(),
        ),
    ]
}

/// A token that brings the key to verify it with, and a place to find it.
fn own_key(world: &World) -> String {
    let key = EncodingKey::from_ed_der(Key::from_seed([66; 32]).der().secret_der());
    let mut header = with_kid(Algorithm::EdDSA);
    header.jwk = Some(Jwk::from_encoding_key(&key, Algorithm::EdDSA).unwrap());
    header.jku = Some("https://idp.evil.test/jwks.json".to_owned());
    encode(&header, &plain(world), &key).unwrap()
}
