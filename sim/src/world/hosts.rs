//! The testbed's hosts in a world: cells, identity providers, the control plane.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use cellway_env::Env;
use cellway_testbed::{EchoCell, IdentityProvider, Report, ServerTls, Validity};
use http::{HeaderName, HeaderValue};

use super::checker::is_checker;
use super::documents::CELL_PORT;
use super::envelope::{self, Cells};
use super::keys;
use super::own_host::{Host, Serves, ServesKeys};
use super::state::{CellHost, Served, WorldHandle};
use crate::engine::{Engine, SimEnv};
use crate::fact::{Arrived, BodyEnded, Fact};
use crate::invariants::FORGED_BY_CELL;
use crate::observer::Observer;
use crate::scenario::{CONTROL_PLANE, Cell, CellProtocol, FIRST_KEY, Issuer};

/// The header with the tag of a client's request.
pub(super) const TAG: &str = "x-sim-tag";

/// The trailer of every answer of a cell over HTTP/2.
pub(super) const ANSWER_TRAILER: &str = "x-sim-answer";

const HTTPS: u16 = 443;

pub(super) fn add_cell(
    engine: &mut Engine,
    world: &WorldHandle,
    cell: &Cell,
    verifying: Option<&Cells>,
    own: Option<&Serves>,
) {
    for host in cell.hosts() {
        let echo = EchoCell::new(&cell.id, cell_sink(world.observer.clone(), &host));
        // Every answer of a cell forges a header and a trailer of the router.
        let forged = HeaderValue::from_static(FORGED_BY_CELL);
        let name = HeaderName::from_static("x-cellway-made-up");
        echo.add_answer_header(name.clone(), forged.clone());
        echo.add_answer_trailer(name, forged);
        let whole = HeaderValue::from_static("whole");
        echo.add_answer_trailer(HeaderName::from_static(ANSWER_TRAILER), whole);
        echo.take_calls();
        let known = CellHost {
            id: cell.id.clone(),
            protocol: cell.protocol,
            echo,
            door: Arc::default(),
        };
        world.lock().cells.insert(host.clone(), known.clone());
        let world = world.clone();
        let verifying = verifying.cloned();
        let own = own.cloned();
        engine.host(&host, move |env| {
            let (world, known) = (world.clone(), known.clone());
            if let Some(cells) = &verifying {
                let judge = envelope::judge(&env, &world, cells, &known.id);
                let judge = judge.expect("the testbed's certificates are valid");
                known.echo.verify_envelopes(judge);
            }
            if let Some(serves) = &own {
                known.echo.answer_with(serves(Host::new(&env, &world)));
            }
            async move { serve_cell(env, world, known).await }
        });
    }
}

async fn serve_cell(env: SimEnv, world: WorldHandle, cell: CellHost) {
    let tls = match cell.protocol {
        CellProtocol::Http => ServerTls::plain(),
        CellProtocol::H2c => ServerTls::plain_h2(),
        CellProtocol::Https => {
            let validity = world.lock().expiring.get(&cell.id).copied();
            let (host, expires) = (env.name().to_owned(), validity.map(certificate_expires));
            let impersonates = world.lock().impostors.get(&cell.id).cloned();
            world.tell(
                &env,
                &Fact::CellCertificate {
                    host,
                    impersonates,
                    expires,
                    restarted: true,
                },
            );
            world
                .serve_tls(&env, Served::Cell(cell.id.clone()))
                .expect("the testbed's certificates are valid")
        }
    };
    loop {
        cell.door.until(true).await;
        let listener = env.bind(any(CELL_PORT), false).await;
        let listener = listener.expect("nothing else of the host takes this port");
        tokio::select! {
            biased;
            () = cell.door.until(false) => {}
            // A listener of the engine fails only with its host. If this returns, the run fails.
            _ended = cell.echo.serve(env.clone(), listener, tls.clone()) => return,
        }
    }
}

/// When a certificate expires, since the Unix epoch.
pub(super) fn certificate_expires(validity: Validity) -> Duration {
    // It is valid to the end of its last second.
    Duration::from_secs(validity.until.as_secs() + 1)
}

