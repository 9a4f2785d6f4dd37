//! A kept connection on which the last request is still unread.

use std::time::Duration;

use bytes::Bytes;
use cellway_env::Listener;
use cellway_testbed::Request;
use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::memory::{self, Memory};
use crate::world::{plain, plain_endpoint, registry};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// More than a stream in memory holds, and less than it and hyper's buffers hold together.
const BODY: usize = 200 * 1024;

/// How long the clock, which is paused, may run.
const PATIENCE: Duration = Duration::from_secs(60);

/// Answers a request of which it has read no more than a part.
async fn answers_early(mut stream: DuplexStream) {
    let _ = stream.read(&mut [0; 4096]).await;
    // Until then the router has taken all of the request.
    tokio::time::sleep(Duration::from_secs(1)).await;
    stream.write_all(OK).await.unwrap();
    std::future::pending::<()>().await;
}

/// Catches: a request that waits forever for a connection to get ready, because its cell never reads the
/// rest of the request before.
#[tokio::test(start_paused = true)]
async fn a_connection_that_never_gets_ready_holds_nobody_up() {
    let env = Memory::new();
    let (mut listener, port) = env.listen().await;
    tokio::spawn(async move {
        let (first, _) = listener.accept().await.unwrap();
        tokio::spawn(answers_early(first));
        let (mut second, _) = listener.accept().await.unwrap();
        while second.read(&mut [0; 4096]).await.is_ok_and(|n| n > 0) {
            second.write_all(OK).await.unwrap();
        }
    });
    let world = memory::start(&env, plain(registry(plain_endpoint("http", port)))).await;
    let client = world.client(PATIENCE);
    let upload = Request {
        method: Method::POST,
        body: Bytes::from(vec![b'x'; BODY]),
        ..Request::get("/")
    };
    for request in [upload, Request::get("/")] {
        let answer = client.send(request).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
    }
}
