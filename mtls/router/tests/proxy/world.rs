//! A router with cells behind it, and the events that it emits.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cellway_core::control::Notice;
use cellway_core::headers::HeaderSpec;
use cellway_core::health::HealthNotice;
use cellway_core::keys::KeyNotice;
use cellway_core::policy::{Policy, PolicySpec, PolicySpecs, TrustSpec};
use cellway_core::{Decision, Now, Text, Unix};
use cellway_env::tokio::{TokioEnv, TokioListener};
use cellway_env::{Env, Listener};
use cellway_router::event::{Applied, Event, Exchange, Phase, Responded, Sink};
use cellway_router::settings::RegistryLocation;
use cellway_router::settings::{
    AccessLog, ClientCertificate, KeyPair, ListenerSettings, ListenerTls, RateSettings,
    RevocationSettings, RouterSettings, Sources, UpstreamSettings,
};
use cellway_router::{Handle, Router};
use cellway_testbed::{
    Answer, Ca, CertificateSpec, Client, Credential, EchoCell, IdentityProvider, Key, Protocol,
    Request, San, ServerTls, Target, TlsProvider, Usage, Validity, bundle_pem,
};
use http::Method;
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::sync::Notify;

pub(crate) const DAY: Duration = Duration::from_secs(86_400);
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Keeps the router's events as short lines.
#[derive(Clone, Default)]
pub(crate) struct EventLog(Arc<(Mutex<Vec<String>>, Notify)>);

impl Sink for EventLog {
    fn emit(&self, _: Now, event: &Event<'_>) {
        let lines = of_clients(event).or_else(|| of_cells(event));
        for line in lines
            .or_else(|| of_control_plane(event))
            .unwrap_or_default()
        {
            self.push(line);
        }
        self.0.1.notify_waiters();
    }
}

/// What the access log says about a request.
fn logged(exchange: &Exchange<'_>) -> String {
    let text = |text: Option<&Text>| text.map_or("-".to_owned(), ToString::to_string);
    let (method, path) = match exchange.is_read {
        true => (exchange.method.as_str(), exchange.path),
        false => ("-", "-"),
    };
    format!(
        "logged {method} {path} {:?} of {} {}, {} attempts, {} {:?}{}, {} bytes{}",
        exchange.version,
        text(exchange.tenant),
        text(exchange.subject),
        exchange.attempts,
        exchange.endpoint.unwrap_or("-"),
        exchange.endpoint_version,
        (exchange.hedged_from).map_or(String::new(), |from| format!(" hedged from {from}")),
        exchange.request_bytes,
        if exchange.tls.is_some() {
            ", first"
        } else {
            ""
        },
    )
}

/// What the access log says about the settings that apply to a request.
fn applied(exchange: &Exchange<'_>) -> String {
    let Some(Applied {
        route,
        policy,
        traffic,
    }) = exchange.applied
    else {
        return "applied -".to_owned();
    };
    let route = route.unwrap_or("-");
    let ignored = if exchange.upgrade_ignored {
        ", without its upgrade"
    } else {
        ""
    };
    format!("applied route {route}, policy {policy}, traffic {traffic}{ignored}")
}

/// What the access log says about a request's time, in whole milliseconds.
fn took(exchange: &Exchange<'_>, first_byte: Duration, total: Duration) -> String {
    let phase = |phase| exchange.phases.of(phase).as_millis();
    format!(
        "took keys {}, queue {}, connect {}, cell {}, first byte {}, total {}",
        phase(Phase::Keys),
        phase(Phase::Queue),
        phase(Phase::Connect),
        phase(Phase::Cell),
        first_byte.as_millis(),
        total.as_millis(),
    )
}

