//! A real Envoy in front of a cell asks the router, with the configurations of `docs/envoy`.
//!
//! Ignored unless asked for (`-- --ignored`), as CI does: it installs the Envoy under `target/`.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]

mod authorizer;
mod install;
mod server;

use std::path::PathBuf;
use std::time::Duration;

use cellway_env::tokio::TokioEnv;
use cellway_testbed::{Answer, Client, EchoCell, Protocol, Report, Request, ServerTls, Signer};
use cellway_tests::pki::Pki;
use cellway_tests::world::{Host, PATIENCE, Running, World};
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::server::{Envoy, adapted};

const GRPC: &str = include_str!("../../../docs/envoy/grpc.yaml");
const HTTP: &str = include_str!("../../../docs/envoy/http.yaml");

const LISTENERS: &str = r#"
[[listener]]
name = "envoy"
bind = "127.0.0.1:0"
serves = "ext_authz"
callers = ["spiffe://clients.test/envoy"]
[listener.tls]
certificate = "cellway.pem"
key = "cellway.key"
client_certificate = "required"

[[listener]]
name = "envoy-plain"
bind = "127.0.0.1:0"
serves = "ext_authz"
callers = "loopback"
"#;

const LOOPBACK: &str = "127.0.0.1";

/// Everything but the Envoy.
struct Scene {
    binary: PathBuf,
    world: World,
    router: Running,
    pki: Pki,
    cell: EchoCell,
    /// Keeps the cell up.
    host: Host,
    /// The socket at which Envoys ask instead of the router's, and which answers nothing.
    silent: Option<TcpListener>,
}

impl Scene {
    async fn new(binary: PathBuf) -> Self {
        let scene = Self::with(binary, true, true).await;
        let ready = scene.router.handle.ready();
        tokio::time::timeout(PATIENCE, ready).await.unwrap();
        scene
    }

    /// With an identity provider and a control plane that may be down. The router may not be ready.
    async fn with(binary: PathBuf, idp: bool, plane: bool) -> Self {
        Self::of(binary, LISTENERS, idp, plane).await
    }

