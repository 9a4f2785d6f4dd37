//! What is asked for, and who agrees.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cellway_core::path::PathPattern;
use cellway_core::upgrade::Upgrades;
use cellway_router::settings::{ListenerRoute, RouterSettings, TrafficSettings};
use cellway_testbed::{Protocol, Refused, Request, ServerTls};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::unbounded_channel;

use super::opened::{connect, echoes, open, world};
use crate::cells::{played, says, scripted, until_closed};
use crate::interim;
use crate::raw::Raw;
use crate::suspension::soon;
use crate::world::{
    PATIENCE, World, body, ca, cell, dns, issue, plain, plain_endpoint, provider, registry, secure,
    start, uri,
};

fn ask(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a\r\n{fields}\r\n")
}

const WEBSOCKET: &str = "upgrade: websocket\r\nconnection: Upgrade\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

fn with_upgrades(settings: &mut RouterSettings, names: &[&str]) {
    settings.listeners[0].traffic = Arc::new(TrafficSettings {
        upgrades: Upgrades::new(names).unwrap(),
        ..TrafficSettings::default()
    });
}

/// Catches: a request that a cell could switch although the router doesn't, and a connection that
/// is lost because a request on it asked for too much.
#[tokio::test]
async fn a_protocol_that_is_not_listed_is_ignored_and_the_connection_goes_on() {
    let (_, world) = world("http").await;
    let fields = [
        "upgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABk\r\n",
        "upgrade: foo/1\r\nconnection: upgrade\r\n",
        "upgrade: websocket\r\n",
        "upgrade: websocket\r\nconnection: close-not\r\n",
        // No key: no handshake.
        "upgrade: websocket\r\nconnection: upgrade\r\n",
        "upgrade: websocket\r\nupgrade: websocket\r\nconnection: upgrade\r\n",
    ];
    for fields in fields {
        let mut client = Raw::new(&world).await;
        // Three requests in one segment: what follows must wait, and then be read as requests.
        client
            .send(&[ask("/1", fields), ask("/2", fields), ask("/3", "")].concat())
            .await;
        for path in ["/1", "/2", "/3"] {
            let (head, body) = client.answer().await;
            assert!(head.starts_with("http/1.1 200 "), "{fields:?}: {head}");
            let echo: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(echo["path"], path);
            for name in ["upgrade", "connection", "http2-settings"] {
                assert_eq!(echo["headers"][name], Value::Null, "{fields:?}: {name}");
            }
        }
    }
}

#[tokio::test]
async fn a_request_with_a_body_is_forwarded_without_its_upgrade() {
    let (_, world) = world("http").await;
    let mut client = Raw::new(&world).await;
    let post = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n{WEBSOCKET}\r\nhi");
    client.send(&post).await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    let echo: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(echo["body_bytes"], 2);
    assert_eq!(echo["headers"]["upgrade"], Value::Null);
}

