//! Routing keys, true and spoofed, over real connections: what the cell gets to see.

use bytes::Bytes;
use cellway_core::routing_key::Signed;
use cellway_testbed::{Credential, Protocol, Request, San, Signer};
use cellway_tests::world::{TENANT_SAN, World, certificate, now};
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method};

use crate::table::Table;

const GATEWAY: &str = "spiffe://clients.test/gateway";
const DNS_GATEWAY: &str = "gw.clients.test";
const PATH: &str = "/orders";
const KEY: &str = "x-routing-key";
const SIGNATURE: &str = "x-routing-key-signature";

fn signer(kid: &str) -> Signer {
    let seed = u8::try_from(kid.len()).unwrap();
    Signer::from_seed(kid, [seed; 32]).unwrap()
}

/// With gateways known by a URI and by a DNS name, and one signer.
pub(crate) fn config(world: &World) -> String {
    let jwk = signer("edge").jwk();
    let x = jwk["x"].as_str().unwrap();
    let config = world
        .config()
        .replace(r#"["jwt", "mtls"]"#, r#"["jwt", "mtls", "routing_key"]"#);
    format!(
        r#"{config}
[routing_key]
gateways = [
    {{ san = "{GATEWAY}", tenants = "any" }},
    {{ san = "{DNS_GATEWAY}", tenants = ["acme"] }},
]

[[routing_key.signer]]
kid = "edge"
jwk = {{ kty = "OKP", crv = "Ed25519", x = "{x}" }}
tenants = "any"
"#
    )
}

/// The signature of a good request, changed.
struct Sign {
    kid: &'static str,
    ahead: i64,
    method: Method,
    authority: String,
    path: &'static str,
    key: &'static str,
}

impl Sign {
    fn header(&self) -> String {
        let signed = Signed {
            kid: self.kid,
            time: now().as_secs().saturating_add_signed(self.ahead),
            method: &self.method,
            authority: &self.authority,
            path: self.path,
            key: self.key,
        };
        signer(self.kid).sign_routing_key(&signed).unwrap()
    }
}

fn good(table: &Table<'_>) -> Sign {
    Sign {
        kid: "edge",
        ahead: 0,
        method: Method::GET,
        authority: table.router.address().to_string(),
        path: PATH,
        key: "acme",
    }
}

fn with(headers: &[(&str, &[u8])]) -> Request {
    let mut request = Request::get(PATH);
    for (name, value) in headers {
        append(&mut request.headers, name, value);
    }
    request
}

fn append(headers: &mut HeaderMap, name: &str, value: &[u8]) {
    let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
    headers.append(name, HeaderValue::from_bytes(value).unwrap());
}

fn signed(signature: &str) -> Request {
    with(&[(KEY, b"acme"), (SIGNATURE, signature.as_bytes())])
}

pub(crate) async fn rows(table: &mut Table<'_>) {
    table.section("from gateways, and from who would be one");
    gateways_by_name(table).await;
    gateways_and_tenants(table).await;
    table.section("the key's form, from a gateway");
    forms(table).await;
    table.section("signed");
    signatures_by_the_key(table).await;
    signatures_and_more(table).await;
    table.section("from anybody");
    spoofed(table).await;
}

/// Certificates whose names are a gateway's, or look like them.
async fn gateways_by_name(table: &mut Table<'_>) {
    let clients = &table.world.authorities.clients;
    let uri = |name: &str| San::Uri(name.to_owned());
    let dns = |name: &str| San::Dns(name.to_owned());
    for (what, names) in [
        ("listed by its URI", vec![uri(GATEWAY)]),
        ("listed by its DNS name", vec![dns(DNS_GATEWAY)]),
        ("in another case", vec![dns("GW.clients.test")]),
        (
            "its URI as a DNS name",
            vec![dns("spiffe.clients.test"), dns("clients.test")],
        ),
        ("its DNS name as a URI", vec![uri(DNS_GATEWAY)]),
        (
            "its DNS name beside a tenant's URI",
            vec![uri(TENANT_SAN), dns(DNS_GATEWAY)],
        ),
        ("two URIs", vec![uri(GATEWAY), uri(TENANT_SAN)]),
        ("a wildcard", vec![dns("*.clients.test")]),
        (
            "a longer path",
            vec![uri("spiffe://clients.test/gateway/2")],
        ),
        ("a longer name", vec![uri("spiffe://clients.test/gateway2")]),
        ("a shorter name", vec![uri("spiffe://clients.test/gatewa")]),
        ("another case", vec![uri("spiffe://clients.test/Gateway")]),
        (
            "another trust domain",
            vec![uri("spiffe://evil.test/gateway")],
        ),
        ("a longer DNS name", vec![dns("gw.clients.test.evil.test")]),
        ("a DNS name under it", vec![dns("a.gw.clients.test")]),
        ("a tenant", vec![uri(TENANT_SAN)]),
        ("no SAN", vec![]),
    ] {
        let shown = certificate(clients, names);
        table
            .both(what, Some(&shown), with(&[(KEY, b"acme")]))
            .await;
    }
}

/// Gateways of another authority, or that ask for another tenant.
async fn gateways_and_tenants(table: &mut Table<'_>) {
    let clients = &table.world.authorities.clients;
    let cells = &table.world.authorities.cells;
    let cells = certificate(cells, vec![San::Uri(GATEWAY.to_owned())]);
    table
        .both(
            "of another authority",
            Some(&cells),
            with(&[(KEY, b"acme")]),
        )
        .await;
    let partner = certificate(clients, vec![San::Dns(DNS_GATEWAY.to_owned())]);
    table
        .both(
            "for a tenant not its own",
            Some(&partner),
            with(&[(KEY, b"globex")]),
        )
        .await;
    let gateway = gateway(table);
    table.both("without a key", Some(&gateway), with(&[])).await;
    let globex = table.world.token_of("globex");
    let both = with(&[(KEY, b"acme")]).bearer(&globex);
    table
        .both("with another tenant's token", Some(&gateway), both)
        .await;
}

fn gateway(table: &Table<'_>) -> Credential {
    let names = vec![San::Uri(GATEWAY.to_owned())];
    certificate(&table.world.authorities.clients, names)
}

async fn forms(table: &mut Table<'_>) {
    let gateway = gateway(table);
    let long = "a".repeat(257);
    for (what, headers) in [
        ("empty", &[(KEY, &b""[..])][..]),
        ("257 bytes", &[(KEY, long.as_bytes())]),
        ("not ASCII", &[(KEY, "caf\u{e9}".as_bytes())]),
        ("bytes that are no text", &[(KEY, &[0xff, 0xfe])]),
        ("a tabulator inside", &[(KEY, b"ac\tme")]),
        ("a list", &[(KEY, b"acme,globex")]),
        ("twice", &[(KEY, b"acme"), (KEY, b"acme")]),
        ("twice, two tenants", &[(KEY, b"acme"), (KEY, b"globex")]),
        ("another case", &[(KEY, b"ACME")]),
        ("an unknown tenant", &[(KEY, b"nobody")]),
        ("a suspended tenant", &[(KEY, b"wayne")]),
        (
            "beside another spelling",
            &[(KEY, b"acme"), ("x_routing_key", b"globex")],
        ),
        ("another spelling alone", &[("x_routing_key", b"acme")]),
        ("an empty signature", &[(KEY, b"acme"), (SIGNATURE, b"")]),
        (
            "a made-up signature",
            &[(KEY, b"acme"), (SIGNATURE, b"v1; kid=edge; t=1; sig=AAAA")],
        ),
    ] {
        table.both(what, Some(&gateway), with(headers)).await;
    }
}

/// Signatures of the gateway's key, for this request and for others.
async fn signatures_by_the_key(table: &mut Table<'_>) {
    let changed = |change: &dyn Fn(&mut Sign)| {
        let mut sign = good(table);
        change(&mut sign);
        signed(&sign.header())
    };
    let other_port = format!("127.0.0.1:{}", table.router.address().port() ^ 1);
    let rows = [
        ("for this request", changed(&|_| ())),
        (
            "for another host",
            changed(&|sign| sign.authority = "evil.test".to_owned()),
        ),
        (
            "for another port",
            changed(&|sign| sign.authority.clone_from(&other_port)),
        ),
        ("for no host", changed(&|sign| sign.authority.clear())),
        (
            "for another method",
            changed(&|sign| sign.method = Method::POST),
        ),
        ("for another path", changed(&|sign| sign.path = "/")),
        (
            "for the path with a query",
            changed(&|sign| sign.path = "/orders?"),
        ),
        ("for another tenant", changed(&|sign| sign.key = "globex")),
        ("by nobody known", changed(&|sign| sign.kid = "nobody")),
        ("an hour ago", changed(&|sign| sign.ahead = -3600)),
        ("in an hour", changed(&|sign| sign.ahead = 3600)),
    ];
    for (what, request) in rows {
        table.ask(what, request).await;
    }
}

/// A signature for this request by a key that isn't the gateway's.
fn forged(table: &Table<'_>) -> Request {
    let sign = good(table);
    let stranger = Signer::from_seed("edge", [66; 32]).unwrap();
    let signature = stranger.sign_routing_key(&Signed {
        kid: sign.kid,
        time: now().as_secs(),
        method: &sign.method,
        authority: &sign.authority,
        path: sign.path,
        key: sign.key,
    });
    signed(&signature.unwrap())
}

/// A good signature, written in other ways or with something beside it.
async fn signatures_and_more(table: &mut Table<'_>) {
    let right = good(table).header();
    let twice = [
        (KEY, &b"acme"[..]),
        (SIGNATURE, right.as_bytes()),
        (SIGNATURE, right.as_bytes()),
    ];
    let globex = table.world.token_of("globex");
    let rows = [
        ("by another key of that kid", forged(table)),
        ("twice", with(&twice)),
        ("without its key", with(&[(SIGNATURE, right.as_bytes())])),
        ("padded", signed(&format!("{right}=="))),
        (
            "with one more parameter",
            signed(&format!("{right}; alg=none")),
        ),
        ("in capitals", signed(&right.to_uppercase())),
        (
            "beside its tenant's token",
            signed(&right).bearer(&table.world.token()),
        ),
        (
            "beside another tenant's token",
            signed(&right).bearer(&globex),
        ),
    ];
    for (what, request) in rows {
        table.ask(what, request).await;
    }
    let tenant = table.world.authorities.acme();
    table
        .both(
            "over its tenant's certificate",
            Some(&tenant),
            signed(&right),
        )
        .await;
    let mut hop = signed(&right);
    append(
        &mut hop.headers,
        "connection",
        b"x-routing-key, x-routing-key-signature",
    );
    table.one("named by Connection", Protocol::Http1, hop).await;
}

async fn spoofed(table: &mut Table<'_>) {
    let token = table.world.token();
    table.ask("alone", with(&[(KEY, b"acme")])).await;
    table
        .ask(
            "beside a good token",
            with(&[(KEY, b"acme")]).bearer(&token),
        )
        .await;
    let mut hop = with(&[(KEY, b"acme")]);
    append(&mut hop.headers, "connection", b"x-routing-key");
    table.one("named by Connection", Protocol::Http1, hop).await;
    let near = [
        ("x_routing_key", &b"globex"[..]),
        ("X-Routing_Key-Signature", b"v1"),
    ];
    table
        .ask("in other spellings", with(&near).bearer(&token))
        .await;
    let mut trailers = Request::get(PATH).bearer(&token);
    trailers.method = Method::POST;
    trailers.body = Bytes::from_static(b"hello");
    for name in [KEY, SIGNATURE, "x_routing_key"] {
        append(&mut trailers.trailers, name, b"globex");
    }
    table.ask("in trailers", trailers).await;
}