    /// As [`with`](Self::with), with these listeners.
    async fn of(binary: PathBuf, listeners: &str, idp: bool, plane: bool) -> Self {
        let mut world = World::down(Signer::from_seed("one", [7; 32]).unwrap()).await;
        let cell = EchoCell::new("a", |_: Report<'_>| ());
        let served = cell.clone();
        let mut host = Host::reserve().host(move |env, listener| {
            let served = served.clone();
            async move { served.serve(env, listener, ServerTls::plain()).await }
        });
        host.start().await;
        let mut registry = world.registry.clone();
        registry["version"] = json!(6);
        registry["cells"].as_array_mut().unwrap().push(json!({
            "id": "q", "tier": "standard", "region": "eu", "state": "quarantined",
            "endpoints": [{"url": "https://127.0.0.1:1"}],
        }));
        let tenants = registry["tenants"].as_array_mut().unwrap();
        tenants.push(json!({"id": "stark", "cell": "q"}));
        let once = json!({"requests": 1, "window_secs": 3600, "burst": 1});
        tenants.push(json!({"id": "luthor", "cell": "a", "limits": {"rate": once}}));
        world.plane.set_document(registry.to_string());
        let pki = Pki::new();
        world.folder.write("clients.pem", pki.pem());
        pki.write(&world.folder, "cellway", LOOPBACK);
        pki.write(&world.folder, "envoy-server", LOOPBACK);
        pki.write(&world.folder, "envoy", "spiffe://clients.test/envoy");
        world.configure(&format!("{}{listeners}", world.config()));
        if idp {
            world.idp_host.start().await;
        }
        if plane {
            world.plane_host.start().await;
        }
        let router = world.boot().await;
        Self {
            binary,
            world,
            router,
            pki,
            cell,
            host,
            silent: None,
        }
    }

    /// The Envoy of `docs/envoy/grpc.yaml`.
    async fn grpc_envoy(&self) -> Envoy {
        let path = |name: &str| self.world.folder.path(name);
        let more = [
            (
                "address: 0.0.0.0, port_value: 8443",
                "address: 127.0.0.1, port_value: 0",
            ),
            ("/etc/envoy/server.pem", &path("envoy-server.pem")),
            ("/etc/envoy/server.key", &path("envoy-server.key")),
            ("/etc/envoy/envoy.pem", &path("envoy.pem")),
            ("/etc/envoy/envoy.key", &path("envoy.key")),
            ("/etc/envoy/clients.pem", &path("clients.pem")),
            ("/etc/envoy/cellway-ca.pem", &path("clients.pem")),
        ];
        self.envoy("grpc", GRPC, "envoy", &more).await
    }

    /// The Envoy of `docs/envoy/http.yaml`.
    async fn http_envoy(&self) -> Envoy {
        let more = [("port_value: 8080", "port_value: 0")];
        self.envoy("http", HTTP, "envoy-plain", &more).await
    }

    /// The same, which asks at the listener for Envoys with certificates.
    async fn http_envoy_over_tls(&self) -> Envoy {
        let path = |name: &str| self.world.folder.path(name);
        let cluster = "    - name: cellway\n      connect_timeout: 1s\n";
        let tls = format!(
            "{cluster}      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
          common_tls_context:
            tls_certificates:
              - certificate_chain: {{ filename: {} }}
                private_key: {{ filename: {} }}
            validation_context:
              trusted_ca: {{ filename: {} }}
",
            path("envoy.pem"),
            path("envoy.key"),
            path("clients.pem"),
        );
        let more = [("port_value: 8080", "port_value: 0"), (cluster, &*tls)];
        self.envoy("http", HTTP, "envoy", &more).await
    }

    /// An Envoy by the configuration of this page, changed where it must be.
    async fn envoy(&self, name: &str, page: &str, listener: &str, more: &[(&str, &str)]) -> Envoy {
        let asked = match &self.silent {
            Some(silent) => silent.local_addr().unwrap(),
            None => self.router.listener(listener),
        };
        let cellway = format!("port_value: {}", asked.port());
        let cell = format!("port_value: {}", self.host.address().port());
        let documented = match page {
            GRPC => "port_value: 9000",
            _ => "port_value: 9001",
        };
        let mut changes = vec![(documented, &*cellway), ("port_value: 9101", &*cell)];
        changes.extend(more);
        let config = adapted(page, &changes);
        Envoy::start(&self.binary, &self.world.folder, name, &config).await
    }

    fn bearer(&self, tenant: &str) -> Request {
        Request::get("/orders?page=2").bearer(&self.world.token_of(tenant))
    }

    /// Sends what must be refused: its status, and its reason in the header.
    async fn refused(&self, client: &Client<TokioEnv>, request: Request) -> Answer {
        let arrivals = self.cell.arrivals();
        let answer = client.send(request).await.unwrap();
        assert_eq!(self.cell.arrivals(), arrivals, "it arrived");
        answer
    }
}

fn with(request: Request, headers: &[(&'static str, &'static str)]) -> Request {
    headers.iter().fold(request, |request, (name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.header(name, HeaderValue::from_static(value))
    })
}

/// What arrived at the cell, by its own word.
async fn arrived(client: &Client<TokioEnv>, request: Request) -> Value {
    let answer = client.send(request).await.unwrap();
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    serde_json::from_slice(&answer.body).unwrap()
}

/// A request full of what no client may say.
fn stale(request: Request) -> Request {
    with(
        request,
        &[
            ("x-cellway-cell", "q"),
            ("x-cellway-tenant", "globex"),
            ("x-cellway-tenant", "initech"),
            ("x-cellway-workspace", "forged"),
            ("x-cellway-made-up", "1"),
            ("x_cellway_roles", "admin"),
            ("x-routing-key", "globex"),
            (
                "x-forwarded-client-cert",
                "URI=spiffe://clients.test/tenant/globex",
            ),
            ("accept", "text/html"),
        ],
    )
}

/// Only what was proven arrives, under the names that say so, at the cell that was decided.
async fn only_proven(client: &Client<TokioEnv>, request: Request) {
    let echo = arrived(client, stale(request)).await;
    assert_eq!(echo["path"], "/orders?page=2");
    let headers = echo["headers"].as_object().unwrap();
    let stamped = |name: &str| headers[&format!("x-cellway-{name}")].as_str().unwrap();
    assert_eq!(stamped("cell"), "a");
    assert_eq!(stamped("tenant"), "acme");
    assert_eq!(stamped("auth"), "verified");
    assert_eq!(stamped("placement-epoch"), "6");
    assert_eq!(stamped("request-id").len(), 32);
    for empty in ["workspace", "org", "roles"] {
        assert_eq!(stamped(empty), "", "{empty} is there, and empty");
    }
    let own: Vec<_> = headers
        .keys()
        .filter(|name| name.contains("cellway"))
        .collect();
    assert_eq!(own.len(), 9, "{own:?}");
    for gone in ["authorization", "x-routing-key", "x-forwarded-client-cert"] {
        assert!(!headers.contains_key(gone), "{gone}: {headers:?}");
    }
    assert_eq!(headers["accept"], "text/html");
}

fn reason(answer: &Answer) -> &str {
    answer.headers["x-cellway-reason"].to_str().unwrap()
}

/// Denials reach the client as the router made them.
async fn denials(scene: &Scene, client: &Client<TokioEnv>) {
    let answer = scene.refused(client, Request::get("/")).await;
    assert_eq!(
        (answer.status.as_u16(), reason(&answer)),
        (401, "missing_token")
    );
    assert_eq!(
        answer.headers["www-authenticate"],
        "Bearer realm=\"cellway\""
    );
    let page: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(page["error"]["reason"], "missing_token");
    let answer = scene.refused(client, scene.bearer("wayne")).await;
    assert_eq!(
        (answer.status.as_u16(), reason(&answer)),
        (403, "tenant_suspended")
    );
    let two = scene.bearer("acme").bearer(&scene.world.token());
    let answer = scene.refused(client, two).await;
    assert_eq!(
        (answer.status.as_u16(), reason(&answer)),
        (401, "duplicate_credentials")
    );
    let forged = with(
        Request::get("/"),
        &[(
            "x-forwarded-client-cert",
            "URI=spiffe://clients.test/tenant/acme",
        )],
    );
    let answer = scene.refused(client, forged).await;
    assert_eq!(
        (answer.status.as_u16(), reason(&answer)),
        (401, "missing_token")
    );
}

/// What a gRPC client sees of denials.
async fn grpc_denials(scene: &Scene, client: &Client<TokioEnv>) {
    let kind = [("content-type", "application/grpc"), ("te", "trailers")];
    for (request, status, message) in [
        (Request::get("/pkg.Service/Method"), "16", "missing_token"),
        (scene.bearer("wayne"), "7", "tenant_suspended"),
        (scene.bearer("stark"), "14", "cell_quarantined"),
    ] {
        let answer = scene.refused(client, with(request, &kind)).await;
        assert_eq!(answer.status, 200, "{message}");
        assert_eq!(answer.headers["grpc-status"], status, "{message}");
        assert_eq!(answer.headers["grpc-message"], message);
    }
}

/// With the router gone nothing passes.
async fn closed(scene: &Scene, client: &Client<TokioEnv>) {
    let answer = scene.refused(client, scene.bearer("acme")).await;
    assert_eq!(answer.status, 503, "{:?}", answer.headers);
    assert!(answer.headers.get("x-cellway-reason").is_none());
}

#[tokio::test]
#[ignore = "installs a real Envoy under target/; run it with -- --ignored"]
async fn an_envoy_lets_pass_what_the_router_allows_and_nothing_else() {
    let scene = Scene::new(install::envoy()).await;
    let envoy = scene.grpc_envoy().await;
    let plain = scene.http_envoy().await;
    let tls = |san, alpn| Some(scene.pki.client(san, alpn));
    let h1 = envoy.client(Protocol::Http1, tls(None, b"http/1.1"));
    let h2 = envoy.client(Protocol::Http2, tls(None, b"h2"));
    let by_http = plain.client(Protocol::Http1, None);
    let acme = "spiffe://clients.test/tenant/acme";
    let certified = envoy.client(Protocol::Http2, tls(Some(acme), b"h2"));
    let nobody = envoy.client(Protocol::Http2, tls(Some("spiffe://clients.test/x"), b"h2"));

    for client in [&h1, &h2, &by_http] {
        only_proven(client, scene.bearer("acme")).await;
        denials(&scene, client).await;
    }
    only_proven(&certified, Request::get("/orders?page=2")).await;
    let answer = scene.refused(&nobody, Request::get("/")).await;
    assert_eq!(
        (answer.status.as_u16(), reason(&answer)),
        (401, "san_not_accepted")
    );
    let answer = scene.refused(&certified, scene.bearer("globex")).await;
    assert_eq!(
        (answer.status.as_u16(), reason(&answer)),
        (403, "identity_conflict")
    );
    let answer = scene.refused(&h2, scene.bearer("stark")).await;
    assert_eq!(
        (answer.status.as_u16(), reason(&answer)),
        (503, "cell_quarantined")
    );
    assert!(answer.headers.contains_key("retry-after"));
    // In the plain form Envoy takes an authorizer's 503 for a failure, and says so for itself.
    let answer = scene.refused(&by_http, scene.bearer("stark")).await;
    assert_eq!(answer.status, 503);
    grpc_denials(&scene, &h2).await;

    scene.router.handle.drain(Duration::ZERO).await;
    for client in [&h1, &h2, &by_http, &certified] {
        closed(&scene, client).await;
    }
}
