//! Rate limits of tenants, placements and routes.

use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use cellway_core::path::PathPattern;
use cellway_core::rate_limit::{RateLimit, RateLimitSpec};
use cellway_env::tokio::TokioEnv;
use cellway_router::settings::{
    Callers, ListenerRoute, ListenerSettings, RateRule, RateScope, RouterSettings, Serves,
    TrafficSettings,
};
use cellway_testbed::{Answer, Ca, Client, EchoCell, Protocol, Request, ServerTls};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::world::{
    World, ask_authorizer, ca, cell, described, issue, permissive_policy, plain_endpoint, reason,
    secure, start, uri,
};

/// So few requests in an hour that no test sees one come back.
fn hourly(burst: u32) -> RateLimit {
    RateLimit::new(RateLimitSpec {
        requests: burst,
        window_secs: Some(3600),
        burst: None,
    })
    .unwrap()
}

fn rule(per: RateScope, burst: u32) -> RateRule {
    RateRule {
        per,
        limit: hourly(burst),
        always: false,
    }
}

fn traffic(name: &str, rates: &[RateRule]) -> Arc<TrafficSettings> {
    Arc::new(TrafficSettings {
        name: name.into(),
        rates: rates.to_vec(),
        ..TrafficSettings::default()
    })
}

/// A registry with one cell and the placements `public` and `shared`. `limits` of the tenant `acme`
/// and of `shared`.
fn document(port: u16, version: u64, acme: &Value, shared: &Value) -> Bytes {
    let mut document = json!({
        "version": version,
        "cells": [{"id": "a", "tier": "t", "region": "r", "state": "active",
                   "endpoints": plain_endpoint("http", port)}],
        "tenants": [{"id": "acme", "placement": "shared"}, {"id": "quiet", "placement": "shared"},
                    {"id": "own", "cell": "a"}],
        "placements": [{"id": "public", "tier": "t", "cells": ["a"]},
                       {"id": "shared", "tier": "t", "cells": ["a"]}],
    });
    for (limits, at) in [(acme, "/tenants/0"), (shared, "/placements/1")] {
        if !limits.is_null() {
            document.pointer_mut(at).unwrap()["limits"] = json!({"rate": limits});
        }
    }
    document.to_string().into()
}

/// A router that asks for clients' certificates, and its cell.
struct Setup {
    world: World,
    cell: EchoCell,
    clients: Ca,
}

async fn set_up(acme: Value, shared: Value, change: impl FnOnce(&mut RouterSettings)) -> Setup {
    let clients = ca(1);
    let (cell, port) = cell("a", ServerTls::plain()).await;
    let registry = document(port, 1, &acme, &shared);
    let mut settings = secure(registry, &clients, &ca(2));
    change(&mut settings);
    let world = start(settings).await;
    Setup {
        world,
        cell,
        clients,
    }
}

impl Setup {
    fn client(&self, tenant: &str) -> Client<TokioEnv> {
        let san = uri(&format!("spiffe://corp.example/tenant/{tenant}"));
        let credential = issue(&self.clients, san);
        (self.world).secure_client(Protocol::Http2, &self.clients, Some(&credential))
    }

    /// Sends this many requests, and returns how many were served before the first that was refused
    /// for its rate.
    async fn served(&self, tenant: &str, path: &str, count: usize) -> usize {
        let client = self.client(tenant);
        for served in 0..count {
            let answer = client.send(Request::get(path)).await.unwrap();
            if answer.status != StatusCode::OK {
                assert_eq!(reason(&answer), "rate_limited");
                return served;
            }
        }
        count
    }
}

fn field<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers[name].to_str().unwrap()
}

#[tokio::test]
async fn a_tenant_over_its_limit_gets_429_and_the_others_are_served() {
    let setup = set_up(Value::Null, Value::Null, |settings| {
        let rates = [rule(RateScope::Tenant, 3)];
        settings.listeners[0].traffic = traffic("default", &rates);
    })
    .await;
    assert_eq!(setup.served("acme", "/", 3).await, 3);
    let acme = setup.client("acme");
    let answer = acme.send(Request::get("/")).await.unwrap();
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reason(&answer), "rate_limited");
    let wait: u64 = field(&answer, "retry-after").parse().unwrap();
    assert!((1100..=1200).contains(&wait), "{wait}");
    assert_eq!(field(&answer, "ratelimit-policy"), "\"tenant\";q=3;w=3600");
    let state = field(&answer, "ratelimit");
    let reset = state.strip_prefix("\"tenant\";r=0;t=").unwrap();
    assert!((3500..=3600).contains(&reset.parse::<u64>().unwrap()));
    assert_eq!(setup.served("quiet", "/", 3).await, 3);
    assert_eq!(
        setup.cell.arrivals(),
        6,
        "the cell sees nothing of what is refused"
    );
    setup.world.events.line("rate limited tenant").await;
}

