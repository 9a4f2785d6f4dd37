//! HTTP/1.1 connections of clients that are quiet for a long time. The router frees their memory.

use std::time::Duration;

use cellway_env::Listener;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, sleep};

use crate::memory::{self, Memory, World};
use crate::world::{plain, plain_endpoint, registry};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi";

/// Longer than a connection keeps its memory, but shorter than it may be idle.
const QUIET: Duration = Duration::from_secs(40);

/// A router in memory, in front of a cell that answers all requests.
async fn world() -> World {
    let env = Memory::new();
    let (mut cell, port) = env.listen().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = cell.accept().await {
            tokio::spawn(async move {
                while has_all(&mut stream, b"hi").await {
                    stream.write_all(ANSWER).await.unwrap();
                }
            });
        }
    });
    memory::start(&env, plain(registry(plain_endpoint("http", port)))).await
}

/// Reads up to this end. `false` if the connection ends before.
async fn has_all(stream: &mut DuplexStream, end: &[u8]) -> bool {
    let mut read = Vec::new();
    while !read.ends_with(end) {
        match stream.read_u8().await {
            Ok(byte) => read.push(byte),
            Err(_) => return false,
        }
    }
    true
}

/// Catches: a connection that is lost while it is quiet, or bytes that are lost with its memory.
#[tokio::test(start_paused = true)]
async fn a_quiet_connection_goes_on_where_it_was() {
    let world = world().await;
    let mut client = world.connect().await;
    for cut in [0, 7, 30, REQUEST.len() - 1] {
        let (early, late) = REQUEST.split_at(cut);
        client.write_all(&[REQUEST, early].concat()).await.unwrap();
        assert!(has_all(&mut client, b"hello").await);
        // The header of a request that has started has a time limit of its own.
        let quiet = if cut == 0 { QUIET } else { QUIET / 8 };
        sleep(quiet).await;
        client.write_all(late).await.unwrap();
        assert!(has_all(&mut client, b"hello").await, "cut at {cut}");
    }
}

/// Catches: a quiet connection that outlives its time limit, or its client.
#[tokio::test(start_paused = true)]
async fn a_quiet_connection_ends_when_it_should() {
    let world = world().await;
    let mut client = world.connect().await;
    client.write_all(REQUEST).await.unwrap();
    assert!(has_all(&mut client, b"hello").await);
    let began = Instant::now();
    assert!(!has_all(&mut client, b"hello").await);
    let lasted = began.elapsed().as_secs();
    assert!((75..=76).contains(&lasted), "{lasted}");

    let mut client = world.connect().await;
    client.write_all(REQUEST).await.unwrap();
    assert!(has_all(&mut client, b"hello").await);
    sleep(QUIET).await;
    let began = Instant::now();
    client.shutdown().await.unwrap();
    assert!(!has_all(&mut client, b"hello").await);
    assert_eq!(began.elapsed(), Duration::ZERO);
}