/// The lines of events about clients' connections and requests.
fn of_clients(event: &Event<'_>) -> Option<Vec<String>> {
    Some(match event {
        Event::Responded(Responded {
            status,
            owner,
            reason,
            bytes,
            complete,
            latency,
            duration,
            exchange,
            ..
        }) => {
            let responded = format!(
                "responded {} {} {} {}",
                status.map_or("none".to_owned(), |status| status.to_string()),
                owner.as_str(),
                reason.map_or("-", |reason| reason.as_str()),
                if *complete { "whole" } else { "cut" },
            );
            let took = exchange.map(|exchange| took(exchange, *latency, *duration));
            exchange
                .map(logged)
                .into_iter()
                .chain(exchange.map(applied))
                .chain(took)
                .chain([format!("{bytes} bytes to the client"), responded])
                .collect()
        }
        Event::ConnectionClosed { why, .. } => vec![format!("closed {}", why.as_str())],
        Event::TlsRefused { reason, peer, .. } => vec![
            format!("tls refused to {}", peer.ip()),
            format!("tls refused {}", reason.as_str()),
        ],
        Event::Decided {
            decision: Decision::Deny(deny),
            peer,
            ..
        } => match peer {
            Some(peer) => vec![format!("denied {} to {peer}", deny.reason)],
            None => vec![format!("denied {} to nobody", deny.reason)],
        },
        Event::ConnectionRefused { peer, .. } => vec![
            format!("connection refused to {}", peer.ip()),
            "connection refused".to_owned(),
        ],
        Event::ShareRefused {
            resource,
            share,
            peer,
            ..
        } => vec![
            format!("share refused to {:?}", peer.map(|peer| peer.ip())),
            format!("share refused {} {}", resource.as_str(), share.as_str()),
        ],
        Event::RateLimited { scope, .. } => vec![format!("rate limited {}", scope.as_str())],
        Event::StreamClosed { reason, .. } => vec![format!("stream closed {reason}")],
        Event::TunnelEnded { protocol, end, .. } => {
            vec![format!("tunnel {} {}", protocol.as_str(), end.as_str())]
        }
        _ => return None,
    })
}

/// The lines of events about cells.
fn of_cells(event: &Event<'_>) -> Option<Vec<String>> {
    Some(match event {
        Event::CellFailed { reason, error, .. } => {
            vec![format!("cell failed {reason}"), format!("because {error}")]
        }
        Event::CellConnected { .. } => vec!["cell connected".to_owned()],
        Event::CircuitChanged { change, .. } => vec![format!("circuit {}", change.as_str())],
        Event::FailedOver {
            from, cell, reason, ..
        } => {
            let from = from.map_or("-", |cell| cell.as_str());
            vec![format!("failed over {from} to {cell} {reason}")]
        }
        Event::EndpointChecked { failure: None, .. } => vec!["checked".to_owned()],
        Event::CellRetry { why, granted, .. } => match granted {
            true => vec![format!("retry {}", why.as_str())],
            false => vec![format!("no retry {}", why.as_str())],
        },
        Event::CellHedge { end, .. } => vec![format!("hedge {}", end.as_str())],
        _ => return None,
    })
}

/// The lines of events about sources and reloads.
fn of_control_plane(event: &Event<'_>) -> Option<Vec<String>> {
    Some(match event {
        Event::Published { snapshot } => {
            vec![format!(
                "registry {}",
                snapshot.registry.as_ref()?.version()
            )]
        }
        Event::Notice {
            notice:
                Notice::Keys {
                    notice: KeyNotice::Failed(why),
                    ..
                },
            ..
        } => vec![format!("keys failed {}", why.as_str())],
        Event::Notice {
            notice: Notice::Health(notice),
            ..
        } => vec![match notice {
            HealthNotice::Ejected { last, .. } => format!("ejected {}", last.as_str()),
            HealthNotice::Returned { .. } => "returned".to_owned(),
            HealthNotice::Unhealthy { why, .. } => format!("unhealthy {}", why.as_str()),
            HealthNotice::Healthy { .. } => "healthy".to_owned(),
        }],
        Event::Reloaded { .. } => vec!["reloaded".to_owned()],
        Event::ReloadRefused { .. } => vec!["reload refused".to_owned()],
        Event::ListenersClosed => vec!["listeners closed".to_owned()],
        _ => return None,
    })
}

impl EventLog {
    fn push(&self, line: String) {
        self.0.0.lock().unwrap().push(line);
    }

    /// Waits until this line was emitted.
    pub(crate) async fn line(&self, line: &str) {
        self.lines_of(line, 1).await;
    }

