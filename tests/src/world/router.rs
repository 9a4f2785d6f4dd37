//! The router, started as `cellway serve` starts it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cellway_env::tokio::TokioEnv;
use cellway_env::{Env, Privacy, Store};
use cellway_router::admin::{Admin, Audience};
use cellway_router::config::Config;
use cellway_router::metrics::{Counting, Metrics};
use cellway_router::reload::Reloader;
use cellway_router::{Handle, Router};
use cellway_testbed::{Answer, Ca, Client, Credential, Protocol, Request, Target, TlsProvider};
use serde_json::Value;
use tokio::sync::Notify;

use super::{EventLog, PATIENCE, provider};

type Sinks = (EventLog, Counting);

/// A router that serves.
pub struct Running {
    /// The router's handle.
    pub handle: Handle<TokioEnv, Sinks>,
    /// What it says of itself.
    pub events: EventLog,
    asked: Arc<Notify>,
    admin: Option<SocketAddr>,
    plain: bool,
}

/// Reads the configuration in `file`, as an operator wrote it.
///
/// # Errors
/// What `cellway serve` would print.
pub async fn settings(file: &str) -> Result<Config, String> {
    let env = TokioEnv::new();
    let text = env.store().read(file, Config::BYTES_MAX, Privacy::Any);
    let text = text.await.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&text);
    Config::load(file, &text, []).map_err(|errors| errors.to_string())
}

/// Starts the router of this configuration.
///
/// # Errors
/// What `cellway serve` would print.
pub async fn boot(file: &str) -> Result<Running, String> {
    let env = TokioEnv::new();
    let config = settings(file).await?;
    let metrics = Metrics::new();
    let events = EventLog::default();
    let sink = (events.clone(), metrics.sink());
    let TlsProvider { crypto, time } = provider();
    let settings = config.router.clone();
    let router = Router::builder(env.clone(), settings, crypto, time, sink.clone());
    // Tests look at what a router without a registry answers, too.
    let router = router.open_wait(Duration::ZERO);
    let router = router.workers(config.workers.unwrap_or(1));
    let handle = router.start().await.map_err(|error| error.to_string())?;
    let plain = config.router.listeners[0].tls.is_none();
    let mut admin = None;
    if let Some(address) = config.admin {
        let audience = Audience::of_admin(&config.router);
        let bound = Admin::bind(env.clone(), address, audience).await;
        let bound = bound.map_err(|error| error.to_string())?;
        admin = Some(bound.address());
        let subject = handle.clone();
        env.spawn(async move { match bound.serve(subject, metrics).await {} });
    }
    let asked = Arc::new(Notify::new());
    let reloader = Reloader::new(&handle, file, Vec::new, config);
    env.spawn(reloader.run(Arc::clone(&asked)));
    Ok(Running {
        handle,
        events,
        asked,
        admin,
        plain,
    })
}

impl Running {
    /// Where its first listener is.
    pub fn address(&self) -> SocketAddr {
        self.handle.addresses()[0].1
    }

    /// Whether its first listener has no TLS.
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// A client of the first listener, which trusts these authorities and shows `credential`.
    pub fn client(
        &self,
        protocol: Protocol,
        trusted: &[&Ca],
        credential: Option<&Credential>,
    ) -> Client<TokioEnv> {
        let roots = Ca::roots(trusted).expect("a good root");
        let tls = provider().client(roots, credential, protocol);
        let tls = Some(tls.expect("a good credential"));
        to(self.address(), protocol, tls)
    }

    /// Where the listener of this name is.
    pub fn listener(&self, name: &str) -> SocketAddr {
        let mut addresses = self.handle.addresses().iter();
        let found = addresses.find(|(other, _)| **other == *name);
        found.expect("a listener of the configuration").1
    }

    /// A client of the first listener, where that is plain.
    pub fn plain_client(&self, protocol: Protocol) -> Client<TokioEnv> {
        to(self.address(), protocol, None)
    }

    /// A client of the admin listener, which trusts these authorities and shows `credential`.
    pub fn admin_client(
        &self,
        trusted: &[&Ca],
        credential: Option<&Credential>,
    ) -> Client<TokioEnv> {
        let roots = Ca::roots(trusted).expect("a good root");
        let tls = provider().client(roots, credential, Protocol::Http1);
        let address = self.admin.expect("it has an admin listener");
        to(
            address,
            Protocol::Http1,
            Some(tls.expect("a good credential")),
        )
    }

    /// A page of the admin listener.
    pub async fn admin(&self, path: &str) -> Answer {
        let address = self.admin.expect("it has an admin listener");
        let client = to(address, Protocol::Http1, None);
        client.send(Request::get(path)).await.expect("it answers")
    }

    /// What `/readyz` says, with its status.
    pub async fn readyz(&self) -> (u16, Value) {
        let answer = self.admin("/readyz").await;
        let page = serde_json::from_slice(&answer.body).expect("JSON");
        (answer.status.as_u16(), page)
    }

    /// The samples of one metric that aren't 0, as `/metrics` has them.
    pub async fn metric(&self, name: &str) -> Vec<String> {
        let page = self.admin("/metrics").await.body;
        let page = String::from_utf8(page.into()).expect("text");
        let samples = page.lines().filter(|line| line.starts_with(name));
        samples
            .filter(|line| !line.ends_with(" 0"))
            .map(str::to_owned)
            .collect()
    }

    /// Asks for a reload, as SIGHUP does, and waits until it was refused; why.
    pub async fn reload_refused(&self) -> String {
        let seen = self.events.count("reload_refused");
        self.asked.notify_one();
        let line = self.events.after("reload_refused", seen).await;
        line["error"].as_str().expect("it says why").to_owned()
    }

    /// Asks for a reload, as SIGHUP does, and waits until it is done.
    pub async fn reload(&self) {
        let seen = self.events.count("reloaded");
        self.asked.notify_one();
        self.events.after("reloaded", seen).await;
    }
}

/// A client of whatever listens at this address.
pub fn to(
    address: SocketAddr,
    protocol: Protocol,
    tls: Option<Arc<rustls::ClientConfig>>,
) -> Client<TokioEnv> {
    let target = Target {
        host: address.ip().to_string(),
        port: address.port(),
        tls,
        protocol,
    };
    Client::new(TokioEnv::new(), target, PATIENCE)
}

/// The reason of an answer of the router's own, which must say the same in header and body.
pub fn reason(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let error = &body["error"];
    assert_eq!(error["owner"], "router", "{error}");
    assert_eq!(answer.headers["x-cellway-owner"], "router");
    let reason = answer.headers["x-cellway-reason"].to_str().expect("text");
    assert_eq!(error["reason"], reason);
    reason.to_owned()
}
