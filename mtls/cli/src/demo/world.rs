//! The surroundings of the demo's router: CAs, identity provider, control plane, cells.

use std::future::Future;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cellway_env::{Env, Listener};
use cellway_testbed::{
    Algorithm, Ca, ControlPlane, EchoCell, IdentityProvider, Report, ServerTls, Signer, TlsProvider,
};
use serde_json::{Value, json};

use super::DemoError;
use super::authorities::Authorities;

/// The value of every header that a sample request forges; no cell may see it.
pub(super) const FORGED: &str = "forged";
/// The `aud` that the router asks for.
pub(super) const AUDIENCE: &str = "cellway-demo";

const CELLS: [Listed; 3] = [
    Listed {
        id: "premium-eu",
        tier: "premium",
        region: "eu",
        san: "spiffe://cells.demo/cell/premium-eu",
    },
    Listed {
        id: "standard-eu",
        tier: "standard",
        region: "eu",
        san: "spiffe://cells.demo/cell/standard-eu",
    },
    Listed {
        id: "standard-us",
        tier: "standard",
        region: "us",
        san: "standard-us.cells.demo",
    },
];

/// A cell's entry in the registry. Some cells have a URI as their SAN, others a DNS name.
#[derive(Clone, Copy)]
struct Listed {
    id: &'static str,
    tier: &'static str,
    region: &'static str,
    san: &'static str,
}

/// A running cell.
pub(super) struct Cell {
    listed: Listed,
    echo: EchoCell,
    url: String,
}

/// Everything that a router needs when it starts.
pub(super) struct World {
    pub(super) authorities: Authorities,
    pub(super) idp: IdentityProvider,
    pub(super) cells: Vec<Cell>,
    /// The document that the control plane publishes.
    pub(super) registry: Value,
    /// The registry's URL.
    pub(super) registry_url: String,
    /// The token that the control plane requires.
    pub(super) registry_token: String,
    forged: Arc<AtomicBool>,
}

impl World {
    /// Starts all hosts on free loopback ports.
    pub(super) async fn start<E: Env>(env: &E, provider: &TlsProvider) -> Result<Self, DemoError> {
        let authorities = Authorities::generate(env.unix_now())?;
        let forged = Arc::new(AtomicBool::new(false));
        let idp = start_idp(env, provider, &authorities).await?;
        let mut cells = Vec::new();
        for (serial, listed) in (20..).zip(CELLS) {
            let cell = start_cell(env, provider, &authorities, &forged, listed, serial);
            cells.push(cell.await?);
        }
        let registry = registry(&cells);
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

    /// The hosts and their addresses.
    pub(super) fn addresses(&self) -> Vec<(String, &str)> {
        let mut addresses = vec![
            ("identity provider".to_owned(), self.idp.issuer()),
            ("control plane".to_owned(), self.registry_url.as_str()),
        ];
        for Cell { listed, url, .. } in &self.cells {
            addresses.push((format!("cell {}", listed.id), url));
        }
        addresses
    }

    /// Whether a forged header ever reached a cell.
    pub(super) fn forgery_arrived(&self) -> bool {
        self.forged.load(Ordering::Relaxed)
    }

    /// How many requests reached cells.
    pub(super) fn arrivals(&self) -> u64 {
        self.cells.iter().map(|cell| cell.echo.arrivals()).sum()
    }
}

/// A free port of loopback. Nothing listens on it any more when this returns.
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

/// Runs a host for the rest of the demo, and reports if it ends early.
fn run<E: Env>(
    env: &E,
    name: &'static str,
    host: impl Future<Output = io::Result<()>> + Send + 'static,
) {
    env.spawn(async move {
        if let Err(why) = host.await {
            let _ = writeln!(io::stderr(), "cellway demo: the {name} ended: {why}");
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

async fn start_cell<E: Env>(
    env: &E,
    provider: &TlsProvider,
    authorities: &Authorities,
    forged: &Arc<AtomicBool>,
    listed: Listed,
    serial: u64,
) -> Result<Cell, DemoError> {
    let (listener, address) = listen(env).await?;
    let forged = forged.clone();
    let echo = EchoCell::new(listed.id, move |report| {
        if carries_forgery(report) {
            forged.store(true, Ordering::Relaxed);
        }
    });
    let credential = authorities.cell(listed.id, listed.san, serial)?;
    let routers = Ca::roots(&[&authorities.cells])?;
    let tls = provider.server(&credential, Some(routers))?;
    let (host, served) = (echo.clone(), env.clone());
    run(env, listed.id, async move {
        host.serve(served, listener, ServerTls::new(tls)).await
    });
    Ok(Cell {
        listed,
        echo,
        url: format!("https://{address}"),
    })
}

fn carries_forgery(report: Report<'_>) -> bool {
    let headers = match report {
        Report::Arrived(received) => &received.headers,
        Report::Ended(_, ended) => &ended.trailers,
        Report::CallEnded(..) | Report::Unserved(..) | Report::Left(_) => return false,
    };
    headers.iter().any(|(_, value)| value.contains(FORGED))
}

fn registry(cells: &[Cell]) -> Value {
    let cells: Vec<Value> = cells
        .iter()
        .map(|Cell { listed, url, .. }| {
            json!({
                "id": listed.id, "tier": listed.tier, "region": listed.region, "state": "active",
                "endpoints": [{ "url": url, "san": listed.san }],
            })
        })
        .collect();
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
            { "id": "acme", "placement": "premium", "allowed_roles": ["editor", "viewer"] },
            { "id": "globex", "cell": "standard-us" },
            { "id": "initech", "cell": "standard-eu" },
            { "id": "umbrella", "placement": "standard" },
            { "id": "wayne", "placement": "premium", "status": "suspended" },
        ],
        "unknown_tenant": "deny",
    })
}
