//! What stands around the demo's router: authorities, identity provider, control plane, cells.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cellway_core::Unix;
use serde_json::{Value, json};

use super::DemoError;
use crate::env::{Env, Listener};
use crate::lab::{
    Algorithm, Ca, CertificateSpec, ControlPlane, Credential, EchoCell, IdentityProvider, Key,
    LabError, Report, San, ServerTls, Signer, TlsProvider, Usage, Validity,
};

/// How long the demo's certificates hold.
const LIFETIME: Duration = Duration::from_secs(30 * 86_400);
/// The value of every header that a sample request forges; no cell may see it.
pub(super) const FORGED: &str = "forged";
/// The `aud` that the router asks for.
pub(super) const AUDIENCE: &str = "cellway-demo";
/// The SPIFFE trust domain of the demo's clients.
pub(super) const TRUST_DOMAIN: &str = "clients.demo";

/// The cells: id, tier, region, and the SAN that their certificate carries.
const CELLS: [(&str, &str, &str, &str); 3] = [
    (
        "premium-eu",
        "premium",
        "eu",
        "spiffe://cells.demo/cell/premium-eu",
    ),
    (
        "standard-eu",
        "standard",
        "eu",
        "spiffe://cells.demo/cell/standard-eu",
    ),
    ("standard-us", "standard", "us", "standard-us.cells.demo"),
];

/// The authorities of the demo, one for each kind of trust.
pub(super) struct Authorities {
    /// Of servers that clients and the router call: the router, the sources.
    pub(super) servers: Ca,
    /// Of clients.
    pub(super) clients: Ca,
    /// Of cells, and of the router as their client.
    pub(super) cells: Ca,
    validity: Validity,
}

impl Authorities {
    /// New authorities, with keys of the kind that every TLS client accepts.
    pub(super) fn generate(now: Unix) -> Result<Self, LabError> {
        let validity = Validity::around(now, LIFETIME);
        let ca = |name, serial| Ca::new(name, &Key::generate_p256()?, validity, serial);
        Ok(Self {
            servers: ca("Cellway demo servers", 1)?,
            clients: ca("Cellway demo clients", 2)?,
            cells: ca("Cellway demo cells", 3)?,
            validity,
        })
    }

    /// The certificate of a server on loopback.
    pub(super) fn server(&self, name: &str, serial: u64) -> Result<Credential, LabError> {
        let sans = vec![
            San::Dns("localhost".to_owned()),
            San::Ip(Ipv4Addr::LOCALHOST.into()),
        ];
        self.issue(&self.servers, name, sans, Usage::Server, serial)
    }

    /// A client's certificate: a service of `tenant`.
    pub(super) fn client(&self, tenant: &str, serial: u64) -> Result<Credential, LabError> {
        let id = format!("spiffe://{TRUST_DOMAIN}/tenant/{tenant}/service/billing");
        let sans = vec![San::Uri(id)];
        self.issue(&self.clients, tenant, sans, Usage::Client, serial)
    }

    /// The certificate that the router shows to cells.
    pub(super) fn router(&self, serial: u64) -> Result<Credential, LabError> {
        let sans = vec![San::Uri("spiffe://cells.demo/router".to_owned())];
        self.issue(&self.cells, "router", sans, Usage::Client, serial)
    }

    fn cell(&self, id: &str, san: &str, serial: u64) -> Result<Credential, LabError> {
        let san = if san.contains("://") {
            San::Uri(san.to_owned())
        } else {
            San::Dns(san.to_owned())
        };
        self.issue(&self.cells, id, vec![san], Usage::Server, serial)
    }

    fn issue(
        &self,
        ca: &Ca,
        name: &str,
        sans: Vec<San>,
        usage: Usage,
        serial: u64,
    ) -> Result<Credential, LabError> {
        let spec = CertificateSpec {
            common_name: name.to_owned(),
            sans,
            usage,
            validity: self.validity,
            serial,
        };
        ca.issue(&spec, &Key::generate_p256()?)
    }
}

/// What a router finds when it starts.
pub(super) struct World {
    pub(super) authorities: Authorities,
    pub(super) idp: IdentityProvider,
    pub(super) cells: Vec<EchoCell>,
    /// The document that the control plane publishes.
    pub(super) registry: Value,
    /// Where it is.
    pub(super) registry_url: String,
    /// What the control plane asks of the router.
    pub(super) registry_token: String,
    forged: Arc<AtomicBool>,
}

