//! A service that knows its callers from the router's envelopes:
//! `cargo run -p cellway-service --example backend`.
//!
//! [`layer`] and [`orders`] are all that a service needs. The rest starts one service for each trust
//! mode, in cells of their own behind one router, and shows what becomes of requests with an envelope
//! that holds, with a forged one, with one that was stolen from another cell, and with none.
//!
//! With arguments it is such a service alone, behind a router of yours:
//! `backend 127.0.0.1:9000 eu-1 gateway_enforced http://127.0.0.1:9901/.well-known/cellway/jwks.json`
#![allow(
    clippy::disallowed_methods,
    reason = "an example is a process, with arguments and a folder for its files"
)]

use std::convert::Infallible;
use std::error::Error;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use cellway_core::Unix;
use cellway_core::envelope::{
    EnvelopeContents, JWKS_PATH, SigningKey, TrustMode, Verdict, Verifier, VerifierSpec, seal,
};
use cellway_core::{Identity, Text};
use cellway_env::fetch::{self, SourceUrl};
use cellway_env::tokio::TokioEnv;
use cellway_env::{Env, Listener, Store};
use cellway_router::config::Config;
use cellway_router::envelope::{INDEX, Index, IndexKey, key_file, signing_pem};
use cellway_router::settings::{EnvelopeForm, FetchSettings};
use cellway_router::sources::RegistryLocation;
use cellway_router::tls::{Provider, source_config};
use cellway_router::{Handle, Router};
use cellway_service::{EnvelopeLayer, JwksClient, JwksTiming};
use cellway_testbed::{Claims, Client, EchoCell, Protocol, Request, ServerTls, Signer, Target};
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

/// Verifies envelopes for this cell by the keys that the router publishes at `page`.
async fn layer(cell: &str, trust: TrustMode, page: &str) -> Result<Envelopes> {
    let env = TokioEnv::new();
    let tls = source_config(&env, &provider(), &FetchSettings::default()).await?;
    let client = fetch::Client::with_tls(env.clone(), Arc::new(tls), Duration::from_secs(5));
    let page = SourceUrl::parse(page).map_err(|refused| format!("{page}: {refused}"))?;
    let keys = JwksClient::start(client, page, JwksTiming::default(), |_| ());
    let verifier = Verifier::new(VerifierSpec {
        trust,
        ..VerifierSpec::new(cell)
    })?;
    Ok(EnvelopeLayer::new(verifier, keys, || {
        TokioEnv::new().unix_now()
    }))
}

/// What the service does, once the layer has let a request through.
fn orders(verdict: Option<&Verdict>) -> String {
    match verdict {
        Some(Verdict::Verified(caller)) => match &caller.tenant {
            Some(tenant) => format!("the orders of {tenant}"),
            None => "nobody's orders".to_owned(),
        },
        // The place for whatever the service did before there was a router.
        Some(Verdict::Local(why)) => format!("show me a token of your own ({why})"),
        None => "is the layer missing?".to_owned(),
    }
}

/// [`orders`], as tower has it. With axum or tonic this is what your handlers are.
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

// From here on: a router, its cells and their callers, in one process.

/// The cells, each with a tenant of its own and what it leaves to the router.
const CELLS: [(&str, &str, TrustMode); 3] = [
    ("eu-1", "acme", TrustMode::ServiceEnforced),
    ("eu-2", "globex", TrustMode::Hybrid),
    ("eu-3", "initech", TrustMode::GatewayEnforced),
];
/// One more, whose operator looks at what it receives.
const THIEF: (&str, &str) = ("eu-4", "umbrella");
const ISSUER: &str = "https://idp.example";
const KID: &str = "env-1";
const ENVELOPE: HeaderName = HeaderName::from_static("x-cellway-envelope");

async fn show() -> Result<()> {
    let env = TokioEnv::new();
    let folder = Folder::new(&env).await?;
    let mut endpoints = Vec::new();
    let mut listeners = Vec::new();
    for (cell, tenant, _) in CELLS {
        let listener = env.bind("127.0.0.1:0".parse()?, false).await?;
        endpoints.push((cell, tenant, listener.local_addr()?));
        listeners.push(listener);
    }
    let thief = env.bind("127.0.0.1:0".parse()?, false).await?;
    endpoints.push((THIEF.0, THIEF.1, thief.local_addr()?));
    let running = folder.router(&env, &endpoints).await?;
    let router = running.addresses()[0].1;
    env.spawn(async move {
        let cell = EchoCell::new(THIEF.0, |_| ());
        let _ = cell.serve(TokioEnv::new(), thief, ServerTls::plain()).await;
    });
    let page = format!("http://{router}{JWKS_PATH}");
    for (listener, (cell, _, trust)) in listeners.into_iter().zip(CELLS) {
        env.spawn(serve(listener, layer(cell, trust, &page).await?));
    }

    let token = |tenant: &str| {
        let hour = Duration::from_secs(3_600);
        let claims = Claims::new(ISSUER, "orders", env.unix_now(), hour);
        claims.tenant(tenant).subject("ada").sign(&folder.issuer)
    };
    let orders = Request::get("/orders");
    let stolen = ask(router, orders.clone().bearer(&token(THIEF.1)?)).await?;
    let stolen: serde_json::Value = serde_json::from_str(&stolen.1)?;
    let stolen = stolen["headers"][ENVELOPE.as_str()]
        .as_str()
        .unwrap_or_default();
    for (cell, tenant, trust) in CELLS {
        let (_, _, service) = endpoints
            .iter()
            .find(|(id, ..)| *id == cell)
            .ok_or("a cell")?;
        let enveloped = |value: HeaderValue| orders.clone().header(ENVELOPE, value);
        let rows = [
            (
                "through the router",
                router,
                orders.clone().bearer(&token(tenant)?),
            ),
            (
                "past it, forged",
                *service,
                enveloped(forged(cell, tenant, env.unix_now())?),
            ),
            (
                "past it, stolen from eu-4",
                *service,
                enveloped(stolen.parse()?),
            ),
            ("past it, without any", *service, orders.clone()),
        ];
        println!("{}", trust.as_str());
        for (row, (what, address, request)) in rows.into_iter().enumerate() {
            let (status, answer) = ask(address, request).await?;
            println!("  {what:26} {} {answer}", status.as_u16());
            if status != expected(trust, row) {
                return Err(format!("{what}: expected {}", expected(trust, row)).into());
            }
        }
    }
    running.drain(Duration::from_secs(1)).await;
    folder.remove();
    Ok(())
}

