//! What a service behind the layer gets to see, by trust mode and envelope.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]

use std::convert::Infallible;
use std::fmt::Write;
use std::future::{Future, Ready, ready};
use std::task::{Context, Poll};
use std::time::Duration;

use cellway_core::envelope::{
    EnvelopeContents, HmacKey, TrustMode, Verdict, Verifier, VerifierSpec,
};
use cellway_core::headers::HeaderRules;
use cellway_core::{Identity, Text, Unix};
use cellway_service::{EnvelopeLayer, NoKeys};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use tower_layer::Layer;
use tower_service::Service;

const NOW: u64 = 1_800_000_000;

/// Tells what it was handed.
#[derive(Clone)]
struct Backend;

impl Service<Request<()>> for Backend {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let who = match request.extensions().get::<Verdict>() {
            Some(Verdict::Verified(caller)) => format!("verified {:?}", caller.tenant),
            Some(Verdict::Local(why)) => format!("local, {why}"),
            None => "nothing".to_owned(),
        };
        let names: Vec<_> = request.headers().keys().map(|name| name.as_str()).collect();
        ready(Ok(Response::new(format!("{who}; {}", names.join(" ")))))
    }
}

fn key(cell: &str) -> HmacKey {
    HmacKey::new("shared-1", cell, b"a secret of at least thirty-two bytes").unwrap()
}

/// A request's headers, sealed for this cell.
fn sealed(cell: &str) -> HeaderMap {
    let tenant = Text::new("acme").unwrap();
    let identity = Identity {
        tenant: Some(tenant.clone()),
        ..Identity::default()
    };
    let values = cellway_core::envelope::seal_hmac(
        &key(cell),
        &EnvelopeContents {
            issuer: "cellway",
            identity: &identity,
            cell: &Text::new(cell).unwrap(),
            placement_epoch: 1,
            id: "1",
            method: &Method::GET,
            target: "/orders",
            now: Unix::from_secs(NOW),
            lifetime: Duration::from_secs(30),
        },
    );
    let names = HeaderRules::default().envelope_hmac().clone();
    let mut headers: HeaderMap = names.into_iter().zip(values).collect();
    headers.insert("x-cellway-tenant", tenant.header_value().clone());
    headers.insert("accept", HeaderValue::from_static("*/*"));
    headers
}

/// The answer of a service in `eu-1` behind the layer.
fn served(trust: TrustMode, now: u64, request: Request<()>) -> Response<String> {
    let verifier = Verifier::new(VerifierSpec {
        trust,
        jws: false,
        hmac: vec![key("eu-1")],
        ..VerifierSpec::new("eu-1")
    });
    let clock = move || Unix::from_secs(now);
    let layer = EnvelopeLayer::new(verifier.unwrap(), NoKeys, clock);
    let mut answer = Box::pin(layer.layer(Backend).call(request));
    let mut context = Context::from_waker(std::task::Waker::noop());
    let Poll::Ready(Ok(answer)) = answer.as_mut().poll(&mut context) else {
        panic!("nothing to wait for");
    };
    answer
}

fn rows() -> Vec<(&'static str, u64, &'static str, HeaderMap)> {
    let stripped = || {
        let mut headers = sealed("eu-1");
        for name in HeaderRules::default().envelope_hmac() {
            headers.remove(name);
        }
        headers
    };
    let mut torn = sealed("eu-1");
    torn.remove("x-cellway-envelope-signature");
    let mut contradicted = sealed("eu-1");
    contradicted.insert("x-cellway-tenant", HeaderValue::from_static("globex"));
    vec![
        ("valid", NOW, "/orders", sealed("eu-1")),
        ("absent", NOW, "/orders", stripped()),
        ("for another cell", NOW, "/orders", sealed("eu-2")),
        ("for another path", NOW, "/invoices", sealed("eu-1")),
        ("expired", NOW + 60, "/orders", sealed("eu-1")),
        ("in part", NOW, "/orders", torn),
        ("another tenant beside it", NOW, "/orders", contradicted),
    ]
}

/// Catches: a mode that lets through what it must not, an unproved header that reaches the service.
#[test]
fn what_a_service_gets_to_see() {
    let mut page = String::new();
    for trust in TrustMode::ALL {
        writeln!(page, "-- {}", trust.as_str()).unwrap();
        for (what, now, path, headers) in rows() {
            let mut request = Request::get(path).body(()).unwrap();
            *request.headers_mut() = headers;
            let answer = served(trust, now, request);
            let reason = answer.headers().get("x-cellway-reason");
            let reason = reason.map_or("", |reason| reason.to_str().unwrap());
            let status = answer.status().as_u16();
            writeln!(page, "{what:24} {status} {reason}{}", answer.body()).unwrap();
        }
    }
    insta::assert_snapshot!(page);
}

/// An extended CONNECT (RFC 8441) comes over HTTP/2 only and stands for the `GET` that the router
/// decided, so the envelope is bound to `GET`. A plain CONNECT stands for nothing else.
#[test]
fn an_extended_connect_is_verified_as_a_get() {
    for (uri, status) in [
        ("https://shop.example/orders", 200),
        ("shop.example:443", 403),
    ] {
        let mut request = Request::connect(uri).body(()).unwrap();
        *request.headers_mut() = sealed("eu-1");
        let answer = served(TrustMode::GatewayEnforced, NOW, request);
        assert_eq!(answer.status().as_u16(), status, "{uri}");
    }
}
