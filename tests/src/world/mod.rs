//! A whole system over real sockets: a router, and everything that it talks to.
//!
//! The router is started as `cellway serve` starts it: from a configuration file that
//! `Config::load` reads, with keys by OIDC discovery, the registry from a control plane, mutual
//! TLS to the cells, an admin listener, and reloads on request. Its surroundings are the testbed,
//! each host on a port that it keeps while it is down.

mod authorities;
mod events;
mod host;
mod router;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cellway_core::Unix;
use cellway_env::Env;
use cellway_env::tokio::TokioEnv;
use cellway_testbed::{
    Claims, ControlPlane, EchoCell, Ended, IdentityProvider, Received, Report, ServerTls, Signer,
};
use serde_json::{Value, json};
use tokio::time::timeout;

pub use cellway_testbed::{AUDIENCE, Folder};

pub use self::authorities::{Authorities, CELL_SAN, TENANT_SAN, certificate, loopback, provider};
pub use self::events::EventLog;
pub use self::host::{Host, Reserved};
pub use self::router::{Running, boot, reason, settings, to};

/// The longest that a test waits for what must come. Far above what anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long whatever a test issues holds.
pub const HOUR: Duration = Duration::from_secs(3_600);

/// A listener `envoy` for external authorization, which answers everybody on this machine.
pub const AUTHORIZER: &str = r#"
[[listener]]
name = "envoy"
bind = "127.0.0.1:0"
serves = "ext_authz"
callers = "loopback"
"#;

/// What a router finds around it.
pub struct World {
    /// Where its configuration and everything that this names is.
    pub folder: Folder,
    /// Who issued which certificates.
    pub authorities: Authorities,
    /// The identity provider.
    pub idp: IdentityProvider,
    /// The identity provider's place in the network.
    pub idp_host: Host,
    /// The control plane.
    pub plane: ControlPlane,
    /// The control plane's place in the network.
    pub plane_host: Host,
    /// The cell `a`, which has the tenants.
    pub cell: EchoCell,
    /// What reached the cell.
    pub seen: Seen,
    /// The document that the control plane began with.
    pub registry: Value,
}

impl World {
    /// Everything but the router, with identity provider and control plane down; the cell serves.
    pub async fn down(signer: Signer) -> Self {
        let authorities = Authorities::new();
        let source = ServerTls::new(authorities.source());
        let idp_port = Host::reserve();
        let idp = IdentityProvider::new(&format!("https://{}", idp_port.address()), signer);
        let (served, tls) = (idp.clone(), source.clone());
        let idp_host = idp_port.host(move |env, listener| {
            let (served, tls) = (served.clone(), tls.clone());
            async move { served.serve(env, listener, tls).await }
        });

        let seen = Seen::default();
        let hears = seen.clone();
        let cell = EchoCell::new("a", move |report| hears.take(report));
        let (served, tls) = (cell.clone(), ServerTls::new(authorities.cell()));
        let mut cell_host = Host::reserve().host(move |env, listener| {
            let (served, tls) = (served.clone(), tls.clone());
            async move { served.serve(env, listener, tls).await }
        });
        cell_host.start().await;

        let registry = registry(&format!("https://{}", cell_host.address()));
        let plane = ControlPlane::new(registry.to_string());
        let served = plane.clone();
        let plane_host = Host::reserve().host(move |env, listener| {
            let (served, tls) = (served.clone(), source.clone());
            async move { served.serve(env, listener, tls).await }
        });
        let folder = Folder::generate();
        authorities.write(&folder);
        let world = Self {
            folder,
            authorities,
            idp,
            idp_host,
            plane,
            plane_host,
            cell,
            seen,
            registry,
        };
        world.configure(&world.config());
        world
    }

    /// As [`down`](Self::down), with everything up.
    pub async fn up(signer: Signer) -> Self {
        let mut world = Self::down(signer).await;
        world.idp_host.start().await;
        world.plane_host.start().await;
        world
    }

