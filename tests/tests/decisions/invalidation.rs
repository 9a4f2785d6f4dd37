//! Every way to invalidate a remembered token. None waits for real time.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cellway_core::{Decision, Now, Outcome, Unix};
use cellway_tests::decide::{
    Core, EPOCH, Request, Sources, at, certificate, claims, current_jwks, jwks, sign, signer,
};
use serde_json::json;

use crate::spiffe;

const CONFIG: &str = r#"
    [[issuer]]
    name = "main"
    issuer = "https://idp.example"
    audience = "cellway"
    algorithms = ["EdDSA"]
    types = ["JWT"]
    claims = { tier = "tier", roles = "roles", scopes = "scope" }

    [[policy]]
    name = "default"
    any_of = ["jwt", "mtls"]
    issuers = ["main"]

    [[policy.rule]]
    path = "/orders/**"
    roles = ["editor"]
    scopes = ["orders"]

    [trust]
    bundle = "clients.pem"
    trust_domains = ["example"]
    san = ["spiffe://{trust_domain}/tenant/{tenant}"]
"#;

/// A second issuer, for the places of the first one.
const OTHER_ISSUER: &str = r#"
    [[issuer]]
    name = "other"
    issuer = "https://other.example"
    audience = "cellway"
    algorithms = ["EdDSA"]
    tenants = ["acme"]
"#;

/// A registry in which acme has these terms, and these are revoked.
fn registry(version: u64, acme: &str, revoked: &str) -> String {
    format!(
        r#"{{"version": {version}, "revocations": [{revoked}], "cells": [
            {{"id": "a", "tier": "free", "region": "eu", "state": "active",
              "endpoints": [{{"url": "https://a.internal:443"}}]}},
            {{"id": "g", "tier": "gold", "region": "eu", "state": "active",
              "endpoints": [{{"url": "https://g.internal:443"}}]}}],
          "tenants": [{acme}, {{"id": "globex", "cell": "a"}},
            {{"id": "initech", "cell": "a"}}, {{"id": "umbrella", "cell": "a"}},
            {{"id": "wayne", "cell": "a"}}]}}"#
    )
}

const ACME: &str = r#"{"id": "acme", "cell": "a", "allowed_roles": ["editor"]}"#;

fn world() -> Core {
    let sources = Sources::of(registry(1, ACME, ""));
    Core::new(CONFIG, sources)
}

/// Good for a week, but for what the test does to it.
fn long_lived() -> cellway_testbed::Claims {
    let claims = claims("acme").with("exp", EPOCH.as_secs() + 7 * 86_400);
    let claims = claims.with("jti", "t-1").with("tier", "free");
    claims.with("roles", "editor").with("scope", "orders other")
}

fn shows(claims: &cellway_testbed::Claims) -> Request {
    let request = Request::to("default").bearer(&sign(claims));
    request.asks("GET", "/orders/7")
}

/// What is done to the world, and to the request, between a good decision and the next.
struct Invalidation {
    how: &'static str,
    /// When the token is shown again, in seconds.
    secs: u64,
    change: Change,
}

type Change = Box<dyn Fn(&mut Core, Now)>;

fn invalidation(
    how: &'static str,
    secs: u64,
    change: impl Fn(&mut Core, Now) + 'static,
) -> Invalidation {
    let change = Box::new(change);
    Invalidation { how, secs, change }
}

/// The next version of the registry.
fn says(how: &'static str, acme: &'static str) -> Invalidation {
    invalidation(how, 10, move |core, now| {
        core.sources.registry = Some(registry(2, acme, ""));
        core.refresh(now);
    })
}

fn revokes(how: &'static str, entry: &'static str) -> Invalidation {
    invalidation(how, 10, move |core, now| {
        core.sources.registry = Some(registry(2, ACME, entry));
        core.refresh(now);
    })
}

/// The configuration with another text in place of one.
fn configures(how: &'static str, old: &'static str, new: &'static str) -> Invalidation {
    assert!(CONFIG.contains(old), "{how}: changes nothing");
    invalidation(how, 10, move |core, now| {
        core.reload(&CONFIG.replacen(old, new, 1), now);
    })
}

