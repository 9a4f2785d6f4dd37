//! Envoys: hosts that ask a router about each request and forward it to a cell themselves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cellway_env::Env;
use cellway_testbed::{Client, Credential, Envoy, Protocol, Target, TestbedError};
use http::HeaderMap;

use super::bounds::HEADER_PREFIX;
use super::documents::CELL_PORT;
use super::hosts::{TAG, any};
use super::router::{ASKED_PORT, PORT};
use super::state::{Served, WorldHandle, tls_provider};
use crate::engine::{Engine, SimEnv};
use crate::fact::Fact;
use crate::scenario::{self, Authority, CellProtocol, Scenario};

/// How long an Envoy waits for its router.
const ASKS_FOR: Duration = Duration::from_secs(1);

/// How long it waits for a cell.
const FORWARDS_FOR: Duration = Duration::from_secs(8);

/// Adds an Envoy. It listens on the same port as routers.
pub(super) fn add(
    engine: &mut Engine,
    world: &WorldHandle,
    scenario: &Scenario,
    spec: &scenario::Envoy,
) -> Result<(), TestbedError> {
    let credential = world.lock().pki.envoy(&spec.name)?;
    let (world, router) = (world.clone(), spec.router.clone());
    let cells: Arc<BTreeMap<_, _>> = Arc::new(scenario.cells.iter().map(address).collect());
    engine.host(&spec.name, move |env| {
        let (world, router) = (world.clone(), router.clone());
        let (credential, cells) = (credential.clone(), cells.clone());
        async move {
            let tls = world.serve_tls(&env, Served::Server);
            let tls = tls.expect("the testbed's certificates are valid");
            let asks = asks(&env, &world, &router, &credential);
            let asks = asks.expect("the testbed's certificates are valid");
            let envoy = envoy(&env, &world, asks, cells);
            let listener = env.bind(any(PORT), false).await;
            let listener = listener.expect("a fresh host's ports are free");
            let _ended = envoy.serve(listener, tls).await;
        }
    });
    Ok(())
}

/// The id of a cell, with its first host and protocol.
fn address(cell: &scenario::Cell) -> (String, (String, Protocol)) {
    let host = cell.hosts().next().unwrap_or_default();
    let protocol = match cell.protocol {
        CellProtocol::Http | CellProtocol::Https => Protocol::Http1,
        CellProtocol::H2c => Protocol::Http2,
    };
    (cell.id.clone(), (host, protocol))
}

fn asks(
    env: &SimEnv,
    world: &WorldHandle,
    router: &str,
    credential: &Credential,
) -> Result<Client<SimEnv>, TestbedError> {
    let roots = world.lock().pki.roots(Authority::Servers)?;
    let tls = tls_provider(env).client(roots, Some(credential), Protocol::Http2)?;
    let target = Target {
        host: router.to_owned(),
        port: ASKED_PORT,
        tls: Some(tls),
        protocol: Protocol::Http2,
    };
    Ok(Client::new(env.clone(), target, ASKS_FOR))
}

fn envoy(
    env: &SimEnv,
    world: &WorldHandle,
    asks: Client<SimEnv>,
    cells: Arc<BTreeMap<String, (String, Protocol)>>,
) -> Envoy<SimEnv> {
    let here = env.clone();
    let find = move |cell: &str| {
        let (host, protocol) = cells.get(cell)?.clone();
        let target = Target {
            host,
            port: CELL_PORT,
            tls: None,
            protocol,
        };
        Some(Client::new(here.clone(), target, FORWARDS_FOR))
    };
    let (here, world) = (env.clone(), world.clone());
    Envoy::new(
        env.clone(),
        HEADER_PREFIX,
        asks,
        find,
        move |headers, outcome| {
            let fact = Fact::Checked {
                tag: tag(headers),
                outcome: outcome.clone(),
            };
            world.tell(&here, &fact);
        },
    )
}

fn tag(headers: &HeaderMap) -> Option<String> {
    let tag = headers.get(TAG)?.to_str().ok()?;
    Some(tag.to_owned())
}
