//! `explain` shows each check and the first that failed: one explanation for each reason that has
//! to do with who is calling. (Routing keys and cell-bound authorizations have tables of their own,
//! in which every denial is held to the same rule.)
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]

use std::collections::BTreeSet;
use std::fmt::Write;

use cellway_core::cert::PeerCertificate;
use cellway_core::{Class, Decision, Reason};
use cellway_testbed::{Claims, San, unsigned};
use cellway_tests::decide::{Core, Request, Sources, at, claims, current_jwks, sign, signer};
use serde_json::json;

const CONFIG: &str = r#"
    [[issuer]]
    name = "main"
    issuer = "https://idp.example"
    audience = "cellway"
    claims = { tenants = "tenants", tier = "tier", roles = "roles" }

    [[policy]]
    name = "token"
    any_of = ["jwt"]

    [[policy]]
    name = "any"
    any_of = ["jwt", "mtls"]

    [[policy]]
    name = "certificate"
    any_of = ["mtls"]

    [[policy]]
    name = "ruled"
    any_of = ["jwt"]

    [[policy.rule]]
    path = "/admin/**"
    roles = ["admin"]

    [trust]
    bundle = "clients.pem"
    trust_domains = ["example"]
    san = ["spiffe://{trust_domain}/tenant/{tenant}"]
"#;

const REGISTRY: &str = r#"{
    "version": 1,
    "cells": [{"id": "a", "tier": "standard", "region": "eu", "state": "active",
               "endpoints": [{"url": "https://a.internal:443"}]}],
    "tenants": [
        {"id": "acme", "cell": "a"},
        {"id": "hooli", "cell": "a", "status": "suspended"},
        {"id": "elsewhere", "cell": "a", "issuer": "another"}
    ],
    "revocations": [{"jti": "gone", "issuer": "main"}]
}"#;

/// Reasons that have to do with who is calling, and that no decision of the core has: the handshake's
/// verifier and the driver find them before the core is asked.
const OF_THE_DRIVER: [Reason; 3] = [
    Reason::CertificateRevoked,
    Reason::CertificateUntrusted,
    Reason::RevocationUnknown,
];

/// Reasons with tables of their own.
fn has_a_table(reason: Reason) -> bool {
    let name = reason.as_str();
    name.starts_with("cba_") || name.contains("routing_key")
}

fn core(jwks: Option<String>, registry: Option<&str>) -> Core {
    let registry = registry.map(str::to_owned);
    Core::new(CONFIG, Sources { jwks, registry })
}

fn bearer(claims: &Claims) -> Request {
    Request::to("token").bearer(&sign(claims))
}

fn san(path: &str) -> Vec<San> {
    vec![San::Uri(format!("spiffe://example/{path}"))]
}

/// A leaf that its extensions say is something else.
fn odd(change: impl FnOnce(&mut rcgen::CertificateParams)) -> PeerCertificate {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    let name = "spiffe://example/tenant/acme".try_into().unwrap();
    params.subject_alt_names = vec![rcgen::SanType::URI(name)];
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2036, 1, 1);
    change(&mut params);
    let key = rcgen::KeyPair::generate().unwrap();
    PeerCertificate::from_der(params.self_signed(&key).unwrap().der()).unwrap()
}

/// Requests that the one core refuses, some seconds after the beginning.
fn refused() -> Vec<(u64, Request)> {
    let acme = claims("acme");
    let other_signer = acme
        .clone()
        .kid("current")
        .sign(&signer("stranger"))
        .unwrap();
    let authority = odd(|params| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    let usage = odd(|params| params.key_usages = vec![rcgen::KeyUsagePurpose::KeyEncipherment]);
    let bound = json!({"x5t#S256": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"});
    let tenants = json!(["acme", "hooli"]);
    let certified = || Request::to("any").certificate(&san("tenant/hooli"));
    vec![
        (10, Request::to("token")),
        (10, Request::to("token").bearer("open-sesame")),
        (10, Request::to("token").bearer(&other_signer)),
        (400, bearer(&acme)),
        (10, bearer(&acme.clone().with("nbf", 1_800_000_100))),
        (
            10,
            bearer(&acme.clone().with("iss", "https://other.example")),
        ),
        (10, bearer(&acme.clone().with("aud", "other"))),
        (10, bearer(&acme.clone().kid("unknown"))),
        (10, Request::to("token").bearer(&unsigned(&acme))),
        (10, bearer(&acme.clone().without("tenant_id"))),
        (10, bearer(&acme.clone().with("cnf", bound))),
        (10, bearer(&acme).header("authorization", "Bearer other")),
        (10, bearer(&acme.clone().with("jti", "gone"))),
        (10, Request::to("certificate")),
        (
            10,
            Request::to("certificate").certificate(&san("service/x")),
        ),
        (
            4_000,
            Request::to("certificate").certificate(&san("tenant/acme")),
        ),
        (10, Request::to("certificate").shows(authority)),
        (10, Request::to("certificate").shows(usage)),
        (10, certified().bearer(&sign(&acme))),
        (
            10,
            bearer(&acme.clone().without("tenant_id").with("tenants", tenants)),
        ),
        (10, bearer(&claims("hooli"))),
        (10, bearer(&claims("nobody"))),
        (10, bearer(&claims("elsewhere"))),
        (
            10,
            Request::to("ruled")
                .bearer(&sign(&acme))
                .asks("GET", "/admin/x"),
        ),
    ]
}

struct Page {
    text: String,
    seen: BTreeSet<Reason>,
}

impl Page {
    fn add(&mut self, core: &mut Core, secs: u64, request: &Request) {
        let (decision, steps) = core.decide(request, at(secs));
        let Decision::Deny(deny) = decision else {
            panic!("allowed: {request:?}\n{steps}");
        };
        self.seen.insert(deny.reason);
        let status = deny.class.status().map_or(0, |status| status.as_u16());
        writeln!(
            self.text,
            "{} ({status}): {}\n{steps}",
            deny.reason, deny.detail
        )
        .unwrap();
    }
}

#[test]
fn each_reason_has_an_explanation_that_ends_with_the_check_that_failed() {
    let keys = Some(current_jwks());
    let mut page = Page {
        text: String::new(),
        seen: BTreeSet::new(),
    };
    let mut whole = core(keys.clone(), Some(REGISTRY));
    for (secs, request) in refused() {
        page.add(&mut whole, secs, &request);
    }
    let acme = bearer(&claims("acme"));
    page.add(&mut core(None, Some(REGISTRY)), 10, &acme);
    page.add(&mut core(keys.clone(), None), 10, &acme);
    // Nothing has been heard of the tenant for longer than is believed.
    let lasting = bearer(&claims("acme").with("exp", 1_800_009_000));
    page.add(&mut core(keys, Some(REGISTRY)), 2_000, &lasting);
    insta::assert_snapshot!("explained", page.text);

    let of_identity = Reason::ALL.iter().copied().filter(|reason| {
        let caller = matches!(reason.class(), Class::Unauthenticated | Class::Forbidden);
        let late = [
            Reason::JwksUnreachable,
            Reason::RegistryNeverLoaded,
            Reason::TenantStatusExpired,
        ];
        caller && !has_a_table(*reason) && !OF_THE_DRIVER.contains(reason) || late.contains(reason)
    });
    let missing: Vec<_> = of_identity.filter(|r| !page.seen.contains(r)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
