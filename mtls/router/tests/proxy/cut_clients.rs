//! How the connection of a client ends that is cut off: with a reset in the middle of an answer, and in
//! order after a whole one.

use std::io::ErrorKind;
use std::time::Duration;

use cellway_router::settings::{RegistryLocation, Sources};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::cells::{says, scripted};
use crate::raw::Raw;
use crate::suspension::{LongCell, Published, soon};
use crate::timeouts::endless;
use crate::world::{plain, plain_endpoint, registry, start};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// Longer than what is read at once, shorter than what a socket holds.
const LONG: usize = 200_000;

/// How a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    InOrder,
    Reset,
}

/// Reads what is left of a connection, and how it ends.
pub(crate) async fn end_of(stream: &mut TcpStream) -> (Vec<u8>, End) {
    let mut came = Vec::new();
    let ended = soon(stream.read_to_end(&mut came)).await;
    match ended.map_err(|error| error.kind()) {
        Ok(_) => (came, End::InOrder),
        Err(kind) => {
            assert_eq!(kind, ErrorKind::ConnectionReset);
            (came, End::Reset)
        }
    }
}

/// Catches: megabytes that the kernel keeps for a client that reads nothing, after the router has
/// stopped counting its connection.
#[tokio::test]
async fn a_client_that_reads_nothing_is_reset() {
    let mut settings = plain(registry(plain_endpoint("http", endless(65_536).await)));
    settings.listeners[0].timeouts.stall = Duration::from_millis(100);
    let world = start(settings).await;
    let mut client = Raw::new(&world).await;
    client.send(GET).await;
    world.events.line("closed stalled").await;
    assert_eq!(end_of(&mut client.io).await.1, End::Reset);
}

/// Catches: a reset that destroys an answer which its client is still reading.
#[tokio::test]
async fn a_whole_answer_arrives_although_its_connection_was_idle_for_too_long() {
    let answer = "x".repeat(LONG);
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {LONG}\r\n\r\n{answer}");
    let mut settings = plain(registry(plain_endpoint("http", says(answer).await)));
    settings.listeners[0].timeouts.idle = Duration::from_millis(100);
    let world = start(settings).await;
    let mut client = Raw::new(&world).await;
    client.send(GET).await;
    world.events.line("closed idle").await;
    let (came, end) = end_of(&mut client.io).await;
    assert_eq!(end, End::InOrder);
    assert!(came.len() > LONG);
}

const HALF: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";

#[tokio::test]
async fn an_answer_that_a_drain_cuts_ends_with_a_reset() {
    let world = start(plain(registry(plain_endpoint(
        "http",
        scripted(HALF).await,
    ))))
    .await;
    let mut client = Raw::new(&world).await;
    client.send(GET).await;
    client.head().await;
    soon(client.io.read_exact(&mut [0; 4])).await.unwrap();
    let drained = soon(world.handle.drain(Duration::from_millis(50))).await;
    assert_eq!(drained.abandoned, 1);
    assert_eq!(end_of(&mut client.io).await.1, End::Reset);
}

#[tokio::test]
async fn an_answer_that_a_suspension_cuts_ends_with_a_reset() {
    let cell = LongCell::new();
    let published = Published::new(cell.start().await);
    let mut settings = plain(registry(json!([])));
    settings.sources = Sources::new(RegistryLocation::File(published.path()));
    let world = start(settings).await;
    let mut client = Raw::new(&world).await;
    client.send(GET).await;
    client.head().await;
    cell.arrivals(1).await;
    published.suspend_acme(&world).await;
    assert_eq!(end_of(&mut client.io).await.1, End::Reset);
}

/// Catches: a client of HTTP/1.0, where only the end of the connection ends an answer, that takes a cut
/// answer for a whole one; and a client of HTTP/1.1 that loses what came before.
#[tokio::test]
async fn an_answer_that_a_cell_breaks_off_is_cut_so_that_its_client_knows() {
    let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nx\r\n";
    let world = start(plain(registry(plain_endpoint(
        "http",
        scripted(answer).await,
    ))))
    .await;
    let mut old = Raw::new(&world).await;
    old.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
    assert_eq!(end_of(&mut old.io).await.1, End::Reset);
    let mut client = Raw::new(&world).await;
    client.send(GET).await;
    client.head().await;
    let (came, end) = end_of(&mut client.io).await;
    assert_eq!((&*came, end), (&b"4\r\nhalf\r\n"[..], End::InOrder));
}
