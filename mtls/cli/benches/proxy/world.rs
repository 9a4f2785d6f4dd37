//! The router, and its clients, sources and cells.

use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use cellway_core::Unix;
use cellway_env::Env;
use cellway_env::tokio::TokioEnv;
use cellway_testbed::{
    Algorithm, Ca, CertificateSpec, Claims, Credential, Key, Protocol, San, Signer, TlsProvider,
    Usage, Validity,
};
use http::{HeaderValue, Response, Uri};
use http_body_util::Full;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::ANSWER_LEN;

const TENANTS: usize = 1000;
/// Longer than any run.
const LIFETIME: Duration = Duration::from_secs(3600);

/// Where the router is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listener {
    /// Without TLS and identity.
    Plain,
    /// Mutual TLS, and a token that says the tenant.
    Mutual,
}

/// One authority for all, as small as it gets.
struct Authority {
    ca: Ca,
    validity: Validity,
    tls: TlsProvider,
}

/// The router, its cells, and what its clients carry. The router ends with it.
pub(crate) struct World {
    router: Child,
    plain: SocketAddr,
    mutual: SocketAddr,
    bearers: Arc<[HeaderValue]>,
    authority: Authority,
    client: Credential,
}

impl World {
    /// Starts the cells, on a thread of their own, and the router.
    pub(crate) fn start() -> Self {
        let now = TokioEnv::new().unix_now();
        let authority = Authority::generate(now);
        let signer = Signer::generate("bench", Algorithm::Rs256).expect("a key");
        let cells = start_cells(authority.server(&authority.issue("cell", Usage::Server, 2)));
        let folder = folder();
        let write = |name: &str, content: &str| {
            std::fs::write(folder.join(name), content).expect("a folder that can be written");
        };
        let credential = authority.issue("router", Usage::Both, 3);
        write("ca.pem", &authority.ca.pem());
        write("router.pem", credential.pem());
        write("router.key", &credential.key.pem().expect("a key"));
        write("keys.json", &format!(r#"{{"keys":[{}]}}"#, signer.jwk()));
        write("registry.json", &registry(&cells));
        write("cellway.toml", include_str!("cellway.toml"));
        let (router, [plain, mutual]) = start_router(&folder);
        Self {
            router,
            plain,
            mutual,
            bearers: bearers(&signer, now),
            client: authority.issue("client", Usage::Client, 4),
            authority,
        }
    }

    /// The router's process.
    pub(crate) fn router(&self) -> u32 {
        self.router.id()
    }

    /// Where it listens.
    pub(crate) fn address(&self, listener: Listener) -> SocketAddr {
        match listener {
            Listener::Plain => self.plain,
            Listener::Mutual => self.mutual,
        }
    }

    /// What to ask it for.
    pub(crate) fn uri(&self, listener: Listener, protocol: Protocol) -> Uri {
        let scheme = match listener {
            Listener::Plain => "http",
            Listener::Mutual => "https",
        };
        let uri = match protocol {
            Protocol::Http1 => "/orders?page=2".to_owned(),
            Protocol::Http2 => format!("{scheme}://bench.example/orders?page=2"),
        };
        uri.try_into().expect("a URI")
    }

    /// TLS towards it.
    pub(crate) fn client_tls(
        &self,
        listener: Listener,
        protocol: Protocol,
    ) -> Option<Arc<ClientConfig>> {
        let Authority { ca, tls, .. } = &self.authority;
        let config = || {
            let roots = Ca::roots(&[ca])?;
            tls.client(roots, Some(&self.client), protocol)
        };
        (listener == Listener::Mutual).then(|| config().expect("a client's configuration"))
    }

    /// What its requests carry as `Authorization`, in turn.
    pub(crate) fn bearers(&self, listener: Listener) -> Arc<[HeaderValue]> {
        match listener {
            Listener::Plain => Arc::default(),
            Listener::Mutual => self.bearers.clone(),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.router.kill();
        let _ = self.router.wait();
    }
}

impl Authority {
    fn generate(now: Unix) -> Self {
        let validity = Validity::around(now, LIFETIME);
        let key = Key::generate_p256().expect("a key");
        Self {
            ca: Ca::new("bench", &key, validity, 1).expect("an authority"),
            validity,
            tls: TlsProvider::default(),
        }
    }

    fn issue(&self, name: &str, usage: Usage, serial: u64) -> Credential {
        let spec = CertificateSpec {
            common_name: name.to_owned(),
            sans: vec![San::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST))],
            usage,
            validity: self.validity,
            serial,
        };
        let key = Key::generate_p256().expect("a key");
        self.ca.issue(&spec, &key).expect("a certificate")
    }

    fn server(&self, credential: &Credential) -> Arc<ServerConfig> {
        let clients = Ca::roots(&[&self.ca]).expect("roots");
        let config = self.tls.server(credential, Some(clients));
        config.expect("a server's configuration")
    }
}

/// A folder of this benchmark's own, in the build's.
fn folder() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench-proxy");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn tenant(number: usize) -> String {
    format!("tenant-{number:06}")
}

