//! A service that learns its callers from the router's envelopes:
//! `cargo run -p cellway-service --example backend`.
//!
//! [`layer`] and [`orders`] are all that a service needs. The rest starts one service for each
//! trust mode, each in its own cell, behind one router. Then it shows what happens to requests with
//! a valid envelope, a forged one, one that was stolen from another cell, and none.
//!
//! With arguments it runs only the service, behind your own router:
//! `backend 127.0.0.1:9000 eu-1 gateway_enforced http://127.0.0.1:9901/.well-known/cellway/jwks.json`
#![allow(
    clippy::disallowed_methods,
    reason = "an example is a process, with arguments and a folder for its files"
)]

use std::convert::Infallible;
use std::error::Error;
use std::fs::Permissions;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use cellway_core::Unix;
use cellway_core::envelope::{
    EnvelopeContents, JWKS_PATH, SigningKey, TrustMode, Verdict, Verifier, VerifierSpec, seal,
};
use cellway_core::keys::KeyNotice;
use cellway_core::{Identity, Text};
use cellway_env::tokio::TokioEnv;
use cellway_env::{Env, Listener};
use cellway_router::Router;
use cellway_router::envelope::{INDEX, Index, IndexKey, key_file, signing_pem};
use cellway_router::settings::EnvelopeForm;
use cellway_service::{EnvelopeLayer, JwksClient, JwksTiming};
use cellway_testbed::{Client, EchoCell, Folder, IdentityProvider, Request};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tower_layer::Layer;
use tower_service::Service;

type Result<T> = std::result::Result<T, Box<dyn Error>>;
type Envelopes = EnvelopeLayer<JwksClient<TokioEnv>, fn() -> Unix>;

/// Verifies envelopes for this cell with the keys that the router publishes at `page`.
async fn layer(cell: &str, trust: TrustMode, page: &str) -> Result<Envelopes> {
    let env = TokioEnv::new();
    let log = |notice: &KeyNotice| eprintln!("envelope keys: {notice:?}");
    let keys = JwksClient::connect(env.clone(), page, None, JwksTiming::default(), log).await?;
    let verifier = Verifier::new(VerifierSpec {
        trust,
        ..VerifierSpec::new(cell)
    })?;
    Ok(EnvelopeLayer::new(verifier, keys, || {
        TokioEnv::new().unix_now()
    }))
}

/// What the service does after the layer has accepted a request.
fn orders(verdict: Option<&Verdict>) -> String {
    match verdict {
        Some(Verdict::Verified(caller)) => match &caller.tenant {
            Some(tenant) => format!("the orders of {tenant}"),
            None => "nobody's orders".to_owned(),
        },
        // Here the service checks the caller itself, as it did before there was a router.
        Some(Verdict::Local(why)) => format!("show me a token of your own ({why})"),
        None => "is the layer missing?".to_owned(),
    }
}

/// [`orders`] as a tower service. With axum or tonic, your handlers take this place.
#[derive(Clone)]
struct Orders;

impl Service<http::Request<Incoming>> for Orders {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<std::result::Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Incoming>) -> Self::Future {
        let answer = orders(request.extensions().get());
        ready(Ok(Response::new(Full::new(answer.into()))))
    }
}

