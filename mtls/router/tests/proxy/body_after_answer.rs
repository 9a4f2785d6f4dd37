//! Requests whose answer is complete before their body: how long the body holds a cell's places,
//! and what happens to the connections on both sides.

use std::time::Duration;

use cellway_env::Listener;
use cellway_router::settings::RouterSettings;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{sleep, timeout};

use crate::memory::{self, Memory, MemoryListener, World};
use crate::world::{mtls_policy, plain, plain_endpoint, registry, set_policy};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
const LATE: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n";
/// More than the buffers between a client and a cell can hold.
const LONG: usize = 4 << 20;

const SECOND: Duration = Duration::from_secs(1);
/// Longer than a header may take, but shorter than a connection may be idle.
const QUIET: Duration = Duration::from_secs(30);

/// A router in memory, in front of a cell that the test plays.
async fn world(change: impl FnOnce(&mut RouterSettings)) -> (World, MemoryListener) {
    let env = Memory::new();
    let (cell, port) = env.listen().await;
    let mut settings = plain(registry(plain_endpoint("http", port)));
    change(&mut settings);
    (memory::start(&env, settings).await, cell)
}

/// Reads up to the end of a header.
async fn head(stream: &mut DuplexStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

/// A cell's connection that answers each request as soon as it has the header, and reads everything
/// else that comes.
async fn hasty(mut stream: DuplexStream) {
    while let Some(asked) = head(&mut stream).await {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        let _ = stream.write_all(answer).await;
        if asked.contains("content-length: 5\r\n") {
            let mut body = [0; 5];
            let Ok(_) = stream.read_exact(&mut body).await else {
                return;
            };
            assert_eq!(&body, b"hello");
        }
    }
}

/// Sends a request, and reads the header of the answer.
async fn ask(stream: &mut DuplexStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = timeout(QUIET * 20, head(stream)).await.unwrap();
    answer.expect("the connection is closed")
}

/// Sends a request as another client, and returns the status.
async fn another(world: &World) -> String {
    let answer = ask(&mut world.connect().await, GET).await;
    answer.split(' ').nth(1).unwrap().to_owned()
}

/// Catches: a caller that announces bodies, never sends them, and holds a connection of the cell
/// with each, without being counted for it.
#[tokio::test(start_paused = true)]
async fn a_short_body_that_never_comes_is_waited_for_and_counted_for_a_short_time() {
    type Limit = fn(&mut RouterSettings);
    let one_connection: Limit = |it| it.upstream.limits.connections_max = 1;
    let one_request: Limit = |it| it.upstream.limits.requests_max = 1;
    for limit in [one_connection, one_request] {
        let (world, mut cell) = world(|it| {
            limit(it);
            // Nobody waits for a place here.
            it.upstream.limits.queue_max = 0;
        })
        .await;
        tokio::spawn(async move {
            while let Ok((stream, _)) = cell.accept().await {
                tokio::spawn(hasty(stream));
            }
        });
        let mut client = world.connect().await;
        let answer = ask(&mut client, LATE).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(!answer.contains("connection: close"), "{answer}");
        sleep(SECOND).await;
        assert_eq!(another(&world).await, "503", "its place is taken");
        sleep(4 * SECOND).await;
        assert_eq!(another(&world).await, "200", "it is given back");
    }
}

/// Catches: a late body that is taken for the start of a header, which has a short time limit.
#[tokio::test(start_paused = true)]
async fn a_short_body_that_comes_late_costs_the_client_no_connection() {
    let (world, mut cell) = world(|_| ()).await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = cell.accept().await {
            tokio::spawn(hasty(stream));
        }
    });
    let mut client = world.connect().await;
    for _ in 0..3 {
        let answer = ask(&mut client, LATE).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        sleep(SECOND).await;
        client.write_all(b"hello").await.unwrap();
        sleep(QUIET).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_body_that_comes_after_a_refusal_costs_no_connection() {
    let (world, _cell) = world(|settings| {
        set_policy(settings, mtls_policy());
    })
    .await;
    let mut client = world.connect().await;
    for _ in 0..3 {
        client.write_all(LATE.as_bytes()).await.unwrap();
        let answer = head(&mut client).await.expect("the connection is closed");
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        let page = answer.split_once("content-length: ").unwrap().1;
        let page = page.split_once("\r\n").unwrap().0.parse().unwrap();
        client.read_exact(&mut vec![0; page]).await.unwrap();
        sleep(SECOND).await;
        client.write_all(b"hello").await.unwrap();
        sleep(QUIET).await;
    }
}

/// Catches: a connection to a cell that serves another request although the cell answered before it had the
/// body. A cell that doesn't read bodies takes this one for a request, and its answer goes to somebody else.
#[tokio::test(start_paused = true)]
async fn a_body_that_comes_after_its_answer_is_nobodys_request() {
    const BODY: &str = "GET /forged HTTP/1.1\r\nhost: a\r\n\r\n";
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let (world, mut cell) = world(|_| ()).await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = cell.accept().await {
            tokio::spawn(async move {
                while let Some(asked) = head(&mut stream).await {
                    let answer = match asked.contains("/forged") {
                        true => b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
                        false => OK,
                    };
                    // The answer to the forged request comes when the next one waits for its own.
                    sleep(SECOND).await;
                    let _ = stream.write_all(answer).await;
                }
            });
        }
    });
    let length = BODY.len();
    for late in [0, length / 2] {
        let mut client = world.connect().await;
        let upload = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
        let answer = ask(&mut client, &(upload + &BODY[..late])).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        client.write_all(&BODY.as_bytes()[late..]).await.unwrap();
        sleep(SECOND / 2).await;
        assert_eq!(another(&world).await, "200");
        sleep(QUIET).await;
    }
}

/// Catches: a client's connection that is closed because the cell closed its own.
#[tokio::test(start_paused = true)]
async fn a_cell_that_closes_after_its_answer_costs_the_client_no_connection() {
    let (world, mut cell) = world(|_| ()).await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = cell.accept().await {
            let _ = head(&mut stream).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(answer).await;
        }
    });
    let mut client = world.connect().await;
    for _ in 0..3 {
        let answer = ask(&mut client, LATE).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(!answer.contains("connection: close"), "{answer}");
        sleep(SECOND).await;
        client.write_all(b"hello").await.unwrap();
        sleep(QUIET).await;
    }
}

/// Catches: a connection that stays open after its exchange, for as long as a cell reads nothing.
#[tokio::test(start_paused = true)]
async fn a_cell_that_reads_no_more_does_not_keep_its_connection() {
    let (world, mut cell) = world(|it| it.upstream.limits.connections_max = 1).await;
    tokio::spawn(async move {
        let (mut stuck, _) = cell.accept().await.unwrap();
        let _ = head(&mut stuck).await;
        let answer = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n";
        let _ = stuck.write_all(answer).await;
        let (stream, _) = cell.accept().await.unwrap();
        hasty(stream).await;
        drop(stuck);
    });
    let mut client = world.connect().await;
    let upload = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {LONG}\r\n\r\n");
    client.write_all(upload.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = tokio::io::split(client);
    tokio::spawn(async move { writing.write_all(&vec![7; LONG]).await });
    let mut answer = String::new();
    let _ = timeout(QUIET, reading.read_to_string(&mut answer)).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    sleep(5 * SECOND).await;
    assert_eq!(another(&world).await, "200");
}