    /// Waits until this line was emitted so often.
    pub(crate) async fn lines_of(&self, line: &str, times: usize) {
        let waiting = async {
            loop {
                let told = self.0.1.notified();
                let lines = self.lines();
                if lines.iter().filter(|logged| *logged == line).count() >= times {
                    return;
                }
                told.await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("no event {line:?}; events: {:?}", self.lines());
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.0.lock().unwrap().clone()
    }
}

pub(crate) fn provider() -> TlsProvider {
    TlsProvider::default()
}

pub(crate) fn now() -> Unix {
    TokioEnv::new().unix_now()
}

pub(crate) fn ca(seed: u8) -> Ca {
    let validity = Validity::around(now(), DAY);
    Ca::new(
        &format!("root {seed}"),
        &Key::from_seed([seed; 32]),
        validity,
        1,
    )
    .unwrap()
}

pub(crate) fn issue(ca: &Ca, san: San) -> Credential {
    issue_until(ca, san, now().after(DAY))
}

pub(crate) fn issue_until(ca: &Ca, san: San, until: Unix) -> Credential {
    issue_numbered(ca, san, until, 2)
}

pub(crate) fn issue_numbered(ca: &Ca, san: San, until: Unix, serial: u64) -> Credential {
    let spec = CertificateSpec {
        common_name: "leaf".to_owned(),
        sans: vec![san],
        usage: Usage::Both,
        validity: Validity {
            from: Unix::from_epoch(now().since_epoch() - DAY),
            until,
        },
        serial,
    };
    ca.issue(&spec, &Key::from_seed([99; 32])).unwrap()
}

pub(crate) fn dns(name: &str) -> San {
    San::Dns(name.to_owned())
}

pub(crate) fn uri(uri: &str) -> San {
    San::Uri(uri.to_owned())
}

pub(crate) fn pair(credential: &Credential) -> KeyPair {
    KeyPair {
        certificate: credential.pem().to_owned().into(),
        key: credential.key.pem().unwrap().into(),
    }
}

pub(crate) async fn listen() -> (TokioListener, SocketAddr) {
    let env = TokioEnv::new();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let listener = env.bind(any, false).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A port that refuses connections: a socket is bound to it and does not listen. No other test gets
/// the port while the socket is kept.
pub(crate) fn closed_port() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

/// Starts an echo cell, and returns it with its port.
pub(crate) async fn cell(id: &str, tls: ServerTls) -> (EchoCell, u16) {
    let cell = EchoCell::new(id, |_| ());
    let (listener, address) = listen().await;
    let serving = cell.clone();
    tokio::spawn(async move {
        let _ = serving.serve(TokioEnv::new(), listener, tls).await;
    });
    (cell, address.port())
}

/// A registry with one cell, `a`, with these endpoints. Its tenant is `acme`.
pub(crate) fn registry(endpoints: Value) -> Bytes {
    let document = json!({
        "version": 1,
        "cells": [{"id": "a", "tier": "t", "region": "r", "state": "active",
                   "endpoints": endpoints}],
        "tenants": [{"id": "acme", "cell": "a"}],
    });
    document.to_string().into()
}

pub(crate) fn plain_endpoint(scheme: &str, port: u16) -> Value {
    json!([{"url": format!("{scheme}://127.0.0.1:{port}")}])
}

/// A policy that treats every request as `acme`'s.
pub(crate) fn open_policy() -> Arc<Policy> {
    open_policy_with(HeaderSpec::default())
}

/// The same, with these names for the router's headers.
pub(crate) fn open_policy_with(headers: HeaderSpec) -> Arc<Policy> {
    let open = json!({"name": "default", "mode": "disabled", "allow_insecure": true,
                      "insecure_identity": {"tenant": "acme"}});
    policy(open, None, headers)
}

/// A policy that takes the tenant from the URI in the client certificate.
pub(crate) fn mtls_policy() -> Arc<Policy> {
    mtls_policy_of(json!({"name": "default", "any_of": ["mtls"]}))
}

/// The same, but requests without a certificate go to the placement `public`.
pub(crate) fn permissive_policy() -> Arc<Policy> {
    mtls_policy_of(
        json!({"name": "default", "any_of": ["mtls"], "mode": "permissive",
                          "anonymous_placement": "public"}),
    )
}

fn mtls_policy_of(document: Value) -> Arc<Policy> {
    let trust = json!({"bundle": "inline", "trust_domains": ["corp.example"],
                       "san": ["spiffe://{trust_domain}/tenant/{tenant}"]});
    policy(
        document,
        Some(serde_json::from_value(trust).unwrap()),
        HeaderSpec::default(),
    )
}

fn policy(policy: Value, trust: Option<TrustSpec>, headers: HeaderSpec) -> Arc<Policy> {
    let policy: PolicySpec = serde_json::from_value(policy).unwrap();
    let specs = PolicySpecs {
        issuer: Vec::new(),
        policy: vec![policy],
        trust,
        headers,
        ..PolicySpecs::default()
    };
    Arc::new(Policy::build(&specs).unwrap())
}

/// A policy that asks for a token of this provider.
pub(crate) fn token_policy(provider: &IdentityProvider) -> Arc<Policy> {
    let issuer = json!({"name": "main", "issuer": provider.issuer(), "audience": "cellway",
                        "jwks_uri": provider.jwks_uri()});
    let policy = json!({"name": "default", "any_of": ["jwt"]});
    let specs = PolicySpecs {
        issuer: vec![serde_json::from_value(issuer).unwrap()],
        policy: vec![serde_json::from_value(policy).unwrap()],
        ..PolicySpecs::default()
    };
    Arc::new(Policy::build(&specs).unwrap())
}

/// Sets the policy of the first listener.
pub(crate) fn set_policy(settings: &mut RouterSettings, policy: Arc<Policy>) {
    settings.listeners[0].policy = policy.policy_id("default").unwrap();
    settings.policy = policy;
}

/// Settings of a plain router with this registry.
pub(crate) fn plain(registry: Bytes) -> RouterSettings {
    let policy = open_policy();
    let id = policy.policy_id("default").unwrap();
    let bind = "127.0.0.1:0".parse().unwrap();
    RouterSettings {
        listeners: vec![ListenerSettings::new("public", bind, id)],
        policy,
        trust_bundle: None,
        domain_bundles: Vec::new(),
        revocation: RevocationSettings::default(),
        upstream: UpstreamSettings::default(),
        sources: Sources::new(RegistryLocation::Text(registry)),
        envelope: None,
        access_log: AccessLog::Off,
        log: None,
        trace: None,
        explain: None,
        admin_tls: None,
        rate_limits: RateSettings::default(),
        warnings: Vec::new(),
    }
}

/// Settings of a router with this registry that requires client certificates and uses mutual TLS to
/// the cells.
pub(crate) fn secure(registry: Bytes, clients: &Ca, cells: &Ca) -> RouterSettings {
    let mut settings = plain(registry);
    set_policy(&mut settings, mtls_policy());
    settings.trust_bundle = Some(bundle_pem(&[clients]).into());
    settings.listeners[0].tls = Some(ListenerTls {
        identity: pair(&issue(clients, dns("localhost"))),
        client_certificate: ClientCertificate::Optional,
    });
    settings.upstream.bundle = Some(bundle_pem(&[cells]).into());
    let router = issue(cells, uri("spiffe://corp.example/router"));
    settings.upstream.identity = Some(pair(&router));
    settings
}

/// A running router.
pub(crate) struct World {
    pub handle: Handle<TokioEnv, EventLog>,
    pub events: EventLog,
    pub port: u16,
}

pub(crate) async fn start(settings: RouterSettings) -> World {
    let events = EventLog::default();
    let TlsProvider { crypto, time } = provider();
    let handle = Router::builder(TokioEnv::new(), settings, crypto, time, events.clone())
        .start()
        .await
        .unwrap();
    tokio::time::timeout(PATIENCE, handle.ready())
        .await
        .unwrap();
    let port = handle.addresses()[0].1.port();
    World {
        handle,
        events,
        port,
    }
}

impl World {
    pub(crate) fn client(&self, protocol: Protocol) -> Client<TokioEnv> {
        self.target(protocol, None)
    }

    /// A client that trusts `ca` and presents `credential`.
    pub(crate) fn secure_client(
        &self,
        protocol: Protocol,
        ca: &Ca,
        credential: Option<&Credential>,
    ) -> Client<TokioEnv> {
        let roots = Ca::roots(&[ca]).unwrap();
        let config = provider().client(roots, credential, protocol).unwrap();
        self.target(protocol, Some(config))
    }

    fn target(
        &self,
        protocol: Protocol,
        tls: Option<Arc<rustls::ClientConfig>>,
    ) -> Client<TokioEnv> {
        let target = Target {
            host: "localhost".to_owned(),
            port: self.port,
            tls,
            protocol,
        };
        Client::new(TokioEnv::new(), target, PATIENCE)
    }
}

pub(crate) fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body)
        .unwrap_or_else(|_| panic!("not JSON: {} {:?}", answer.status, answer.body))
}

/// The reason in an answer that the router made itself.
pub(crate) fn reason(answer: &Answer) -> String {
    let error = &body(answer)["error"];
    assert_eq!(error["owner"], "router", "{error}");
    assert_eq!(answer.headers["x-cellway-owner"], "router");
    assert_eq!(
        error["reason"],
        answer.headers["x-cellway-reason"].to_str().unwrap()
    );
    error["reason"].as_str().unwrap().to_owned()
}

/// The certificate of a tenant, as an Envoy describes it.
pub(crate) fn described(clients: &Ca, tenant: &str) -> String {
    let id = uri(&format!("spiffe://corp.example/tenant/{tenant}"));
    let pem = issue(clients, id).pem().to_owned();
    pem.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Asks the second listener about a request, as an Envoy does that speaks HTTP.
pub(crate) async fn ask_authorizer<S: Sink>(
    handle: &Handle<impl Env, S>,
    question: &Value,
) -> Answer {
    let target = Target {
        host: "127.0.0.1".to_owned(),
        port: handle.addresses()[1].1.port(),
        tls: None,
        protocol: Protocol::Http1,
    };
    let request = Request {
        method: Method::POST,
        body: question.to_string().into(),
        ..Request::get("/ext_authz/v3/check")
    };
    let client = Client::new(TokioEnv::new(), target, PATIENCE);
    client.send(request).await.unwrap()
}