#[tokio::test]
async fn a_grpc_client_gets_resource_exhausted() {
    let setup = set_up(Value::Null, Value::Null, |settings| {
        let rates = [rule(RateScope::Tenant, 1)];
        settings.listeners[0].traffic = traffic("default", &rates);
    })
    .await;
    assert_eq!(setup.served("acme", "/", 1).await, 1);
    let call = Request {
        headers: HeaderMap::from_iter([(
            CONTENT_TYPE,
            HeaderValue::from_static("application/grpc"),
        )]),
        ..Request::get("/svc/Method")
    };
    let answer = setup.client("acme").send(call).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(field(&answer, "grpc-status"), "8");
    assert_eq!(field(&answer, "grpc-message"), "rate_limited");
    assert_eq!(field(&answer, "ratelimit-policy"), "\"tenant\";q=1;w=3600");
}

/// Catches: the default that also binds a tenant with a limit of its own, or a route's own limit
/// that such a tenant may ignore.
#[tokio::test]
async fn the_registrys_limit_of_a_tenant_replaces_the_default_and_not_what_is_for_always() {
    let limit = json!({"requests": 5, "window_secs": 3600});
    let setup = set_up(limit, Value::Null, |settings| {
        let listener = &mut settings.listeners[0];
        listener.traffic = traffic("default", &[rule(RateScope::Tenant, 2)]);
        let always = RateRule {
            always: true,
            ..rule(RateScope::Tenant, 1)
        };
        listener.routes = vec![ListenerRoute {
            path: PathPattern::new("/login").unwrap(),
            policy: listener.policy,
            traffic: traffic("login", &[always]),
        }];
    })
    .await;
    assert_eq!(setup.served("quiet", "/", 9).await, 2);
    assert_eq!(setup.served("acme", "/login", 9).await, 1);
    // The request to /login took one of the five.
    assert_eq!(setup.served("acme", "/", 9).await, 4);
    assert_eq!(setup.served("acme", "/login", 9).await, 0);
}

#[tokio::test]
async fn a_placements_limit_is_for_all_its_tenants_together() {
    let limit = json!({"requests": 4, "window_secs": 3600});
    let setup = set_up(Value::Null, limit, |settings| {
        let rates = [rule(RateScope::Tenant, 3), rule(RateScope::Placement, 1)];
        settings.listeners[0].traffic = traffic("default", &rates);
    })
    .await;
    // What the tenant's own limit refuses takes nothing from the placement.
    assert_eq!(setup.served("acme", "/", 9).await, 3);
    assert_eq!(setup.served("acme", "/", 9).await, 0);
    assert_eq!(setup.served("quiet", "/", 9).await, 1);
    setup.world.events.line("rate limited placement").await;
    // A tenant with a cell of its own has no placement.
    assert_eq!(setup.served("own", "/", 9).await, 3);
}

#[tokio::test]
async fn a_routes_limit_is_for_everybody_and_for_this_route_only() {
    let setup = set_up(Value::Null, Value::Null, |settings| {
        let listener = &mut settings.listeners[0];
        listener.routes = vec![ListenerRoute {
            path: PathPattern::new("/search").unwrap(),
            policy: listener.policy,
            traffic: traffic("search", &[rule(RateScope::Route, 3)]),
        }];
    })
    .await;
    assert_eq!(setup.served("acme", "/search", 2).await, 2);
    assert_eq!(setup.served("quiet", "/search", 9).await, 1);
    assert_eq!(setup.served("quiet", "/", 9).await, 9);
    setup.world.events.line("rate limited route").await;
}

