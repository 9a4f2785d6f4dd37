//! The external authorizer decides as the proxy path does, and is closed to everything else.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets something else has found a bug"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests run on tokio alone and spawn what drains"
)]

mod ask;
mod check;
mod explained;
mod hostile;
mod routing_keys;
mod slow_or_untrusted;

use cellway_env::tokio::TokioEnv;
use cellway_testbed::{Client, Credential, Protocol, San, Signer};
use cellway_tests::world::{AUTHORIZER, Authorities, Running, TENANT_SAN, World, certificate, to};

use crate::ask::{Sent, Verdict};

const AUTHORIZATION: &str = "authorization";

/// A world with a router that is asked as well.
async fn world() -> (World, Running) {
    world_with(AUTHORIZER).await
}

/// The same with this listener.
async fn world_with(listener: &str) -> (World, Running) {
    let world = World::up(Signer::from_seed("one", [7; 32]).unwrap()).await;
    let router = world.with(listener).await;
    (world, router)
}

/// A client of the listener `envoy`.
fn asking(router: &Running, protocol: Protocol) -> Client<TokioEnv> {
    to(router.listener("envoy"), protocol, None)
}

fn sent(headers: &[(&'static str, &str)], certificate: Option<Credential>) -> Sent {
    let headers = headers.iter();
    Sent {
        headers: headers
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
        certificate,
        path: ask::PATH,
    }
}

/// What a client sends, with a name.
type Row = (&'static str, Sent);

/// `Authorization` with a good token of this tenant.
fn bearer(world: &World, tenant: &str) -> String {
    format!("Bearer {}", world.token_of(tenant))
}

/// What clients send, each with a name.
fn rows(world: &World) -> Vec<Row> {
    let mut rows = tokens(world);
    rows.extend(certificates(world));
    rows.extend(headers(world));
    rows
}

fn tokens(world: &World) -> Vec<Row> {
    let expired = world.claims().with("exp", 1_000_000);
    let expired = format!("Bearer {}", world.idp.sign(&expired).unwrap());
    let stranger = Signer::from_seed("one", [8; 32]).unwrap();
    let forged = format!("Bearer {}", world.claims().sign(&stranger).unwrap());
    let of = |value: &str| sent(&[(AUTHORIZATION, value)], None);
    vec![
        ("nothing", sent(&[], None)),
        ("a token", of(&bearer(world, "acme"))),
        ("a token of a suspended tenant", of(&bearer(world, "wayne"))),
        ("a token of an unknown tenant", of(&bearer(world, "nobody"))),
        ("an expired token", of(&expired)),
        ("a forged token", of(&forged)),
        ("a token of no form", of("Bearer x.y.z")),
        ("another scheme", of("Basic YTpi")),
    ]
}

fn certificates(world: &World) -> Vec<Row> {
    let clients = &world.authorities.clients;
    let named = |name: &str| Some(certificate(clients, vec![San::Uri(name.to_owned())]));
    let with = |tenant: &str| {
        sent(
            &[(AUTHORIZATION, &bearer(world, tenant))],
            named(TENANT_SAN),
        )
    };
    vec![
        ("a certificate", sent(&[], named(TENANT_SAN))),
        (
            "a certificate of nobody",
            sent(&[], named("spiffe://elsewhere/tenant/acme")),
        ),
        ("a token and its certificate", with("acme")),
        ("a token and another's certificate", with("globex")),
    ]
}

fn headers(world: &World) -> Vec<Row> {
    let acme = bearer(world, "acme");
    let xfcc = "x-forwarded-client-cert";
    let stale = [
        ("x-cellway-tenant", "globex"),
        ("x-cellway-tenant", "initech"),
        ("x-cellway-made-up", "1"),
        ("X_Cellway_Roles", "admin"),
        ("x-routing-key", "globex"),
        ("Cell_Bound_Authorization", "x.y.z"),
        (xfcc, "URI=spiffe://clients.test/tenant/globex"),
        ("accept", "text/html"),
        ("accept", "text/plain"),
        ("cookie", "a=b"),
        (AUTHORIZATION, &acme),
    ];
    let cell_bound = ("cell-bound-authorization", "x.y.z");
    vec![
        (
            "two tokens",
            sent(&[(AUTHORIZATION, &acme), (AUTHORIZATION, &acme)], None),
        ),
        ("stale identity headers", sent(&stale, None)),
        (
            "a cell-bound authorization of no form",
            sent(&[cell_bound, (AUTHORIZATION, &acme)], None),
        ),
        (
            "a certificate in a header only",
            sent(&[(xfcc, "URI=spiffe://clients.test/tenant/acme")], None),
        ),
    ]
}

/// Catches: a form that decides by itself, a stamp or a removal that one path forgets, another
/// status, challenge or page.
#[tokio::test]
async fn every_form_gives_the_same_decision_and_the_same_headers() {
    let (world, router) = world().await;
    let (h1, h2) = (
        asking(&router, Protocol::Http1),
        asking(&router, Protocol::Http2),
    );
    let mut seen = String::new();
    for (what, sent) in rows(&world) {
        let proxied = ask::proxied(&world, &router, &sent).await;
        let line = match &proxied {
            Verdict::Arrives(headers) => {
                let tenant = headers.iter().find(|(name, _)| name == "x-cellway-tenant");
                format!("arrives, tenant {}", tenant.unwrap().1)
            }
            Verdict::Refused(status, headers, _) => {
                let reason = headers.iter().find(|(name, _)| name == "x-cellway-reason");
                format!("{status} {}", reason.unwrap().1)
            }
        };
        seen.push_str(&format!("{what:36} {line}\n"));
        for raw in [true, false] {
            assert_eq!(ask::grpc(&h2, &sent, raw).await, proxied, "{what}, gRPC");
            assert_eq!(ask::json(&h1, &sent, raw).await, proxied, "{what}, JSON");
            assert_eq!(ask::json(&h2, &sent, raw).await, proxied, "{what}, JSON");
        }
        if sent.certificate.is_none() {
            for client in [&h1, &h2] {
                for prefix in ask::PREFIXES {
                    let plain = ask::plain(client, &sent, prefix).await;
                    assert_eq!(plain, proxied, "{what}, HTTP");
                }
                assert_eq!(ask::bare(client, &sent).await, proxied, "{what}, header");
            }
        }
    }
    insta::assert_snapshot!(seen);
}

/// Catches: denials without the client's address, or with the Envoy's address instead.
#[tokio::test]
async fn a_denial_names_the_address_that_the_envoy_says() {
    let (_world, router) = world().await;
    let (h1, h2) = (
        asking(&router, Protocol::Http1),
        asking(&router, Protocol::Http2),
    );
    let nothing = sent(&[], None);
    ask::grpc(&h2, &nothing, true).await;
    ask::json(&h1, &nothing, true).await;
    ask::json(&h1, &nothing, false).await;
    let peers = || {
        let denied = router.events.of("authz_deny").into_iter();
        denied.map(|mut line| line["peer"].take())
    };
    assert_eq!(peers().collect::<Vec<_>>(), ["203.0.113.9:4711"; 3]);
    // The plain form says no address, and none is made up.
    ask::plain(&h1, &nothing, ask::PREFIXES[0]).await;
    assert!(peers().next_back().unwrap().is_null());
    // A check with an address of another kind is not refused.
    let pipe = r#"{"attributes": {"source": {"address": {"pipe": {"path": "/x"}}},
                   "request": {"http": {"method": "GET", "path": "/", "host": "a"}}}}"#;
    let strange = pipe.replace(r#"{"pipe": {"path": "/x"}}"#, "17");
    for question in [pipe.to_owned(), strange] {
        let answer = ask::post(&h1, question).await;
        assert_eq!(answer.headers["content-type"], "application/json");
        assert!(peers().next_back().unwrap().is_null());
    }
    assert_eq!(peers().count(), 6);
}

/// Catches: checks that are counted as requests to a cell, although their end is never reported.
#[tokio::test]
async fn what_an_envoy_forwards_is_not_counted_as_in_flight_here() {
    let (world, router) = world().await;
    let token = format!("Bearer {}", world.token());
    let asked = sent(&[("authorization", &token)], None);
    let h2 = asking(&router, Protocol::Http2);
    for _ in 0..3 {
        let verdict = ask::grpc(&h2, &asked, true).await;
        assert!(matches!(verdict, Verdict::Arrives(_)), "{verdict:?}");
    }
    let page = router.admin("/metrics").await.body;
    let page = String::from_utf8(page.into()).unwrap();
    assert!(page.contains("\ncellway_requests_in_flight 0\n"), "{page}");
}

const RULES: &str = r#"
[[policy.rule]]
path = "/orders"
allow = "verified"

[[policy.rule]]
path = "/admin/**"
roles = ["admin"]

[trust]"#;

/// Catches: a form that holds rules against another method or path than the proxy path does.
#[tokio::test]
async fn rules_decide_alike_in_every_form() {
    let world = World::up(Signer::from_seed("one", [7; 32]).unwrap()).await;
    let config = world.config().replacen("[trust]", RULES, 1);
    world.configure(&format!("{config}{AUTHORIZER}"));
    let router = world.router().await;
    let (h1, h2) = (
        asking(&router, Protocol::Http1),
        asking(&router, Protocol::Http2),
    );
    let acme = bearer(&world, "acme");
    let plain = [(AUTHORIZATION, &*acme)];
    let overridden = [(AUTHORIZATION, &*acme), ("X-HTTP-Method-Override", "PUT")];
    let both = "application/grpc;, application/json";
    let unclear = [(AUTHORIZATION, &*acme), ("Content-Type", both)];
    let mut seen = String::new();
    for (path, headers) in [
        ("/orders?page=2", &plain[..]),
        ("/%6frders", &plain),
        ("/orders/", &plain),
        ("/admin/x", &plain),
        ("/orders/..;/admin", &plain),
        ("/orders/%2e%2e/admin", &plain),
        ("/orders%2fx", &plain),
        ("//orders", &plain),
        ("/orders", &overridden),
        ("/orders", &unclear),
    ] {
        let sent = Sent {
            path,
            ..sent(headers, None)
        };
        let proxied = ask::proxied(&world, &router, &sent).await;
        let said = match &proxied {
            Verdict::Arrives(_) => "arrives".to_owned(),
            Verdict::Refused(status, headers, _) => {
                let reason = headers.iter().find(|(name, _)| name == "x-cellway-reason");
                format!("{status} {}", reason.unwrap().1)
            }
        };
        seen.push_str(&format!(
            "{path:24} {:24} {said}\n",
            headers.last().unwrap().0
        ));
        for raw in [true, false] {
            assert_eq!(ask::grpc(&h2, &sent, raw).await, proxied, "{path}, gRPC");
            assert_eq!(ask::json(&h1, &sent, raw).await, proxied, "{path}, JSON");
        }
        for prefix in ask::PREFIXES {
            let plain = ask::plain(&h1, &sent, prefix).await;
            assert_eq!(plain, proxied, "{path}, HTTP");
            let plain = ask::plain(&h2, &sent, prefix).await;
            assert_eq!(plain, proxied, "{path}, HTTP");
        }
    }
    insta::assert_snapshot!(seen);
}

/// Catches: a form that picks the policy by another path, and a path that falls to the laxer policy.
#[tokio::test]
async fn routes_give_the_same_policy_in_every_form() {
    let world = World::up(Signer::from_seed("one", [7; 32]).unwrap()).await;
    let strict = "[[policy]]\nname = \"strict\"\nall_of = [\"jwt\", \"mtls\"]\n\n[trust]";
    let route = "[[listener.route]]\npath = \"/admin/**\"\npolicy = \"strict\"\n";
    let config = world.config().replacen("[trust]", strict, 1);
    let config = config.replacen("\n[[issuer]]", &format!("\n{route}\n[[issuer]]"), 1);
    world.configure(&format!("{config}{AUTHORIZER}{route}"));
    let router = world.router().await;
    let (h1, h2) = (
        asking(&router, Protocol::Http1),
        asking(&router, Protocol::Http2),
    );
    let acme = bearer(&world, "acme");
    let own = certificate(
        &world.authorities.clients,
        vec![San::Uri(TENANT_SAN.to_owned())],
    );
    let mut seen = String::new();
    for (path, certificate, header) in [
        ("/orders", None, None),
        ("/admin", None, None),
        ("/%61dmin/x", None, None),
        ("/admin/x?y=z", Some(own), None),
        ("/Admin", None, None),
        ("/orders/../admin", None, None),
        ("/orders/%2e%2e/admin", None, None),
        ("//admin", None, None),
        ("/admin;x", None, None),
        ("/orders", None, Some(("X-Original-URL", "/admin"))),
    ] {
        let headers = [(AUTHORIZATION, &*acme)].into_iter().chain(header);
        let sent = Sent {
            path,
            ..sent(&headers.collect::<Vec<_>>(), certificate)
        };
        let proxied = ask::proxied(&world, &router, &sent).await;
        let said = match &proxied {
            Verdict::Arrives(_) => "arrives".to_owned(),
            Verdict::Refused(status, headers, _) => {
                let reason = headers.iter().find(|(name, _)| name == "x-cellway-reason");
                format!("{status} {}", reason.unwrap().1)
            }
        };
        seen.push_str(&format!("{path:24} {said}\n"));
        for raw in [true, false] {
            assert_eq!(ask::grpc(&h2, &sent, raw).await, proxied, "{path}, gRPC");
            assert_eq!(ask::json(&h1, &sent, raw).await, proxied, "{path}, JSON");
        }
        if sent.certificate.is_none() {
            for prefix in ask::PREFIXES {
                let plain = ask::plain(&h1, &sent, prefix).await;
                assert_eq!(plain, proxied, "{path}, HTTP");
            }
        }
    }
    insta::assert_snapshot!(seen);
}

/// An Envoy that has not verified its client's certificate, or by other authorities, says so of
/// anybody. Catches: a description that is believed without a look at the bundle.
#[tokio::test]
async fn a_described_certificate_is_verified_against_the_bundle() {
    let (_world, router) = world().await;
    let client = asking(&router, Protocol::Http2);
    let name = || vec![San::Uri(TENANT_SAN.to_owned())];
    let other = certificate(&Authorities::other("clients", 9), name());
    let Verdict::Refused(status, headers, _) =
        ask::grpc(&client, &sent(&[], Some(other)), true).await
    else {
        panic!("a stranger's certificate passed");
    };
    assert_eq!(status, 401);
    let reason = ("x-cellway-reason", "certificate_untrusted");
    assert!(headers.contains(&(reason.0.to_owned(), reason.1.to_owned())));
}

/// Catches: a status made of the reason where the policy has chosen another.
#[tokio::test]
async fn a_policy_chooses_the_status_of_unreachable_keys_in_every_form() {
    let world = World::down(Signer::from_seed("one", [7; 32]).unwrap()).await;
    let config = world
        .config()
        .replace("keys = {", "keys = { wait_max_ms = 200,")
        .replace("any_of =", "jwks_unreachable_status = 401\nany_of =");
    world.configure(&format!("{config}{AUTHORIZER}"));
    let router = world.boot().await;
    let sent = sent(&[(AUTHORIZATION, &bearer(&world, "acme"))], None);

    let proxied = ask::proxied(&world, &router, &sent).await;
    assert!(matches!(proxied, Verdict::Refused(401, ..)), "{proxied:?}");
    let (h1, h2) = (
        asking(&router, Protocol::Http1),
        asking(&router, Protocol::Http2),
    );
    assert_eq!(ask::grpc(&h2, &sent, true).await, proxied);
    assert_eq!(ask::json(&h1, &sent, true).await, proxied);
    assert_eq!(ask::plain(&h1, &sent, ask::PREFIXES[0]).await, proxied);
}
