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
use rustix::process::{Pid, Signal, kill_process};
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::{ClientConfig, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::work::{Listener, Work};

/// Bytes of an answer.
pub(crate) const ANSWER_LEN: usize = 256;

/// Tenants with tokens.
pub(crate) const TENANTS: usize = 1000;
/// Clients with certificates, each with a tenant of its own.
const CLIENTS: usize = 64;
/// Longer than any run.
const LIFETIME: Duration = Duration::from_secs(3600);

/// The name of the machine, for certificates.
const HOST: San = San::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST));

/// One authority for all, as small as it gets.
struct Authority {
    ca: Ca,
    validity: Validity,
    tls: TlsProvider,
}

/// The router, its cells, and what its clients carry. The router ends with it.
pub(crate) struct World {
    /// Set when it serves.
    router: Option<Child>,
    listeners: [SocketAddr; Listener::ALL.len()],
    folder: PathBuf,
    bearers: Arc<[HeaderValue]>,
    authority: Authority,
    clients: Vec<Credential>,
}

impl World {
    /// Starts the cells, on a thread of their own, and the router: under the program `under`, if it
    /// isn't empty. The registry has this many tenants with tokens or without.
    pub(crate) fn start(under: &[String], tenants: usize) -> Self {
        let mut world = Self::prepare(tenants);
        world.serve(under);
        world
    }