/// Catches: a flood without the tenant's credentials that uses up the tenant's requests.
#[tokio::test]
async fn who_is_not_verified_takes_nothing_from_a_tenant() {
    let setup = set_up(Value::Null, Value::Null, |settings| {
        let rates = [rule(RateScope::Tenant, 2)];
        settings.policy = permissive_policy();
        settings.listeners[0].traffic = traffic("default", &rates);
    })
    .await;
    let stranger = setup
        .world
        .secure_client(Protocol::Http2, &setup.clients, None);
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(stranger.send(Request::get("/")).await.unwrap().status);
    }
    // All anonymous requests count as one tenant.
    let [ok, refused] = [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS];
    assert_eq!(answers, [ok, ok, refused, refused]);
    assert_eq!(setup.served("acme", "/", 9).await, 2);
    let unknown = setup
        .client("nobody")
        .send(Request::get("/"))
        .await
        .unwrap();
    assert_eq!(
        reason(&unknown),
        "tenant_unknown",
        "denied before it is counted"
    );
}

/// Catches: a reload after which a tenant may send all its requests again.
#[tokio::test]
async fn a_reload_that_changes_a_limit_refills_no_bucket() {
    let mut settings = None;
    let setup = set_up(Value::Null, Value::Null, |used| {
        used.listeners[0].traffic = traffic("default", &[rule(RateScope::Tenant, 4)]);
        settings = Some(used.clone());
    })
    .await;
    let mut settings = settings.unwrap();
    assert_eq!(setup.served("acme", "/", 9).await, 4);
    for requests in [3, 8, 4] {
        settings.listeners[0].traffic = traffic("default", &[rule(RateScope::Tenant, requests)]);
        setup.world.handle.apply(settings.clone()).await.unwrap();
        assert_eq!(setup.served("acme", "/", 9).await, 0, "{requests}");
    }
    assert_eq!(setup.served("quiet", "/", 9).await, 4);
}

#[tokio::test]
async fn answers_say_what_is_left_if_the_settings_ask_for_it() {
    let setup = set_up(Value::Null, Value::Null, |settings| {
        let rates = [rule(RateScope::Tenant, 9), rule(RateScope::Route, 4)];
        settings.listeners[0].traffic = Arc::new(TrafficSettings {
            rate_fields: true,
            ..TrafficSettings::clone(&traffic("default", &rates))
        });
        settings.rate_limits.shared_by = NonZeroU32::new(2).unwrap();
    })
    .await;
    let answer = setup.client("acme").send(Request::get("/")).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    // The route's limit is nearer. It is 4 for two routers, so this one has 2.
    assert_eq!(field(&answer, "ratelimit-policy"), "\"route\";q=4;w=3600");
    assert_eq!(field(&answer, "ratelimit"), "\"route\";r=1;t=1800");
    assert_eq!(setup.served("acme", "/", 9).await, 1);
}

/// Asks about a request of this tenant, as an Envoy does that reads the status.
async fn asked(setup: &Setup, tenant: &str) -> Answer {
    let certificate = described(&setup.clients, tenant);
    let question = json!({"attributes": {
        "source": {"certificate": certificate},
        "request": {"http": {"method": "GET", "path": "/orders", "host": "shop.example",
                             "protocol": "HTTP/2", "headers": {}}},
    }});
    ask_authorizer(&setup.world.handle, &question).await
}

/// Catches: requests that an Envoy forwards and that no limit counts, and a limit that is counted apart
/// for each way in.
#[tokio::test]
async fn the_registrys_limits_hold_for_an_envoy_too() {
    let limit = json!({"requests": 5, "window_secs": 3600});
    let setup = set_up(limit, Value::Null, |settings| {
        let policy = settings.listeners[0].policy;
        let envoy = ListenerSettings::new("envoy", "127.0.0.1:0".parse().unwrap(), policy);
        settings.listeners.push(ListenerSettings {
            serves: Serves::ExtAuthz(Callers::Loopback),
            // Envoy limits its own routes.
            traffic: traffic("default", &[rule(RateScope::Route, 1)]),
            ..envoy
        });
    })
    .await;
    // The proxied requests and those that an Envoy asks about are counted together.
    assert_eq!(setup.served("acme", "/", 2).await, 2);
    for _ in 0..3 {
        assert_eq!(asked(&setup, "acme").await.status, StatusCode::OK);
    }
    let refused = asked(&setup, "acme").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers["x-cellway-reason"], "rate_limited");
    for name in ["retry-after", "ratelimit", "ratelimit-policy"] {
        assert!(refused.headers.contains_key(name), "{:?}", refused.headers);
    }
    assert_eq!(setup.served("acme", "/", 1).await, 0);
    assert_eq!(asked(&setup, "quiet").await.status, StatusCode::OK);
    setup.world.events.line("rate limited tenant").await;
}