/// The status of each row.
fn expected(trust: TrustMode, row: usize) -> StatusCode {
    let served = match trust {
        TrustMode::ServiceEnforced => [true, true, true, true],
        TrustMode::Hybrid => [true, false, false, true],
        TrustMode::GatewayEnforced => [true, false, false, false],
    };
    match served[row] {
        true => StatusCode::OK,
        false => StatusCode::FORBIDDEN,
    }
}

/// Sends a request, and shows the answer: its body, or why there is none.
async fn ask(address: SocketAddr, request: Request) -> Result<(StatusCode, String)> {
    let target = Target {
        host: address.ip().to_string(),
        port: address.port(),
        tls: None,
        protocol: Protocol::Http1,
    };
    let client = Client::new(TokioEnv::new(), target, Duration::from_secs(5));
    let answer = client.send(request).await?;
    let reason = answer.headers.get("x-cellway-reason");
    let text = match reason.filter(|_| answer.body.is_empty()) {
        Some(reason) => reason.to_str()?.to_owned(),
        None => String::from_utf8_lossy(&answer.body).into_owned(),
    };
    Ok((answer.status, text))
}

/// An envelope as the router would seal it, but for the key.
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

fn provider() -> Provider {
    Provider {
        crypto: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
        time: Arc::new(rustls::time_provider::DefaultTimeProvider),
    }
}

/// The router's files: its keys for envelopes, and its identity provider's public key.
struct Folder {
    root: std::path::PathBuf,
    issuer: Signer,
}

impl Folder {
    /// As `cellway envelope-key new` makes it.
    async fn new(env: &TokioEnv) -> Result<Self> {
        let mut seed = [0; 32];
        env.fill(&mut seed);
        let key = SigningKey::from_seed(KID, &seed)?;
        env.fill(&mut seed);
        let issuer = Signer::from_seed("idp-1", seed)?;
        let root = std::env::temp_dir().join(format!("cellway-backend-{}", std::process::id()));
        let folder = Self { root, issuer };
        let now = env.unix_now().as_secs();
        let index = Index {
            keys: vec![IndexKey {
                kid: KID.to_owned(),
                cell: None,
                added: now,
                sign_from: now,
            }],
        };
        let keys = serde_json::json!({ "keys": [folder.issuer.jwk()] }).to_string();
        let pem = key_file(EnvelopeForm::Jws, KID);
        for (name, text) in [
            (pem.as_str(), signing_pem(&key)?),
            (INDEX, index.render()),
            ("idp.json", keys),
        ] {
            env.store().replace(&folder.path(name), text.into()).await?;
        }
        Ok(folder)
    }

    fn path(&self, name: &str) -> String {
        self.root.join(name).display().to_string()
    }

    /// Starts a router before these cells.
    async fn router(
        &self,
        env: &TokioEnv,
        cells: &[(&str, &str, SocketAddr)],
    ) -> Result<Handle<TokioEnv, ()>> {
        let config = format!(
            r#"
            [[listener]]
            name = "public"
            bind = "127.0.0.1:0"
            policy = "callers"

            [[policy]]
            name = "callers"
            mode = "required"
            any_of = ["jwt"]

            [[issuer]]
            name = "idp"
            issuer = "{ISSUER}"
            audience = "orders"
            jwks_file = "{}"

            [envelope]
            keys = "{}"

            [registry]
            file = "replaced below"
            "#,
            self.path("idp.json"),
            self.root.display(),
        );
        let cell = |(id, _, address): &(&str, &str, SocketAddr)| {
            serde_json::json!({
                "id": id, "tier": "standard", "region": "eu", "state": "active",
                "endpoints": [{ "url": format!("http://{address}") }],
            })
        };
        let tenant = |(cell, id, _): &(&str, &str, SocketAddr)| serde_json::json!({ "id": id, "cell": cell });
        let registry = serde_json::json!({
            "version": 1,
            "cells": cells.iter().map(cell).collect::<Vec<_>>(),
            "tenants": cells.iter().map(tenant).collect::<Vec<_>>(),
        });
        let mut settings = Config::load("backend.toml", &config, [])?.router;
        settings.sources.registry.location = RegistryLocation::Text(registry.to_string().into());
        let Provider { crypto, time } = provider();
        let router = Router::builder(env.clone(), settings, crypto, time, ())
            .start()
            .await?;
        router.ready().await;
        Ok(router)
    }

    fn remove(&self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}