impl World {
    /// Starts all hosts on free loopback ports.
    pub(super) async fn start<E: Env>(env: &E, provider: &TlsProvider) -> Result<Self, DemoError> {
        let authorities = Authorities::generate(env.unix_now())?;
        let forged = Arc::new(AtomicBool::new(false));
        let idp = start_idp(env, provider, &authorities).await?;
        let (cells, registry) = start_cells(env, provider, &authorities, &forged).await?;
        let registry_token = random_hex(env);
        let plane = ControlPlane::new(registry.to_string()).with_bearer(&registry_token);
        let tls = provider.server(&authorities.server("control plane", 11)?, None)?;
        let (listener, address) = listen(env).await?;
        let served = env.clone();
        run(env, "control plane", async move {
            plane.serve(served, listener, ServerTls::new(tls)).await
        });
        Ok(Self {
            authorities,
            idp,
            cells,
            registry,
            registry_url: format!("https://{address}/manage/cells"),
            registry_token,
            forged,
        })
    }

    /// Whether a forged header reached a cell, ever.
    pub(super) fn forgery_arrived(&self) -> bool {
        self.forged.load(Ordering::Relaxed)
    }

    /// How many requests reached cells.
    pub(super) fn arrivals(&self) -> u64 {
        self.cells.iter().map(EchoCell::arrivals).sum()
    }
}

/// A free port of loopback, on which nothing listens any more when this returns.
pub(super) async fn free_port<E: Env>(env: &E) -> io::Result<u16> {
    let (_, address) = listen(env).await?;
    Ok(address.port())
}

/// 16 random bytes in hexadecimal.
pub(super) fn random_hex<E: Env>(env: &E) -> String {
    let mut bytes = [0; 16];
    env.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn listen<E: Env>(env: &E) -> io::Result<(E::Listener, SocketAddr)> {
    let listener = env.bind((Ipv4Addr::LOCALHOST, 0).into(), false).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Runs a host for the rest of the demo, and says so if it ends before.
fn run<E: Env>(
    env: &E,
    name: &'static str,
    host: impl Future<Output = io::Result<()>> + Send + 'static,
) {
    env.spawn(async move {
        if let Err(why) = host.await {
            eprintln!("cellway demo: the {name} ended: {why}");
        }
    });
}

async fn start_idp<E: Env>(
    env: &E,
    provider: &TlsProvider,
    authorities: &Authorities,
) -> Result<IdentityProvider, DemoError> {
    let (listener, address) = listen(env).await?;
    let signer = Signer::generate("rsa-1", Algorithm::Rs256)?;
    let idp = IdentityProvider::new(&format!("https://{address}"), signer);
    idp.publish(Signer::generate("ec-1", Algorithm::Es256)?);
    idp.publish(Signer::generate("ed-1", Algorithm::EdDsa)?);
    let tls = provider.server(&authorities.server("identity provider", 10)?, None)?;
    let (host, served) = (idp.clone(), env.clone());
    run(env, "identity provider", async move {
        host.serve(served, listener, ServerTls::new(tls)).await
    });
    Ok(idp)
}

/// Starts the cells; also gives the registry document that lists them.
async fn start_cells<E: Env>(
    env: &E,
    provider: &TlsProvider,
    authorities: &Authorities,
    forged: &Arc<AtomicBool>,
) -> Result<(Vec<EchoCell>, Value), DemoError> {
    let mut cells = Vec::new();
    let mut listed = Vec::new();
    for (serial, (id, tier, region, san)) in (20..).zip(CELLS) {
        let (listener, address) = listen(env).await?;
        let forged = forged.clone();
        let cell = EchoCell::new(id, move |report| {
            if carries_forgery(report) {
                forged.store(true, Ordering::Relaxed);
            }
        });
        let credential = authorities.cell(id, san, serial)?;
        let routers = Ca::roots(&[&authorities.cells])?;
        let tls = provider.server(&credential, Some(routers))?;
        let (host, served) = (cell.clone(), env.clone());
        run(env, id, async move {
            host.serve(served, listener, ServerTls::new(tls)).await
        });
        cells.push(cell);
        listed.push(json!({
            "id": id, "tier": tier, "region": region, "state": "active",
            "endpoints": [{ "url": format!("https://{address}"), "san": san }],
        }));
    }
    Ok((cells, registry(listed)))
}

fn carries_forgery(report: Report<'_>) -> bool {
    let headers = match report {
        Report::Arrived(received) => &received.headers,
        Report::Ended(_, ended) => &ended.trailers,
    };
    headers.iter().any(|(_, value)| value.contains(FORGED))
}

fn registry(cells: Vec<Value>) -> Value {
    json!({
        "version": 1,
        "cells": cells,
        "placements": [
            { "id": "premium", "tier": "premium", "cells": ["premium-eu"] },
            {
                "id": "standard", "tier": "standard", "stateless": true,
                "cells": ["standard-eu", "standard-us"],
            },
        ],
        "tenants": [
            { "id": "acme", "placement": "premium" },
            { "id": "globex", "cell": "standard-us" },
            { "id": "initech", "cell": "standard-eu" },
            { "id": "umbrella", "placement": "standard" },
            { "id": "wayne", "placement": "premium", "status": "suspended" },
        ],
        "unknown_tenant": "deny",
    })
}
