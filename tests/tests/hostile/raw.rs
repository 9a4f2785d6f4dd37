//! Bytes that no client library would send, through TLS, each with a good token.

use std::sync::Arc;

use cellway_testbed::{Ca, Protocol};
use cellway_tests::world::{PATIENCE, provider};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::table::Table;

/// Request lines and headers, without the credential and the end that each gets.
const HEADS: &[(&str, &str)] = &[
    ("well-formed, to compare", "GET / HTTP/1.1\r\nhost: a\r\n"),
    ("no Host", "GET / HTTP/1.1\r\n"),
    ("two Hosts", "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n"),
    (
        "a target that contradicts Host",
        "GET http://a/ HTTP/1.1\r\nhost: b\r\n",
    ),
    ("a Host with a user", "GET / HTTP/1.1\r\nhost: acme@a\r\n"),
    (
        "a Transfer-Encoding besides chunked",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n",
    ),
    (
        "chunked twice",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
    ),
    (
        "chunked, and not at the end",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity\r\n",
    ),
    (
        "chunked after a vertical tabulator",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\x0bchunked\r\n",
    ),
    (
        "two Content-Lengths",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n",
    ),
    (
        "a Content-Length with a sign",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +5\r\n",
    ),
    (
        "CONNECT",
        "CONNECT cell.internal:443 HTTP/1.1\r\nhost: cell.internal:443\r\n",
    ),
    (
        "a space before the colon",
        "GET / HTTP/1.1\r\nhost: a\r\nx-cellway-tenant : globex\r\n",
    ),
    (
        "a folded line",
        "GET / HTTP/1.1\r\nhost: a\r\nx-own: 1\r\n x-cellway-tenant: globex\r\n",
    ),
    (
        "a bare carriage return in a value",
        "GET / HTTP/1.1\r\nhost: a\r\nx-own: 1\rx-cellway-tenant: globex\r\n",
    ),
    (
        "HTTP/2 where HTTP/1.1 was agreed",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n",
    ),
    ("no HTTP", "EHLO cell.internal\r\n"),
    (
        "an upgrade to h2c",
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
    ),
];

pub(crate) async fn rows(table: &mut Table<'_>) {
    let token = table.world.token();
    for (what, head) in HEADS {
        let bytes = format!("{head}authorization: Bearer {token}\r\nconnection: close\r\n\r\n");
        let outcome = exchange(table, &bytes).await;
        table.row(what, "h1", &outcome);
    }
    // RFC 9112, section 6.1: refused, and what follows is no request.
    let both = format!(
        "POST / HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\ncontent-length: 4\r\n\
         transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\
         GET /smuggled HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    let outcome = exchange(table, &both).await;
    table.row("a Content-Length beside chunks", "h1", &outcome);
}

/// Sends these bytes, reads to the end, and says what came of it.
pub(crate) async fn exchange(table: &Table<'_>, bytes: &str) -> String {
    let answer = talk(table, bytes).await;
    let line = answer.lines().next().unwrap_or("nothing");
    let status = line.split(' ').nth(1).unwrap_or(line);
    let field = |name: &str| {
        let mut lines = answer.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.unwrap_or("-").to_owned()
    };
    let said = match field("x-cellway-owner").as_str() {
        "cell" => format!("{status} cell"),
        owner => format!("{status} {owner} {}", field("x-cellway-reason")),
    };
    format!("{said:<56} {}", table.received())
}

pub(crate) async fn talk(table: &Table<'_>, bytes: &str) -> String {
    let roots = Ca::roots(&[&table.world.authorities.servers]).unwrap();
    let config = provider().client(roots, None, Protocol::Http1).unwrap();
    let address = table.router.address();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::from(address.ip());
    let connector = TlsConnector::from(Arc::clone(&config));
    let mut stream = connector.connect(name, stream).await.unwrap();
    // The router may have closed before it was all sent.
    let _ = stream.write_all(bytes.as_bytes()).await;
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    // How it ends says nothing here; that it ends does.
    let _ = timeout(PATIENCE, reading).await.expect("it ends");
    String::from_utf8(answer).unwrap()
}