fn bearers(signer: &Signer, now: Unix) -> Arc<[HeaderValue]> {
    let bearer = |number| {
        let claims = Claims::new("https://idp.example", "cellway", now, LIFETIME)
            .tenant(&tenant(number))
            .subject("ada");
        let token = claims.sign(signer).expect("a token");
        HeaderValue::try_from(format!("Bearer {token}")).expect("a header's value")
    };
    (0..TENANTS).map(bearer).collect()
}

/// The tenants, on the two cells with TLS in turn, and one that the plain listener serves.
fn registry(cells: &Cells) -> String {
    let cell = |id: &str, url: String| {
        serde_json::json!({"id": id, "tier": "std", "region": "eu", "state": "active",
                           "endpoints": [{"url": url}]})
    };
    let secure = |number: usize| format!("https://{}", cells.secure[number]);
    let mut tenants: Vec<_> = (0..TENANTS)
        .map(|number| serde_json::json!({"id": tenant(number), "cell": (["a", "b"][number % 2])}))
        .collect();
    tenants.push(serde_json::json!({"id": "local", "cell": "plain"}));
    let document = serde_json::json!({
        "version": 1,
        "cells": [
            cell("a", secure(0)),
            cell("b", secure(1)),
            cell("plain", format!("http://{}", cells.plain)),
        ],
        "tenants": tenants,
    });
    document.to_string()
}

/// Starts the binary, and waits until it listens on both and has its registry.
fn start_router(folder: &Path) -> (Child, [SocketAddr; 2]) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_cellway"))
        .args(["serve", "--config", "cellway.toml"])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the router starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut wait = |event: &str| -> serde_json::Value {
        lines
            .by_ref()
            .map(|line| serde_json::from_str(&line.expect("a line")).expect("JSON"))
            .find(|line: &serde_json::Value| line["event"] == event)
            .expect("the router goes on")
    };
    let addresses = ["plain", "mutual"].map(|name| {
        let line = wait("listening");
        assert_eq!(line["listener"], name);
        let address = line["address"].as_str().unwrap_or_default();
        address.parse().expect("an address")
    });
    (child, addresses)
}

/// Where the cells listen.
struct Cells {
    plain: SocketAddr,
    secure: [SocketAddr; 2],
}

/// Runs the cells on a thread, which ends with the process.
fn start_cells(tls: Arc<ServerConfig>) -> Cells {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
            for tls in [None, Some(tls.clone()), Some(tls)] {
                let listener = bind().await.expect("a free port");
                let address = listener.local_addr().expect("an address");
                send.send(address).expect("somebody to tell");
                tokio::spawn(accept(listener, tls.map(TlsAcceptor::from)));
            }
            std::future::pending::<()>().await;
        });
    });
    let next = || receive.recv().expect("an address");
    Cells {
        plain: next(),
        secure: [next(), next()],
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>) {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        tokio::spawn(answer(stream, tls.clone()));
    }
}

/// Answers all requests of a connection; its errors are the router's to see.
async fn answer(stream: TcpStream, tls: Option<TlsAcceptor>) {
    let service = service_fn(async |_| {
        let body = Full::new(Bytes::from_static(&[b'.'; ANSWER_LEN]));
        Ok::<_, Infallible>(Response::new(body))
    });
    match tls {
        None => {
            let serving = http1::Builder::new();
            drop(
                serving
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        }
        Some(tls) => {
            let stream = tls.accept(stream).await.expect("a handshake");
            let serving = http2::Builder::new(TokioExecutor::new());
            drop(
                serving
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        }
    }
}
