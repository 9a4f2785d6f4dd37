//! Requests that two recipients could read differently.

use cellway_testbed::ServerTls;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cells::scripted;
use crate::world::{PATIENCE, cell, plain, plain_endpoint, registry, start};

/// Sends these bytes and returns everything that comes back until the connection ends.
pub(crate) async fn exchange(port: u16, bytes: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(PATIENCE, reading).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn malformed_requests_are_answered_400_and_reach_no_cell() {
    let (cell, port) = cell("a", ServerTls::plain()).await;
    let world = start(plain(registry(plain_endpoint("http", port)))).await;
    for head in [
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n",
        "GET http://a/ HTTP/1.1\r\nhost: b\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: identity\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx-cellway-tenant : evil\r\n",
        "NOT HTTP\r\n",
    ] {
        let answer = exchange(world.port, &format!("{head}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{head:?}: {answer}");
    }
    assert_eq!(cell.arrivals(), 0);
}

#[tokio::test]
async fn a_body_in_chunks_reaches_the_cell_whatever_the_method() {
    for (scheme, tls) in [("http", ServerTls::plain()), ("h2c", ServerTls::plain_h2())] {
        let (_cell, port) = cell("a", tls).await;
        let world = start(plain(registry(plain_endpoint(scheme, port)))).await;
        for method in ["GET", "DELETE", "POST"] {
            let request = format!(
                "{method} / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
                 transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            );
            let answer = exchange(world.port, &request).await;
            assert!(answer.contains("\"body_bytes\": 5"), "{scheme}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_router_needs_no_more_than_http10() {
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    let world = start(plain(registry(plain_endpoint("http", port)))).await;
    let answer = exchange(world.port, "GET /old HTTP/1.0\r\n\r\n").await;
    assert!(answer.contains(" 200 "), "{answer}");
    assert!(answer.contains("\"path\": \"/old\""), "{answer}");
}

#[tokio::test]
async fn an_answer_in_a_coding_that_the_client_would_not_hear_of_is_refused() {
    let coded = b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    let port = scripted(coded).await;
    let world = start(plain(registry(plain_endpoint("http", port)))).await;
    let request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answer = exchange(world.port, request).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(answer.contains("cell_protocol_error"), "{answer}");
}