    /// Starts the cells, and writes what the router reads.
    pub(crate) fn prepare(tenants: usize) -> Self {
        let now = TokioEnv::new().unix_now();
        let authority = Authority::generate(now);
        let signer = Signer::generate("bench", Algorithm::Rs256).expect("a key");
        let cells = start_cells(authority.server(&authority.issue(HOST, Usage::Server, 2)));
        let folder = folder();
        let write = |name: &str, content: &str| {
            std::fs::write(folder.join(name), content).expect("a folder that can be written");
        };
        let credential = authority.issue(HOST, Usage::Both, 3);
        write("ca.pem", &authority.ca.pem());
        write("router.pem", credential.pem());
        write("router.key", &credential.key.pem().expect("a key"));
        write("keys.json", &format!(r#"{{"keys":[{}]}}"#, signer.jwk()));
        write("registry.json", &registry(&cells, tenants));
        write("cellway.toml", include_str!("cellway.toml"));
        let client = |number| {
            let uri = San::Uri(format!("spiffe://bench.example/tenant/{}", client(number)));
            authority.issue(uri, Usage::Client, 4 + number as u64)
        };
        Self {
            router: None,
            listeners: [SocketAddr::from(([0; 4], 0)); Listener::ALL.len()],
            folder,
            bearers: bearers(&signer, now, tenants / TENANTS),
            clients: (0..CLIENTS).map(client).collect(),
            authority,
        }
    }

    /// Starts the router: under the program `under`, if it isn't empty. Waits until it has its
    /// registry.
    pub(crate) fn serve(&mut self, under: &[String]) {
        let (router, listeners) = start_router(&self.folder, under);
        (self.router, self.listeners) = (Some(router), listeners);
    }

    /// The size of the registry's document.
    pub(crate) fn registry_bytes(&self) -> u64 {
        let document = std::fs::metadata(self.folder.join("registry.json"));
        document.expect("it was written").len()
    }

    /// The router's process.
    pub(crate) fn router(&self) -> u32 {
        self.router.as_ref().expect("it serves").id()
    }

    /// Asks the router to end, and waits until it has.
    pub(crate) fn end(&mut self) {
        let Some(router) = &mut self.router else {
            return;
        };
        // The kernel's number of a process fits.
        if let Some(process) = Pid::from_raw(router.id() as i32) {
            let _ = kill_process(process, Signal::TERM);
        }
        let _ = router.wait();
    }

    /// Where a listener is.
    pub(crate) fn address(&self, listener: Listener) -> SocketAddr {
        let index = Listener::ALL.iter().position(|it| *it == listener);
        self.listeners[index.expect("one of all")]
    }

    /// What to ask for.
    pub(crate) fn uri(&self, work: Work) -> Uri {
        let uri = match work.protocol {
            Protocol::Http1 => "/orders?page=2",
            Protocol::Http2 => "https://bench.example/orders?page=2",
        };
        Uri::from_static(uri)
    }

    /// The TLS of the client of this number.
    pub(crate) fn client_tls(&self, work: Work, number: usize) -> Option<Arc<ClientConfig>> {
        let Authority { ca, tls, .. } = &self.authority;
        let client = &self.clients[number % self.clients.len()];
        let config = || {
            let roots = Ca::roots(&[ca])?;
            let mut tls = tls.clone();
            let group = match work.post_quantum {
                true => kx_group::X25519MLKEM768,
                false => kx_group::X25519,
            };
            Arc::make_mut(&mut tls.crypto).kx_groups = vec![group];
            tls.client(roots, Some(client), work.protocol)
        };
        (work.listener.has_tls()).then(|| config().expect("a client's configuration"))
    }

    /// What requests carry as `Authorization`, in turn.
    pub(crate) fn bearers(&self, listener: Listener) -> Arc<[HeaderValue]> {
        match listener {
            Listener::Token => self.bearers.clone(),
            Listener::Plain | Listener::Handshake | Listener::Mutual | Listener::San => {
                Arc::default()
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(router) = &mut self.router {
            let _ = router.kill();
            let _ = router.wait();
        }
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

    fn issue(&self, san: San, usage: Usage, serial: u64) -> Credential {
        let spec = CertificateSpec::new("bench", san, usage, self.validity, serial);
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

/// A token for each tenant, or for one in `each` tenants if there are more of them.
fn bearers(signer: &Signer, now: Unix, each: usize) -> Arc<[HeaderValue]> {
    let bearer = |number| {
        let claims = Claims::new("https://idp.example", "cellway", now, LIFETIME)
            .tenant(&tenant(number * each))
            .subject("ada");
        let token = claims.sign(signer).expect("a token");
        HeaderValue::try_from(format!("Bearer {token}")).expect("a header's value")
    };
    (0..TENANTS).map(bearer).collect()
}

/// The tenant of the client certificate of this number.
fn client(number: usize) -> String {
    format!("client-{number:03}")
}

/// The tenants with tokens, on the two cells with TLS in turn, those with certificates on the plain
/// one, and one on each for listeners that ask for no identity.
fn registry(cells: &Cells, tenants: usize) -> String {
    let cell = |id: &str, url: String| {
        serde_json::json!({"id": id, "tier": "std", "region": "eu", "state": "active",
                           "endpoints": [{"url": url}]})
    };
    let secure = |number: usize| format!("https://{}", cells.secure[number]);
    let mut tenants: Vec<_> = (0..tenants)
        .map(|number| serde_json::json!({"id": tenant(number), "cell": (["a", "b"][number % 2])}))
        .collect();
    let clients = (0..CLIENTS).map(client).chain(["plain".to_owned()]);
    tenants.extend(clients.map(|id| serde_json::json!({"id": id, "cell": "plain"})));
    tenants.push(serde_json::json!({"id": "secure", "cell": "a"}));
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

/// Starts the binary, and waits until it listens everywhere and has its registry.
fn start_router(folder: &Path, under: &[String]) -> (Child, [SocketAddr; Listener::ALL.len()]) {
    let binary = env!("CARGO_BIN_EXE_cellway").to_owned();
    let serve = ["serve", "--config", "cellway.toml"].map(str::to_owned);
    let mut command = under.iter().cloned().chain([binary]).chain(serve);
    let mut child = Command::new(command.next().expect("a program"))
        .args(command)
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
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
    let addresses = Listener::ALL.map(|listener| {
        let line = wait("listening");
        assert_eq!(line["listener"], listener.name());
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