fn by_time_and_sources() -> Vec<Invalidation> {
    vec![
        invalidation("nothing happens", 10, |_, _| ()),
        invalidation("it expires", 7 * 86_400, |core, now| core.run_until(now)),
        invalidation("its key is withdrawn", 1_200, |core, now| {
            core.sources.jwks = Some(jwks(&[&signer("next")]));
            core.run_until(now);
        }),
        invalidation("another key takes its key's name", 1_200, |core, now| {
            let other = signer("other").jwk().to_string();
            let renamed = other.replace("\"other\"", "\"current\"");
            core.sources.jwks = Some(format!(r#"{{"keys": [{renamed}]}}"#));
            core.run_until(now);
        }),
        invalidation("the issuer's keys expire", 2 * 86_400, |core, now| {
            core.sources.jwks = None;
            core.run_until(now);
        }),
        invalidation("the registry gets too old", 1_000, |core, now| {
            core.sources.registry = None;
            core.run_until(now);
        }),
    ]
}

fn by_configuration() -> Vec<Invalidation> {
    let issuer = "[[issuer]]\n    name = \"main\"";
    vec![
        configures(
            "another audience",
            "audience = \"cellway\"",
            "audience = \"new\"",
        ),
        configures(
            "another issuer",
            "https://idp.example",
            "https://new.example",
        ),
        configures("no such algorithm", "[\"EdDSA\"]", "[\"ES256\"]"),
        configures("no such type", "[\"JWT\"]", "[\"at+jwt\"]"),
        configures(
            "another claim for the tenant",
            "{ tier",
            "{ tenant = \"org\", tier",
        ),
        configures("a certificate beside it", "any_of", "all_of"),
        configures(
            "certificates alone",
            "[\"jwt\", \"mtls\"]\n    issuers = [\"main\"]\n",
            "[\"mtls\"]\n",
        ),
        invalidation("the policy takes another issuer's", 10, move |core, now| {
            let config = CONFIG.replacen("issuers = [\"main\"]", "issuers = [\"other\"]", 1);
            let config = config.replacen(
                issuer,
                "[[issuer]]\n tenants = [\"acme\"]\n name = \"main\"",
                1,
            );
            // Some issuer of the policy must say where scopes are.
            let other =
                OTHER_ISSUER.replacen("tenants", "claims = { scopes = \"scope\" }\ntenants", 1);
            core.reload(&format!("{other}{config}"), now);
        }),
        invalidation("the issuer speaks for others", 10, move |core, now| {
            let bound = "[[issuer]]\n tenants = [\"globex\"]\n name = \"main\"";
            core.reload(&CONFIG.replacen(issuer, bound, 1), now);
        }),
        configures("the rule wants another role", "[\"editor\"]", "[\"admin\"]"),
        configures(
            "the rule wants another scope",
            "[\"orders\"]",
            "[\"orders\", \"more\"]",
        ),
        configures("the rule is for another path", "/orders/**", "/reports/**"),
    ]
}

fn by_registry() -> Vec<Invalidation> {
    vec![
        says(
            "the tenant is suspended",
            r#"{"id": "acme", "cell": "a", "allowed_roles": ["editor"], "status": "suspended"}"#,
        ),
        says("the tenant is gone", r#"{"id": "hooli", "cell": "a"}"#),
        says(
            "the tenant is bound to another issuer",
            r#"{"id": "acme", "cell": "a", "allowed_roles": ["editor"], "issuer": "other"}"#,
        ),
        says(
            "the tenant has another tier",
            r#"{"id": "acme", "cell": "g", "allowed_roles": ["editor"]}"#,
        ),
        says(
            "the tenant allows other roles",
            r#"{"id": "acme", "cell": "a", "allowed_roles": ["viewer"]}"#,
        ),
        revokes("revoked: the token", r#"{"jti": "t-1", "issuer": "main"}"#),
        revokes(
            "revoked: the subject of the tenant",
            r#"{"sub": "ada", "tenant": "acme"}"#,
        ),
        revokes(
            "revoked: the subject of the issuer",
            r#"{"sub": "ada", "issuer": "main"}"#,
        ),
        revokes("revoked: the tenant", r#"{"tenant": "acme"}"#),
        revokes(
            "revoked: the subject's older ones",
            r#"{"sub": "ada", "tenant": "acme", "issued_before": 1800000001}"#,
        ),
        revokes(
            "revoked: the issuer's older ones",
            r#"{"issuer": "main", "issued_before": 1800000001}"#,
        ),
        revokes(
            "revoked: all older ones",
            r#"{"issued_before": 1800000001}"#,
        ),
        revokes(
            "revoked: those older than it",
            r#"{"issued_before": 1800000000}"#,
        ),
    ]
}

/// What came of the request, and how far what is remembered went.
fn line(outcome: &Outcome, remembered: bool) -> String {
    let remembered = if remembered { "remembered" } else { "anew" };
    match outcome {
        Outcome::Done(Decision::Allow(allow)) => {
            format!("{remembered:10} allow {}", allow.reason)
        }
        Outcome::Done(Decision::Deny(deny)) => {
            let status = deny.class.status().map_or(0, |status| status.as_u16());
            format!("{remembered:10} {status} {}: {}", deny.reason, deny.detail)
        }
        Outcome::Wait(_) => panic!("a request that has waited is told to wait again"),
    }
}

/// Shows the request until it is remembered.
fn warm(core: &mut Core, request: &Request) {
    for remembered in [false, true] {
        let (outcome, steps) = core.both_ways(request, at(5), true);
        assert!(
            matches!(outcome, Outcome::Done(Decision::Allow(_))),
            "{steps}"
        );
        assert_eq!(is_remembered(&steps), remembered, "{steps}");
    }
}

fn is_remembered(steps: &cellway_core::Steps) -> bool {
    steps.0.iter().any(|step| step.check == "token.memo")
}

#[test]
fn every_way_to_invalidate_a_remembered_token() {
    let request = shows(&long_lived());
    let mut page = String::new();
    for (title, invalidations) in [
        ("time and sources", by_time_and_sources()),
        ("configuration", by_configuration()),
        ("registry", by_registry()),
    ] {
        writeln!(page, "-- {title}").unwrap();
        for Invalidation { how, secs, change } in invalidations {
            let mut core = world();
            warm(&mut core, &request);
            change(&mut core, at(secs));
            let (outcome, steps) = core.both_ways(&request, at(secs), true);
            writeln!(page, "{how:38} {}", line(&outcome, is_remembered(&steps))).unwrap();
        }
    }
    writeln!(page, "-- connection and clock").unwrap();
    let mut say = |how: &str, core: &mut Core, request: &Request, now: Now| {
        let (outcome, steps) = core.both_ways(request, now, true);
        writeln!(page, "{how:38} {}", line(&outcome, is_remembered(&steps))).unwrap();
    };
    let mut core = world();
    warm(&mut core, &request);
    let early = Now {
        unix: Unix::from_secs(EPOCH.as_secs() - 60),
        ..at(10)
    };
    say("the clock goes back", &mut core, &request, early);

    let own = [spiffe("acme")];
    let thumbprint = URL_SAFE_NO_PAD.encode(certificate(&own).thumbprint());
    let bound = shows(&long_lived().with("cnf", json!({ "x5t#S256": thumbprint })));
    warm(&mut core, &bound.clone().certificate(&own));
    let other = [
        spiffe("acme"),
        cellway_testbed::San::Dns("other.example".into()),
    ];
    say(
        "bound, over its own certificate",
        &mut core,
        &bound.clone().certificate(&own),
        at(10),
    );
    say(
        "bound, over another certificate",
        &mut core,
        &bound.clone().certificate(&other),
        at(10),
    );
    say("bound, without a certificate", &mut core, &bound, at(10));
    say(
        "bound, and the certificate ends",
        &mut core,
        &bound.certificate(&own),
        at(7_200),
    );
    insta::assert_snapshot!(page);
}

/// A few numbers of a seed; their quality matters little.
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % count
    }
}

/// Callers with long-lived and ordinary tokens, certificates, both, and nothing.
fn all_callers() -> [Request; 8] {
    let own = [spiffe("acme")];
    [
        shows(&long_lived()),
        shows(
            &long_lived()
                .with("jti", "t-2")
                .with("iat", EPOCH.as_secs() + 4),
        ),
        shows(&long_lived().with("scope", "other")),
        shows(
            &claims("acme")
                .with("roles", "editor")
                .with("scope", "orders"),
        ),
        shows(
            &claims("globex")
                .with("roles", "editor")
                .with("scope", "orders"),
        ),
        shows(&long_lived()).certificate(&own),
        Request::to("default")
            .certificate(&own)
            .asks("GET", "/orders"),
        Request::to("default"),
    ]
}

/// Whatever happens and in whatever order, remembered tokens change no decision.
#[test]
fn decisions_are_the_same_with_and_without_what_is_remembered() {
    let requests = all_callers();
    let mut remembered = 0;
    for seed in 0..12 {
        let mut dice = Dice(seed);
        let (mut core, mut secs) = (world(), 5);
        for version in 2..40 {
            let invalidations = match dice.below(3) {
                0 => by_time_and_sources(),
                1 => by_configuration(),
                _ => by_registry(),
            };
            secs += [1, 1, 1, 400, 20_000][dice.below(5)];
            let at = at(secs);
            core.run_until(at);
            let invalidation = &invalidations[dice.below(invalidations.len())];
            match dice.below(3) {
                0 => (invalidation.change)(&mut core, at),
                // All is well again.
                1 => {
                    core.sources.jwks = Some(current_jwks());
                    core.sources.registry = Some(registry(version * 10, ACME, ""));
                    core.reload(CONFIG, at);
                    core.refresh(at);
                }
                _ => {}
            }
            for _ in 0..6 {
                let request = &requests[dice.below(requests.len())];
                let (_, steps) = core.both_ways(request, at, dice.below(2) == 0);
                remembered += usize::from(is_remembered(&steps));
            }
        }
    }
    assert!(
        remembered > 1_000,
        "{remembered}: the memo was hardly asked"
    );
}
