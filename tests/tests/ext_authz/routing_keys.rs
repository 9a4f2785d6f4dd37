//! Routing keys, asked about in every form.

use cellway_core::routing_key::Signed;
use cellway_testbed::{Credential, Protocol, San, Signer};
use cellway_tests::world::{AUTHORIZER, World, certificate, now};
use http::Method;

use crate::ask::{self, PATH, Verdict};
use crate::{Row, asking, sent};

const GATEWAY: &str = "spiffe://clients.test/gateway";
const KEY: &str = "x-routing-key";
const SIGNATURE: &str = "x-routing-key-signature";
/// Whom Envoy says that the request is for, and what the proxy path reads in `Host`.
const HOST: (&str, &str) = ("host", "shop.example");

fn edge() -> Signer {
    Signer::from_seed("edge", [5; 32]).unwrap()
}

fn config(world: &World) -> String {
    let jwk = edge().jwk();
    let x = jwk["x"].as_str().unwrap();
    let config = world
        .config()
        .replace(r#"["jwt", "mtls"]"#, r#"["jwt", "routing_key"]"#);
    format!(
        r#"{config}{AUTHORIZER}
[routing_key]
gateways = [{{ san = "{GATEWAY}", tenants = "any" }}]

[[routing_key.signer]]
kid = "edge"
jwk = {{ kty = "OKP", crv = "Ed25519", x = "{x}" }}
tenants = ["acme"]
"#
    )
}

fn signature(authority: &str, path: &str, key: &str) -> String {
    let signed = Signed {
        kid: "edge",
        time: now().as_secs(),
        method: &Method::GET,
        authority,
        path,
        key,
    };
    edge().sign_routing_key(&signed).unwrap()
}

fn rows(world: &World) -> Vec<Row> {
    let clients = &world.authorities.clients;
    let named = |name: &str| -> Option<Credential> {
        Some(certificate(clients, vec![San::Uri(name.to_owned())]))
    };
    let good = signature("shop.example", PATH, "acme");
    let elsewhere = signature("other.example", PATH, "acme");
    let other_path = signature("shop.example", "/", "acme");
    let other_tenant = signature("shop.example", PATH, "globex");
    let key = (KEY, "acme");
    let signed = |signature: &str| sent(&[HOST, key, (SIGNATURE, signature)], None);
    vec![
        ("nothing", sent(&[HOST], None)),
        ("spoofed", sent(&[HOST, key], None)),
        ("by a gateway", sent(&[HOST, key], named(GATEWAY))),
        (
            "by a tenant",
            sent(&[HOST, key], named("spiffe://clients.test/tenant/acme")),
        ),
        (
            "a gateway by hearsay",
            sent(
                &[
                    HOST,
                    key,
                    (
                        "x-forwarded-client-cert",
                        "URI=spiffe://clients.test/gateway",
                    ),
                ],
                None,
            ),
        ),
        ("signed", signed(&good)),
        ("signed for another host", signed(&elsewhere)),
        ("signed for another path", signed(&other_path)),
        ("signed for another tenant", signed(&other_tenant)),
        (
            "signed, not its tenant",
            sent(&[HOST, (KEY, "globex"), (SIGNATURE, &other_tenant)], None),
        ),
        (
            "another spelling",
            sent(&[HOST, ("X_Routing_Key", "acme")], named(GATEWAY)),
        ),
    ]
}

/// Catches: a form that takes host or path from elsewhere, a gateway that is believed by a header,
/// and a key or signature that Envoy isn't told to remove.
#[tokio::test]
async fn every_form_believes_the_same_routing_keys() {
    let world = World::up(Signer::from_seed("one", [7; 32]).unwrap()).await;
    world.configure(&config(&world));
    let router = world.router().await;
    let (h1, h2) = (
        asking(&router, Protocol::Http1),
        asking(&router, Protocol::Http2),
    );
    let mut seen = String::new();
    for (what, sent) in rows(&world) {
        let proxied = ask::proxied(&world, &router, &sent).await;
        let line = match &proxied {
            Verdict::Arrives(headers) => {
                let routing = headers.iter().any(|(name, _)| name.contains("routing"));
                assert!(!routing, "{headers:?}");
                let tenant = headers.iter().find(|(name, _)| name == "x-cellway-tenant");
                format!("arrives, tenant {}", tenant.unwrap().1)
            }
            Verdict::Refused(status, headers, _) => {
                let field = |name: &str| {
                    let found = headers.iter().find(|(other, _)| other == name);
                    found.map_or("-", |(_, value)| value).to_owned()
                };
                let (reason, asks) = (field("x-cellway-reason"), field("www-authenticate"));
                format!("{status} {reason} [{asks}]")
            }
        };
        seen.push_str(&format!("{what:26} {line}\n"));
        for raw in [true, false] {
            assert_eq!(ask::grpc(&h2, &sent, raw).await, proxied, "{what}, gRPC");
            assert_eq!(ask::json(&h1, &sent, raw).await, proxied, "{what}, JSON");
        }
        if sent.certificate.is_none() {
            assert_eq!(
                ask::plain(&h1, &sent, ask::PREFIXES[0]).await,
                proxied,
                "{what}, HTTP"
            );
        }
    }
    insta::assert_snapshot!(seen);
}
