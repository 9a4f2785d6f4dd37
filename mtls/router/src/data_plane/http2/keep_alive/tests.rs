#![expect(
    clippy::disallowed_methods,
    reason = "a test's tasks end with its runtime"
)]

use std::future::poll_fn;

use bytes::Bytes;
use h2::client;
use tokio::io::{AsyncReadExt, duplex};
use tokio::task::JoinHandle;

use super::*;

const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(20);

/// Pings the server at the other end. Ends when it doesn't answer.
fn pings(
    mut connection: client::Connection<tokio::io::DuplexStream, Bytes>,
    heard: impl Fn(Duration) -> bool + Send + 'static,
) -> JoinHandle<Duration> {
    let began = Instant::now();
    let mut pings = KeepAlive::new(connection.ping_pong().unwrap(), [INTERVAL, TIMEOUT]);
    tokio::spawn(poll_fn(move |cx| {
        if heard(began.elapsed()) {
            pings.heard();
        }
        if pings.poll(cx).is_ready() {
            return Poll::Ready(began.elapsed());
        }
        let _ = Pin::new(&mut connection).poll(cx);
        Poll::Pending
    }))
}

/// Catches: a connection that is given up although the other end answers.
#[tokio::test(start_paused = true)]
async fn a_quiet_end_that_answers_is_kept() {
    let (near, far) = duplex(1 << 16);
    tokio::spawn(async move {
        let mut connection = h2::server::handshake(far).await.unwrap();
        while connection.accept().await.is_some() {}
    });
    let (_sender, connection) = client::handshake(near).await.unwrap();
    let pings = pings(connection, |_| false);
    tokio::time::sleep(INTERVAL * 10).await;
    assert!(!pings.is_finished());
}

/// Catches: an end that is gone and never noticed, or given up although something has just come.
#[tokio::test(start_paused = true)]
async fn an_end_that_does_not_answer_is_noticed_in_time() {
    let gone = || async {
        let (near, mut far) = duplex(1 << 16);
        tokio::spawn(async move { while far.read_u8().await.is_ok() {} });
        client::handshake(near).await.unwrap()
    };
    let (_sender, connection) = gone().await;
    let noticed = pings(connection, |_| false).await.unwrap();
    assert_eq!(noticed.as_secs(), (INTERVAL + TIMEOUT).as_secs());

    let (_sender, connection) = gone().await;
    let last = INTERVAL / 2;
    let noticed = pings(connection, move |now| now <= last).await.unwrap();
    assert!(noticed >= INTERVAL + TIMEOUT, "{noticed:?}");
}