/// Catches: bytes behind a refused request to switch that reach a cell unguarded.
#[tokio::test]
async fn what_follows_a_request_to_switch_that_is_refused_is_guarded() {
    let port = scripted(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
    let world = start(plain(registry(plain_endpoint("http", port)))).await;
    let mut client = Raw::new(&world).await;
    client
        .send(&[&ask("/", WEBSOCKET), "GET / HTTP/1.1\nhost: a\r\n\r\n"].concat())
        .await;
    let (head, _) = client.answer().await;
    assert!(head.starts_with("http/1.1 403 "), "{head}");
    let (head, _) = client.answer().await;
    assert!(head.starts_with("http/1.1 400 "), "{head}");
}

/// Catches: a length that the cell believes, although no body can follow. The cell would take the next
/// request on the connection for that body, and what is left of it for a request (RFC 9110, section
/// 9.3.6).
#[tokio::test]
async fn a_request_to_switch_over_http2_has_no_length() {
    let (tell, mut heads) = unbounded_channel();
    let port = played(move |mut stream| {
        let tell = tell.clone();
        async move {
            let mut came = Vec::new();
            while stream.read_buf(&mut came).await.unwrap_or(0) > 0 {
                while let Some(end) = came.windows(4).position(|it| it == b"\r\n\r\n") {
                    let head: Vec<u8> = came.drain(..end + 4).collect();
                    tell.send(String::from_utf8(head).unwrap()).unwrap();
                    let no = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";
                    stream.write_all(no).await.unwrap();
                }
            }
        }
    });
    let world = start(plain(registry(plain_endpoint("http", port.await)))).await;
    let mut client = interim::http2(&world).await;
    while !client.is_extended_connect_protocol_enabled() {
        tokio::task::yield_now().await;
    }
    let asking = http::Request::connect("http://localhost/chat")
        .extension(h2::ext::Protocol::from_static("websocket"))
        .header(CONTENT_LENGTH, 60);
    let (refused, _stream) = client
        .send_request(asking.body(()).unwrap(), false)
        .unwrap();
    let refused = soon(refused).await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let client = world.client(Protocol::Http2);
    let next = client.send(Request::get("/next")).await.unwrap();
    assert_eq!(next.status, StatusCode::FORBIDDEN);
    let [asked, next] = [heads.recv().await, heads.recv().await].map(Option::unwrap);
    assert!(asked.starts_with("GET /chat HTTP/1.1\r\n"), "{asked}");
    assert!(!asked.contains("content-length"), "{asked}");
    assert!(next.starts_with("GET /next HTTP/1.1\r\n"), "{next}");
}

/// Catches: a refusal that a reset destroys, because hyper leaves such a connection open.
#[tokio::test]
async fn a_refused_request_to_switch_ends_its_connection_in_order() {
    let (_, world) = world("http").await;
    let mut client = Raw::new(&world).await;
    let fields = [WEBSOCKET, "te: chunked, x\r\nhost: b\r\n"].concat();
    client.send(&ask("/", &fields)).await;
    client.send(&"x".repeat(1 << 16)).await;
    let (head, _) = client.answer().await;
    assert!(head.starts_with("http/1.1 400 "), "{head}");
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(soon(client.io.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn a_listed_protocol_is_asked_for_and_its_bytes_pass() {
    // The answer and its first bytes in one segment.
    let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: FOO/1\r\n\
        x-cellway-tenant: evil\r\ncontent-length: 7\r\n\r\n\0\nGET ";
    let port = scripted(answer).await;
    let mut settings = plain(registry(plain_endpoint("http", port)));
    with_upgrades(&mut settings, &["foo/1"]);
    let world = start(settings).await;
    let mut client = Raw::new(&world).await;
    let fields = "upgrade: bar, foo/1\r\nconnection: upgrade\r\n";
    // So are the client's.
    client.send(&[&ask("/", fields), "\0\n"].concat()).await;
    let (head, _) = client.answer().await;
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("\r\nupgrade: foo/1\r\n"), "{head}");
    assert!(head.contains("\r\nconnection: upgrade\r\n"), "{head}");
    for not in ["evil", "content-length", "transfer-encoding"] {
        assert!(!head.contains(not), "{head}");
    }
    let mut bytes = [0; 6];
    soon(client.io.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(&bytes, b"\0\nGET ");
    client.io.shutdown().await.unwrap();
    assert_eq!(soon(client.io.read(&mut bytes)).await.unwrap(), 0);
    world.events.line("responded 101 cell - whole").await;
}

/// An HTTP/2 cell that agrees to switch to `foo/1` and sends the bytes back.
async fn switching_cell() -> u16 {
    played(|stream| async move {
        let mut builder = h2::server::Builder::new();
        builder.enable_connect_protocol();
        let mut connection = builder.handshake::<_, Bytes>(stream).await.unwrap();
        while let Some(asked) = connection.accept().await {
            let (mut request, mut respond) = asked.unwrap();
            let protocol = request.extensions().get::<h2::ext::Protocol>();
            assert_eq!(protocol.map(|it| it.as_str()), Some("foo/1"));
            let mut answer = respond.send_response(Response::new(()), false).unwrap();
            tokio::spawn(async move {
                while let Some(Ok(bytes)) = request.body_mut().data().await {
                    let _ = request
                        .body_mut()
                        .flow_control()
                        .release_capacity(bytes.len());
                    let _ = answer.send_data(bytes, false);
                }
                let _ = answer.send_data(Bytes::new(), true);
            });
        }
    })
    .await
}

/// Catches: a listed protocol that clients over HTTP/2 can't switch to, because only WebSocket is announced
/// to them or asked of the cell.
#[tokio::test]
async fn a_listed_protocol_is_asked_for_over_http2_too() {
    let agreed =
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: foo/1\r\n\r\nhello";
    for (scheme, port) in [
        ("http", scripted(agreed).await),
        ("h2c", switching_cell().await),
    ] {
        let mut settings = plain(registry(plain_endpoint(scheme, port)));
        with_upgrades(&mut settings, &["foo/1"]);
        let world = start(settings).await;
        let (answer, mut sender) = connect(&world, "foo/1").await;
        let mut answer = soon(answer).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{scheme}");
        sender
            .send_data(Bytes::from_static(b"hello"), true)
            .unwrap();
        let mut got = Vec::new();
        while let Some(bytes) = soon(answer.body_mut().data()).await {
            got.extend_from_slice(&bytes.unwrap());
        }
        assert_eq!(got, b"hello", "{scheme}");
        world.events.line("responded 200 cell - whole").await;
    }
}

#[tokio::test]
async fn with_an_empty_list_nobody_switches() {
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    let mut settings = plain(registry(plain_endpoint("http", port)));
    with_upgrades(&mut settings, &[]);
    let world = start(settings).await;
    let mut client = Raw::new(&world).await;
    client.send(&ask("/", WEBSOCKET)).await;
    assert!(client.answer().await.0.starts_with("http/1.1 200 "));
    // Over HTTP/2 it isn't announced, so the stream breaks the protocol (RFC 8441, section 3).
    let mut connection = world.client(Protocol::Http2).connect().await.unwrap();
    let refused = connection.websocket(Request::get("/")).await.unwrap_err();
    assert!(matches!(*refused, Refused::Error(_)), "{refused:?}");
}

/// The reason in the router's own answer to a request for a WebSocket.
async fn refused(world: &World, protocol: Protocol) -> (StatusCode, String) {
    refused_to(world, protocol, Request::get("/")).await
}

async fn refused_to(world: &World, protocol: Protocol, request: Request) -> (StatusCode, String) {
    let mut connection = world.client(protocol).connect().await.unwrap();
    let refused = connection.websocket(request).await.unwrap_err();
    match *refused {
        Refused::Answer(head, _) => {
            let reason = head.headers.get("x-cellway-reason");
            let reason = reason.map_or("-", |reason| reason.to_str().unwrap());
            (head.status, reason.to_owned())
        }
        Refused::Error(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_connect_is_refused_by_name() {
    let (_, world) = world("http").await;
    // To a CONNECT, every 2xx says that the router has switched. That of a gRPC answer would too.
    for fields in ["", "content-type: application/grpc\r\n"] {
        let mut client = Raw::new(&world).await;
        let head = "CONNECT example.org:443 HTTP/1.1\r\nhost: example.org:443\r\n";
        client.send(&format!("{head}{fields}\r\n")).await;
        let (head, body) = client.answer().await;
        assert!(head.starts_with("http/1.1 501 "), "{head}");
        assert!(
            head.contains("\r\nx-cellway-reason: connect_refused\r\n"),
            "{head}"
        );
        assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
        assert!(body.contains("connect_refused"), "{body}");
        world
            .events
            .line("responded 501 router connect_refused whole")
            .await;
    }
}

/// Catches: a CONNECT over HTTP/2 that only its stream's reset refuses.
#[tokio::test]
async fn a_connect_over_http2_is_refused_by_name() {
    let (_, world) = world("http").await;
    let stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let opened = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = opened.unwrap();
    tokio::spawn(connection);
    for kind in ["text/plain", "application/grpc"] {
        // It has an authority, and neither a scheme nor a path.
        let request = http::Request::connect("example.org:443").header(CONTENT_TYPE, kind);
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let answer = soon(sender.send_request(request)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_IMPLEMENTED, "{kind}");
        assert_eq!(answer.headers()["x-cellway-reason"], "connect_refused");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body);
        assert!(body.contains("connect_refused"), "{kind}: {body}");
    }
}

#[tokio::test]
async fn an_extended_connect_for_another_protocol_is_refused_by_name() {
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    let mut settings = plain(registry(plain_endpoint("http", port)));
    with_upgrades(&mut settings, &["foo"]);
    settings.listeners[0].routes = vec![ListenerRoute {
        path: PathPattern::new("/chat").unwrap(),
        policy: settings.listeners[0].policy,
        traffic: Arc::default(),
    }];
    let world = start(settings).await;
    // WebSocket is announced for /chat, and not allowed elsewhere.
    let grpc = HeaderValue::from_static("application/grpc");
    for request in [
        Request::get("/"),
        Request::get("/").header(CONTENT_TYPE, grpc),
    ] {
        let refusal = refused_to(&world, Protocol::Http2, request).await;
        let reason = "upgrade_not_allowed".to_owned();
        assert_eq!(refusal, (StatusCode::NOT_IMPLEMENTED, reason));
    }
    open(&world, Protocol::Http2).await;
}

/// Catches: a wait for the cell's settings that the time limit of the whole exchange doesn't end.
#[tokio::test]
async fn the_wait_for_a_cells_settings_is_part_of_the_total_time() {
    let port = played(|mut stream| async move { until_closed(&mut stream).await }).await;
    let mut settings = plain(registry(plain_endpoint("h2c", port)));
    settings.upstream.timeouts.connect = PATIENCE;
    settings.upstream.timeouts.total = Some(Duration::from_millis(300));
    let world = start(settings).await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let refusal = refused(&world, protocol).await;
        let reason = "cell_timeout_total".to_owned();
        assert_eq!(refusal, (StatusCode::GATEWAY_TIMEOUT, reason));
    }
}

#[tokio::test]
async fn the_routers_own_page_does_not_switch() {
    let (_, world) = world("http").await;
    let mut connection = world.client(Protocol::Http2).connect().await.unwrap();
    let page = Request::get("/.well-known/cellway/jwks.json");
    let refused = connection.websocket(page).await.unwrap_err();
    match *refused {
        Refused::Answer(head, _) => assert_eq!(head.status, StatusCode::NOT_IMPLEMENTED),
        Refused::Error(error) => panic!("{error}"),
    }
}

/// A cell's answer, and the status and reason that a client gets over each version.
type NoAgreement = (&'static [u8], [(u16, &'static str); 2]);

/// Cells whose answer to a handshake is no agreement, and what clients over HTTP/1.1 and HTTP/2 get.
const ANSWERS: [NoAgreement; 5] = [
    // It ignores the field.
    (
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        [(200, "-"), (502, "cell_no_upgrade")],
    ),
    // It refuses.
    (
        b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n",
        [(403, "-"), (403, "-")],
    ),
    // It switches to something else, or to nothing.
    (
        b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: foo\r\n\r\n",
        [(502, "cell_protocol_error"), (502, "cell_protocol_error")],
    ),
    (
        b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\n\r\n",
        [(502, "cell_protocol_error"), (502, "cell_protocol_error")],
    ),
    (
        b"HTTP/1.1 101 Switching\r\n\r\n",
        [(502, "cell_protocol_error"), (502, "cell_protocol_error")],
    ),
];

#[tokio::test]
async fn what_is_no_agreement_never_becomes_a_tunnel() {
    for (answer, expected) in ANSWERS {
        let port = says(String::from_utf8(answer.to_vec()).unwrap()).await;
        let world = start(plain(registry(plain_endpoint("http", port)))).await;
        for (protocol, (status, reason)) in
            [Protocol::Http1, Protocol::Http2].into_iter().zip(expected)
        {
            let (came, why) = refused(&world, protocol).await;
            let answer = String::from_utf8_lossy(answer);
            assert_eq!(
                (came.as_u16(), &*why),
                (status, reason),
                "{protocol:?}: {answer}"
            );
        }
    }
}

/// Catches: a cell that agrees to anything, which a client over HTTP/2 can't notice itself.
#[tokio::test]
async fn the_router_checks_the_answer_to_its_own_key() {
    let port = scripted(
        b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
          sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    )
    .await;
    let world = start(plain(registry(plain_endpoint("http", port)))).await;
    let (status, reason) = refused(&world, Protocol::Http2).await;
    assert_eq!((status.as_u16(), &*reason), (502, "cell_protocol_error"));
}

#[tokio::test]
async fn an_unasked_101_is_an_error() {
    let port =
        scripted(b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
            .await;
    let world = start(plain(registry(plain_endpoint("http", port)))).await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let answer = world
            .client(protocol)
            .send(Request::get("/"))
            .await
            .unwrap();
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
        assert_eq!(answer.headers["x-cellway-reason"], "cell_protocol_error");
    }
}

#[tokio::test]
async fn a_cell_that_takes_no_extended_connect_is_asked_over_http1() {
    let (clients, cells) = (ca(1), ca(2));
    let identity = issue(&cells, dns("localhost"));
    let tls = provider().server(&identity, None).unwrap();
    let (cell, port) = cell("a", ServerTls::new(tls)).await;
    cell.take_no_connect();
    let endpoints = json!([{"url": format!("https://localhost:{port}")}]);
    let world = start(secure(registry(endpoints), &clients, &cells)).await;
    let client = issue(&clients, uri("spiffe://corp.example/tenant/acme"));
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let secure = world.secure_client(protocol, &clients, Some(&client));
        let mut connection = secure.connect().await.unwrap();
        let plain = connection.send(Request::get("/")).await.unwrap();
        assert_eq!(body(&plain)["version"], "HTTP/2");
        let (_, mut socket) = connection.websocket(Request::get("/")).await.unwrap();
        echoes(&mut socket, b"hello").await;
    }
}

#[tokio::test]
async fn a_cell_that_speaks_only_http2_and_takes_no_extended_connect_is_named() {
    let (cell, world) = world("h2c").await;
    cell.take_no_connect();
    let (status, reason) = refused(&world, Protocol::Http1).await;
    assert_eq!((status.as_u16(), &*reason), (502, "cell_no_upgrade"));
}
