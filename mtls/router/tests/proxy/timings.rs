//! Where the access log says that a request's time went.

use std::time::Duration;

use cellway_env::Listener;
use cellway_router::settings::AccessLog;
use cellway_testbed::Request;
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use crate::memory::{self, Memory, MemoryListener};
use crate::world::{plain, plain_endpoint, registry};

const LONG: Duration = Duration::from_secs(600);

/// A cell that sends the header of its answer after five seconds, and the body two seconds later.
async fn slow_cell(mut listener: MemoryListener) {
    let (mut stream, _) = listener.accept().await.unwrap();
    while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
        sleep(Duration::from_secs(5)).await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
        stream.write_all(head).await.unwrap();
        sleep(Duration::from_secs(2)).await;
        stream.write_all(b"ok").await.unwrap();
    }
}

/// Catches: time that counts for another phase than the one that it went to, and a first byte that
/// is the last one.
#[tokio::test(start_paused = true)]
async fn each_wait_counts_for_its_own_phase() {
    let env = Memory::new();
    let (listener, port) = env.listen().await;
    tokio::spawn(slow_cell(listener));
    env.connects_slowly(port, Duration::from_secs(3));
    let mut settings = plain(registry(plain_endpoint("http", port)));
    settings.access_log = AccessLog::Full;
    settings.upstream.timeouts.connect = LONG;
    settings.upstream.limits.requests_max = 1;
    settings.upstream.limits.queue_timeout = LONG;
    let world = memory::start(&env, settings).await;

    // The second one waits until the body of the first has ended.
    let clients = [world.client(LONG), world.client(LONG)];
    let [first, second] = clients
        .each_ref()
        .map(|client| client.send(Request::get("/")));
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.unwrap().status, StatusCode::OK);
    assert_eq!(second.unwrap().status, StatusCode::OK);
    let lines = world.events.lines();
    let took: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("took"))
        .collect();
    assert_eq!(
        took,
        [
            "took keys 0, queue 0, connect 3000, cell 5000, first byte 8000, total 10000",
            "took keys 0, queue 10000, connect 0, cell 5000, first byte 15000, total 17000",
        ]
    );
}
