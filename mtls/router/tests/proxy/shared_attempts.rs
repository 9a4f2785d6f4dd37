//! Requests that wait for the same attempt to connect to a cell.

use std::future::pending;
use std::time::Duration;

use cellway_env::{Env, Listener};
use cellway_router::settings::RouterSettings;
use cellway_testbed::{ClientError, EchoCell, Report, Request, ServerTls, bundle_pem};
use http::StatusCode;
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::memory::{self, Memory, World};
use crate::world::{ca, dns, issue, plain, provider, registry};

/// The time that the cell takes to begin the TLS handshake, and a shorter and a longer one.
const SLOW: Duration = Duration::from_secs(1);
const SHORT: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_secs(60);

/// What a connection to the cell meets.
#[derive(Clone, Copy)]
enum Meets {
    /// The cell, after a while.
    Cell,
    /// Nobody, at once.
    Nobody,
    /// Somebody who never says anything.
    Silence,
}

/// A router in front of a cell that takes its time for each connection.
struct Scene {
    env: Memory,
    world: World,
    settings: RouterSettings,
    /// Tells the connections to the cell.
    made: UnboundedReceiver<()>,
    /// Tells the paths of the requests that have arrived at the cell, with the numbers of their connections.
    arrived: UnboundedReceiver<(String, u64)>,
}

/// `meets` says what each connection meets, by the number of those before.
async fn scene(cell: impl FnOnce(&EchoCell), meets: fn(usize) -> Meets) -> Scene {
    let env = Memory::new();
    let cells = ca(2);
    let (hidden, hidden_port) = env.listen().await;
    let tls = provider().server(&issue(&cells, dns("localhost")), None);
    let (tls, network) = (ServerTls::new(tls.unwrap()), env.clone());
    let (tell, arrived) = unbounded_channel();
    let echo = EchoCell::new("a", move |report| {
        if let Report::Arrived(it) = report {
            let _ = tell.send((it.path.clone(), it.connection));
        }
    });
    cell(&echo);
    tokio::spawn(async move { echo.serve(network, hidden, tls).await });
    let (mut relay, port) = env.listen().await;
    let (tell, made) = unbounded_channel();
    let network = env.clone();
    tokio::spawn(async move {
        for number in 0.. {
            let (mut near, _) = relay.accept().await.unwrap();
            let _ = tell.send(());
            let network = network.clone();
            tokio::spawn(async move {
                match meets(number) {
                    Meets::Cell => {}
                    Meets::Nobody => return,
                    Meets::Silence => pending().await,
                }
                sleep(SLOW).await;
                let mut far = network.connect("cell", hidden_port).await.unwrap();
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    let url = json!([{"url": format!("https://localhost:{port}")}]);
    let mut settings = plain(registry(url));
    settings.upstream.bundle = Some(bundle_pem(&[&cells]).into());
    Scene {
        world: memory::start(&env, settings.clone()).await,
        env,
        settings,
        made,
        arrived,
    }
}

/// A router in front of such a cell, and the connections to it.
async fn world() -> (World, UnboundedReceiver<()>) {
    let Scene { world, made, .. } = scene(|_| (), |_| Meets::Cell).await;
    (world, made)
}

fn send(world: &World, patience: Duration) -> JoinHandle<Result<StatusCode, ClientError>> {
    send_to(world, "/", patience)
}

fn send_to(
    world: &World,
    path: &'static str,
    patience: Duration,
) -> JoinHandle<Result<StatusCode, ClientError>> {
    let client = world.client(patience);
    tokio::spawn(async move { Ok(client.send(Request::get(path)).await?.status) })
}

/// Catches: an attempt that ends with the request that began it, so that all the others begin again.
#[tokio::test(start_paused = true)]
async fn an_attempt_outlives_the_request_that_began_it() {
    let (world, mut made) = world().await;
    let first = send(&world, SHORT);
    made.recv().await.unwrap();
    let others = [(); 3].map(|()| send(&world, LONG));
    assert!(matches!(first.await.unwrap(), Err(ClientError::Timeout)));
    for other in others {
        assert_eq!(other.await.unwrap().unwrap(), StatusCode::OK);
    }
    assert!(made.try_recv().is_err(), "there was one attempt");
}

/// Catches: a connection that is thrown away because nobody waits for it any more. While all clients are less
/// patient than the cell is slow, no request would ever be served.
#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_waits_for_serves_the_next_request() {
    let (world, mut made) = world().await;
    assert!(send(&world, SHORT).await.unwrap().is_err());
    sleep(SLOW).await;
    let next = send(&world, SHORT).await.unwrap();
    assert_eq!(next.unwrap(), StatusCode::OK);
    made.recv().await.unwrap();
    assert!(made.try_recv().is_err(), "there was one attempt");
}

/// Catches: a further attempt to connect that fails, and is begun again at once and forever, because a
/// request waits for it.
#[tokio::test(start_paused = true)]
async fn a_further_attempt_that_fails_is_not_repeated_at_once() {
    // The last ones end a router that would repeat it forever.
    let meets = |before| match before {
        0 => Meets::Cell,
        1..10 => Meets::Nobody,
        _ => Meets::Silence,
    };
    let mut scene = scene(|cell| cell.allow_streams(Some(1)), meets).await;
    let _held = send_to(&scene.world, "/stream/600", LONG);
    scene.arrived.recv().await.unwrap();
    scene.made.recv().await.unwrap();
    let waits = send(&scene.world, LONG).await.unwrap();
    assert_eq!(waits.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
    scene.made.recv().await.unwrap();
    assert!(scene.made.try_recv().is_err(), "there was one attempt more");
}

/// Catches: a connection that is made with settings that are no longer in force, and serves requests that
/// were decided with the new ones.
#[tokio::test(start_paused = true)]
async fn a_connection_of_an_old_configuration_serves_no_later_request() {
    let mut scene = scene(|_| (), |_| Meets::Cell).await;
    let _before = send_to(&scene.world, "/before", LONG);
    scene.made.recv().await.unwrap();
    let mut settings = scene.settings.clone();
    settings.upstream.limits.queue_max += 1;
    scene.world.handle.apply(settings).await.unwrap();
    let after = send_to(&scene.world, "/after", LONG).await.unwrap();
    assert_eq!(after.unwrap(), StatusCode::OK);
    let connection = loop {
        let (path, connection) = scene.arrived.recv().await.unwrap();
        if path == "/after" {
            break connection;
        }
    };
    assert!(connection > 0, "it was made before the change");
}

/// Catches: an attempt that panics, and for which all requests wait forever.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_panics_has_failed() {
    let scene = scene(|_| (), |_| Meets::Cell).await;
    let client = scene.world.client(LONG);
    let mut connection = client.connect().await.unwrap();
    scene.env.breaks(true);
    let answer = connection.send(Request::get("/")).await.unwrap();
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    scene.env.breaks(false);
    let answer = connection.send(Request::get("/")).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
}
