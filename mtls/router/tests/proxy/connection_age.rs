//! Old connections to cells are replaced, because a name may resolve to another address meanwhile.

use std::time::Duration;

use cellway_env::Listener;
use cellway_testbed::{EchoCell, Request, ServerTls};
use http::StatusCode;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, sleep};

use crate::memory::{self, Memory, World};
use crate::world::{plain, plain_endpoint, registry};

const AGE: Duration = Duration::from_secs(60);
/// The time until the router notices that a connection has reached its age.
const NOTICED: Duration = Duration::from_secs(6);

/// A router in front of a cell, and the times at which it connected to the cell.
struct Aging {
    env: Memory,
    port: u16,
    world: World,
    made: UnboundedReceiver<Instant>,
}

async fn aging(scheme: &str, tls: ServerTls) -> Aging {
    let env = Memory::new();
    let (cell, (hidden, hidden_port)) = (EchoCell::new("a", |_| ()), env.listen().await);
    let host = env.clone();
    tokio::spawn(async move { cell.serve(host, hidden, tls).await });
    // A relay in front of the cell reports each connection.
    let (mut relay, port) = env.listen().await;
    let (tell, made) = unbounded_channel();
    let network = env.clone();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = relay.accept().await {
            let _ = tell.send(Instant::now());
            let mut far = cellway_env::Env::connect(&network, "cell", hidden_port)
                .await
                .unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });
    let mut settings = plain(registry(plain_endpoint(scheme, port)));
    settings.upstream.connection_age = AGE;
    let world = memory::start(&env, settings).await;
    Aging {
        env,
        port,
        world,
        made,
    }
}

impl Aging {
    /// Sends a request each second for this long, and counts the connections made for them.
    async fn connections(&mut self, during: Duration) -> usize {
        let client = self.world.client(AGE);
        let end = Instant::now() + during;
        while Instant::now() < end {
            let answer = client.send(Request::get("/")).await.unwrap();
            assert_eq!(answer.status, StatusCode::OK);
            sleep(Duration::from_secs(1)).await;
        }
        std::iter::from_fn(|| self.made.try_recv().ok()).count()
    }
}

fn protocols() -> [(&'static str, ServerTls); 2] {
    [("http", ServerTls::plain()), ("h2c", ServerTls::plain_h2())]
}

#[tokio::test(start_paused = true)]
async fn steady_traffic_moves_to_a_new_connection_when_the_old_one_has_its_age() {
    for (scheme, tls) in protocols() {
        let mut aging = aging(scheme, tls).await;
        // A connection is replaced after four fifths of its age at the earliest.
        assert_eq!(aging.connections(AGE * 3 / 4).await, 1, "{scheme}");
        assert_eq!(aging.connections(AGE / 4 + NOTICED).await, 1, "{scheme}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_serves_on_while_no_new_one_can_be_made() {
    for (scheme, tls) in protocols() {
        let mut aging = aging(scheme, tls).await;
        assert_eq!(aging.connections(AGE / 2).await, 1, "{scheme}");
        aging.env.refuse(aging.port, true);
        assert_eq!(aging.connections(AGE * 3).await, 0, "{scheme}");
        aging.env.refuse(aging.port, false);
        assert_eq!(aging.connections(NOTICED).await, 1, "{scheme}");
    }
}