    /// The configuration that tests begin with: everything on, short intervals, reloads on
    /// request only.
    pub fn config(&self) -> String {
        let (issuer, plane) = (self.idp.issuer(), self.plane_host.address());
        format!(
            r#"
[[listener]]
name = "public"
bind = "127.0.0.1:0"
[listener.tls]
certificate = "server.pem"
key = "server.key"
client_certificate = "optional"

[[issuer]]
name = "main"
issuer = "{issuer}"
audience = "{AUDIENCE}"
keys = {{ retry_min_secs = 1, retry_max_secs = 1 }}

[[policy]]
name = "default"
mode = "required"
any_of = ["jwt", "mtls"]

[trust]
bundle = "clients.pem"
trust_domains = ["clients.test"]
san = ["spiffe://{{trust_domain}}/tenant/{{tenant}}"]

[registry]
url = "https://{plane}/manage/cells"
poll_secs = 1
retry_max_secs = 1
stale_after_secs = 2

[upstream]
bundle = "cells.pem"
certificate = "router.pem"
key = "router.key"

[fetch]
bundle = "servers.pem"

[state]
directory = "state"

[admin]
bind = "127.0.0.1:0"

[runtime]
watch_secs = 3600
"#
        )
    }

    /// Writes the router's configuration.
    pub fn configure(&self, text: &str) {
        self.folder.write("cellway.toml", text);
    }

    /// Adds this to the configuration that tests begin with, starts the router, and waits until it is
    /// ready.
    pub async fn with(&self, more: &str) -> Running {
        self.configure(&(self.config() + more));
        self.router().await
    }

    /// Starts the router from what was written, and waits until it is ready.
    pub async fn router(&self) -> Running {
        let running = self.boot().await;
        let ready = timeout(PATIENCE, running.handle.ready()).await;
        ready.unwrap_or_else(|_| panic!("never ready: {:#?}", running.events.lines()));
        running
    }

    /// Starts the router from what was written. It listens then, and may not be ready.
    pub async fn boot(&self) -> Running {
        let file = self.folder.path("cellway.toml");
        boot(&file).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The claims of a good token of `acme`.
    pub fn claims(&self) -> Claims {
        self.idp.claims(&TokioEnv::new(), "acme")
    }

    /// A good token of `acme`.
    pub fn token(&self) -> String {
        self.token_of("acme")
    }

    /// A good token of this tenant.
    pub fn token_of(&self, tenant: &str) -> String {
        let token = self.idp.token(&TokioEnv::new(), tenant);
        token.expect("it signs")
    }
}

/// A registry with one cell at `url`: five tenants, one of them suspended.
fn registry(url: &str) -> Value {
    json!({
        "version": 5,
        "cells": [{
            "id": "a", "tier": "standard", "region": "eu", "state": "active",
            "endpoints": [{ "url": url, "san": CELL_SAN }],
        }],
        "placements": [{ "id": "lobby", "tier": "standard", "cells": ["a"] }],
        "tenants": [
            { "id": "acme", "cell": "a" },
            { "id": "globex", "cell": "a" },
            { "id": "initech", "cell": "a" },
            { "id": "umbrella", "cell": "a" },
            { "id": "wayne", "cell": "a", "status": "suspended" },
        ],
    })
}

/// The present time.
pub fn now() -> Unix {
    TokioEnv::new().unix_now()
}

/// The requests that reached a cell, in order.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<Exchange>>>);

/// A request as the cell saw it, and how its body ended.
pub type Exchange = (Received, Option<Ended>);

impl Seen {
    fn take(&self, report: Report<'_>) {
        let mut seen = self.0.lock().expect("no test panics with it");
        match report {
            Report::Arrived(received) => seen.push((received.clone(), None)),
            Report::Ended(received, ended) => {
                let mut all = seen.iter_mut();
                if let Some(entry) = all.find(|(other, _)| other.ordinal == received.ordinal) {
                    entry.1 = Some(ended.clone());
                }
            }
            // No cell of these tests turns requests away.
            Report::CallEnded(..) | Report::Unserved(..) | Report::Left(_) => {}
        }
    }

    /// All since the last call, each with how it ended.
    pub fn since(&self) -> Vec<Exchange> {
        std::mem::take(&mut *self.0.lock().expect("no test panics with it"))
    }
}

/// Waits until a condition holds that notifies nobody: checks it every few milliseconds.
pub async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    const PAUSE: Duration = Duration::from_millis(5);
    let looking = async {
        while !holds().await {
            tokio::time::sleep(PAUSE).await;
        }
    };
    let found = timeout(PATIENCE, looking).await;
    assert!(found.is_ok(), "timed out waiting until {what}");
}
