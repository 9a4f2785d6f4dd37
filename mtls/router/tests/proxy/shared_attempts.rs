//! Requests that wait for the same attempt to connect to a cell.

use std::time::Duration;

use cellway_env::{Env, Listener};
use cellway_testbed::{ClientError, EchoCell, Request, ServerTls, bundle_pem};
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

/// A router in front of a cell that takes its time for each connection, and the connections to the cell.
async fn world() -> (World, UnboundedReceiver<()>) {
    let env = Memory::new();
    let cells = ca(2);
    let (hidden, hidden_port) = env.listen().await;
    let tls = provider().server(&issue(&cells, dns("localhost")), None);
    let (tls, network) = (ServerTls::new(tls.unwrap()), env.clone());
    tokio::spawn(async move { EchoCell::new("a", |_| ()).serve(network, hidden, tls).await });
    let (mut relay, port) = env.listen().await;
    let (tell, made) = unbounded_channel();
    let network = env.clone();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = relay.accept().await {
            let _ = tell.send(());
            let network = network.clone();
            tokio::spawn(async move {
                sleep(SLOW).await;
                let mut far = network.connect("cell", hidden_port).await.unwrap();
                copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    let url = json!([{"url": format!("https://localhost:{port}")}]);
    let mut settings = plain(registry(url));
    settings.upstream.bundle = Some(bundle_pem(&[&cells]).into());
    (memory::start(&env, settings).await, made)
}

fn send(world: &World, patience: Duration) -> JoinHandle<Result<StatusCode, ClientError>> {
    let client = world.client(patience);
    tokio::spawn(async move { Ok(client.send(Request::get("/")).await?.status) })
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