/// Serves [`Orders`] behind the layer until the process ends.
async fn serve(mut listener: <TokioEnv as Env>::Listener, layer: Envelopes) {
    let service = layer.layer(Orders);
    while let Ok((stream, _)) = listener.accept().await {
        let service = service.clone();
        let service = service_fn(move |request| service.clone().call(request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => show().await,
        [address, cell, trust, page] => {
            let mode = TrustMode::ALL
                .into_iter()
                .find(|mode| mode.as_str() == trust);
            let mode = mode.ok_or("service_enforced, hybrid or gateway_enforced?")?;
            let layer = layer(cell, mode, page).await?;
            let listener = TokioEnv::new().bind(address.parse()?, false).await?;
            println!("cell {cell} serves at {}", listener.local_addr()?);
            serve(listener, layer).await;
            Ok(())
        }
        _ => Err("usage: backend [ADDRESS CELL TRUST_MODE KEYS_URL]".into()),
    }
}

// From here on: a router, its cells and their callers in one process.

/// The cells. Each has a tenant and a trust mode.
const CELLS: [(&str, &str, TrustMode); 3] = [
    ("eu-1", "acme", TrustMode::ServiceEnforced),
    ("eu-2", "globex", TrustMode::Hybrid),
    ("eu-3", "initech", TrustMode::GatewayEnforced),
];
/// One more cell, whose operator steals envelopes.
const THIEF: (&str, &str) = ("eu-4", "umbrella");
/// The envelope key's name at the router.
const KID: &str = "env-1";
const ENVELOPE: HeaderName = HeaderName::from_static("x-cellway-envelope");

async fn show() -> Result<()> {
    let env = TokioEnv::new();
    let idp = IdentityProvider::start(&env).await?;
    let (_thief, thief) = EchoCell::start(&env, THIEF.0).await?;
    let mut endpoints = vec![(THIEF.0, THIEF.1, thief)];
    let mut services = Vec::new();
    for (cell, tenant, trust) in CELLS {
        let listener = env.bind("127.0.0.1:0".parse()?, false).await?;
        let address = listener.local_addr()?;
        endpoints.push((cell, tenant, address));
        services.push((cell, tenant, trust, address, listener));
    }
    let keys = sealing_keys(&env)?;
    let config = config(idp.issuer(), &keys);
    let running = Router::from_text(&config, registry(&endpoints))?
        .start()
        .await?;
    running.ready().await;
    let router = running.addresses()[0].1;
    let page = format!("http://{router}{JWKS_PATH}");

    let stolen = Request::get("/orders").bearer(&idp.token(&env, THIEF.1)?);
    let (_, stolen) = ask(router, stolen).await?;
    let stolen: serde_json::Value = serde_json::from_str(&stolen)?;
    let stolen = stolen["headers"][ENVELOPE.as_str()].as_str();
    let stolen = stolen.unwrap_or_default();
    for (cell, tenant, trust, service, listener) in services {
        env.spawn(serve(listener, layer(cell, trust, &page).await?));
        println!("{}", trust.as_str());
        let orders = Request::get("/orders");
        let with = |envelope: HeaderValue| orders.clone().header(ENVELOPE, envelope);
        let token = idp.token(&env, tenant)?;
        let forged = forged(cell, tenant, env.unix_now())?;
        let rows = [
            ("through the router", router, orders.clone().bearer(&token)),
            ("past it, forged", service, with(forged)),
            ("past it, stolen from eu-4", service, with(stolen.parse()?)),
            ("past it, without any", service, orders.clone()),
        ];
        for ((what, address, request), expected) in rows.into_iter().zip(expected(trust)) {
            let (status, answer) = ask(address, request).await?;
            println!("  {what:26} {} {answer}", status.as_u16());
            if status != expected {
                return Err(format!("{what}: expected {expected}").into());
            }
        }
    }
    running.drain(Duration::from_secs(1)).await;
    Ok(())
}

/// The status of each row.
fn expected(trust: TrustMode) -> [StatusCode; 4] {
    let served = match trust {
        TrustMode::ServiceEnforced => [true, true, true, true],
        TrustMode::Hybrid => [true, false, false, true],
        TrustMode::GatewayEnforced => [true, false, false, false],
    };
    served.map(|served| match served {
        true => StatusCode::OK,
        false => StatusCode::FORBIDDEN,
    })
}

/// Sends a request, and shows the answer: its body, or the reason of a refusal.
async fn ask(address: SocketAddr, request: Request) -> Result<(StatusCode, String)> {
    let client = Client::plain(TokioEnv::new(), address);
    let answer = client.send(request).await?;
    let reason = answer.headers.get("x-cellway-reason");
    let text = match reason.filter(|_| answer.body.is_empty()) {
        Some(reason) => reason.to_str()?.to_owned(),
        None => String::from_utf8_lossy(&answer.body).into_owned(),
    };
    Ok((answer.status, text))
}

/// An envelope as the router would seal it, but with another key.
fn forged(cell: &str, tenant: &str, now: Unix) -> Result<HeaderValue> {
    let identity = Identity {
        tenant: Some(Text::new(tenant)?),
        ..Identity::default()
    };
    let sealing = EnvelopeContents {
        issuer: "cellway",
        identity: &identity,
        cell: &Text::new(cell)?,
        placement_epoch: 1,
        id: "forged",
        method: &Method::GET,
        target: "/orders",
        now,
        lifetime: Duration::from_secs(30),
    };
    Ok(seal(&SigningKey::from_seed(KID, &[66; 32])?, &sealing))
}

/// A folder with one key, as `cellway envelope-key new` makes it.
fn sealing_keys(env: &TokioEnv) -> Result<Folder> {
    let mut seed = [0; 32];
    env.fill(&mut seed);
    let key = SigningKey::from_seed(KID, &seed)?;
    let now = env.unix_now().as_secs();
    let index = Index {
        keys: vec![IndexKey {
            kid: KID.to_owned(),
            cell: None,
            added: now,
            sign_from: now,
        }],
    };
    let folder = Folder::generate();
    folder.write(INDEX, index.render());
    let file = key_file(EnvelopeForm::Jws, KID);
    folder.write(&file, signing_pem(&key)?);
    // The router refuses a key that other users can read.
    std::fs::set_permissions(folder.path(&file), Permissions::from_mode(0o600))?;
    Ok(folder)
}

/// The router's configuration.
fn config(issuer: &str, keys: &Folder) -> String {
    format!(
        r#"
            [[listener]]
            name = "public"
            bind = "127.0.0.1:0"

            [[policy]]
            name = "default"
            mode = "required"
            any_of = ["jwt"]

            [[issuer]]
            name = "idp"
            issuer = "{issuer}"
            audience = "cellway"

            [envelope]
            keys = "{}"
        "#,
        keys.root().display(),
    )
}

/// A registry of these cells, each with its tenant and address.
fn registry(cells: &[(&str, &str, SocketAddr)]) -> String {
    let cell = |(id, _, address): &(&str, &str, SocketAddr)| {
        serde_json::json!({
            "id": id, "tier": "standard", "region": "eu", "state": "active",
            "endpoints": [{ "url": format!("http://{address}") }],
        })
    };
    let tenant =
        |(cell, id, _): &(&str, &str, SocketAddr)| serde_json::json!({ "id": id, "cell": cell });
    let registry = serde_json::json!({
        "version": 1,
        "cells": cells.iter().map(cell).collect::<Vec<_>>(),
        "tenants": cells.iter().map(tenant).collect::<Vec<_>>(),
    });
    registry.to_string()
}