/// Whether these are the headers of a router's health check.
fn is_health_check(headers: &[(String, String)]) -> bool {
    let agent = headers.iter().find(|(name, _)| name == "user-agent");
    agent.is_some_and(|(_, agent)| is_checker(agent))
}

/// Turns the reports of a cell into facts.
fn cell_sink(observer: Observer, host: &str) -> impl Fn(Report<'_>) + Send + Sync + 'static {
    let host = host.to_owned();
    move |report| {
        let at = crate::engine::elapsed();
        let tag = |headers: &[(String, String)]| {
            let found = headers.iter().find(|(name, _)| name == TAG);
            found.map(|(_, value)| value.clone())
        };
        match report {
            // A health check is for nobody, and carries no tag and no stamps.
            Report::Arrived(received)
            | Report::Ended(received, _)
            | Report::CallEnded(received, _)
            | Report::Unserved(received, _)
            | Report::Left(received)
                if is_health_check(&received.headers) => {}
            Report::Arrived(received) => {
                let arrived = Arrived {
                    cell: received.cell.clone(),
                    host: host.clone(),
                    tag: tag(&received.headers),
                    connection: received.connection,
                    on_connection: received.on_connection,
                    streams_known: received.streams_known,
                    method: received.method.clone(),
                    path: received.path.clone(),
                    headers: received.headers.clone(),
                };
                observer.tell(at, &host, &Fact::Arrived(arrived));
            }
            Report::Ended(received, ended) => {
                let ended = BodyEnded {
                    cell: received.cell.clone(),
                    tag: tag(&received.headers),
                    bytes: ended.body_bytes,
                    complete: ended.complete,
                    trailers: ended.trailers.clone(),
                };
                observer.tell(at, &host, &Fact::BodyEnded(ended));
            }
            Report::CallEnded(received, ending) => {
                let ended = Fact::CallEnded {
                    host: host.clone(),
                    tag: tag(&received.headers),
                    status: ending.status,
                    has_message: ending.has_message,
                };
                observer.tell(at, &host, &ended);
            }
            Report::Unserved(received, how) => {
                let unserved = Fact::Unserved {
                    cell: received.cell.clone(),
                    host: host.clone(),
                    tag: tag(&received.headers),
                    how,
                };
                observer.tell(at, &host, &unserved);
            }
            // What is dropped after the run leaves its cell then.
            Report::Left(_) if !crate::engine::is_running() => {}
            Report::Left(received) => {
                let (left, tag) = (host.clone(), tag(&received.headers));
                observer.tell(at, &host, &Fact::Left { host: left, tag });
            }
        }
    }
}

pub(super) fn add_identity_provider(
    engine: &mut Engine,
    world: &WorldHandle,
    issuer: &Issuer,
    own: Option<&ServesKeys>,
) {
    let host = issuer.host();
    let signer = keys::provider(world.seed(), &host, FIRST_KEY);
    let signer = signer.expect("32 bytes are an Ed25519 key");
    let provider = IdentityProvider::new(&format!("https://{host}"), signer);
    world
        .lock()
        .identity_providers
        .insert(host.clone(), provider.clone());
    let (world, own) = (world.clone(), own.cloned());
    engine.host(&host, move |env| {
        let (world, provider) = (world.clone(), provider.clone());
        if let Some(serves) = &own {
            provider.answer_with(serves(Host::new(&env, &world), provider.clone()));
        }
        async move {
            let tls = world.serve_tls(&env, Served::Server);
            let tls = tls.expect("the testbed's certificates are valid");
            let listener = env.bind(any(HTTPS), false).await;
            let listener = listener.expect("a fresh host's ports are free");
            let _ended = provider.serve(env, listener, tls).await;
        }
    });
}

pub(super) fn add_control_plane(engine: &mut Engine, world: &WorldHandle) {
    let world = world.clone();
    engine.host(CONTROL_PLANE, move |env| {
        let world = world.clone();
        async move {
            let tls = world.serve_tls(&env, Served::Server);
            let tls = tls.expect("the testbed's certificates are valid");
            let listener = env.bind(any(HTTPS), false).await;
            let listener = listener.expect("a fresh host's ports are free");
            let control_plane = world.lock().control_plane.clone();
            let _ended = control_plane.serve(env, listener, tls).await;
        }
    });
}

pub(super) fn any(port: u16) -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, port).into()
}
