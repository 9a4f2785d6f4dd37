//! A tunnel has the rights of its caller, and the limits of a request.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cellway_core::Unix;
use cellway_core::upgrade::Upgrades;
use cellway_env::Env;
use cellway_env::tokio::TokioEnv;
use cellway_router::settings::{
    AccessLog, CellLimits, ClientCertificate, ListenerTls, RegistryLocation, RouterSettings,
    Sources, TrafficSettings,
};
use cellway_testbed::{Ca, IdentityProvider, Message, Protocol, Request, ServerTls, WebSocket};
use http::{Response, StatusCode};
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_rustls::TlsConnector;

use super::opened::{connect, echoes, open};
use crate::cells::{played, receive};
use crate::cut_clients::{End, end_of};
use crate::suspension::{Published, soon};
use crate::world::{
    World, ca, cell, dns, issue, issue_until, now, pair, plain, plain_endpoint, provider, registry,
    secure, set_policy, start, token_policy, uri,
};

pub(super) const PROTOCOLS: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

async fn with(scheme: &str, change: impl FnOnce(&mut RouterSettings)) -> World {
    let tls = match scheme {
        "h2c" => ServerTls::plain_h2(),
        _ => ServerTls::plain(),
    };
    let (_cell, port) = cell("a", tls).await;
    let mut settings = plain(registry(plain_endpoint(scheme, port)));
    change(&mut settings);
    start(settings).await
}

/// Sees that the router closes the socket with this code, and then ends it.
pub(super) async fn told(socket: &mut WebSocket, code: u16) {
    assert_eq!(soon(socket.next()).await.unwrap(), Message::Close(code));
    socket.close(code).await.unwrap();
    assert_eq!(soon(socket.next()).await.unwrap(), Message::End);
}

#[tokio::test]
async fn a_suspension_closes_the_tenants_tunnels() {
    for protocol in PROTOCOLS {
        let (_cell, port) = cell("a", ServerTls::plain()).await;
        let published = Published::new(port);
        let mut settings = plain(registry(json!([])));
        settings.sources = Sources::new(RegistryLocation::File(published.path()));
        let world = start(settings).await;
        let mut socket = open(&world, protocol).await;
        published.suspend_acme(&world).await;
        told(&mut socket, 1008).await;
        let status = if protocol == Protocol::Http1 {
            101
        } else {
            200
        };
        let line = format!("responded {status} cell tenant_suspended whole");
        for line in ["stream closed tenant_suspended", &line] {
            world.events.line(line).await;
        }
    }
}

/// Catches: a suspended tenant that keeps its tunnel by answering nothing.
#[tokio::test]
async fn a_client_that_ignores_the_close_frame_is_cut() {
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    let published = Published::new(port);
    let mut settings = plain(registry(json!([])));
    settings.sources = Sources::new(RegistryLocation::File(published.path()));
    let world = start(settings).await;
    let mut socket = open(&world, Protocol::Http1).await;
    published.suspend_acme(&world).await;
    assert_eq!(soon(socket.next()).await.unwrap(), Message::Close(1008));
    assert_eq!(soon(socket.next()).await.unwrap(), Message::End);
    world
        .events
        .line("responded 101 cell tenant_suspended cut")
        .await;
}

#[tokio::test]
async fn a_drain_tells_both_sides_and_abandons_nothing() {
    for protocol in PROTOCOLS {
        for scheme in ["http", "h2c"] {
            let world = with(scheme, |_| ()).await;
            let mut socket = open(&world, protocol).await;
            let handle = &world.handle;
            let draining = handle.drain(Duration::from_secs(20));
            let (drained, ()) = tokio::join!(draining, told(&mut socket, 1001));
            assert_eq!(drained.abandoned, 0, "{protocol:?} to {scheme}");
            world.events.line("tunnel websocket drain").await;
        }
    }
}

/// Catches: an access log that says that a tunnel carried nothing, because it was cut.
#[tokio::test]
async fn a_tunnel_that_is_cut_has_its_bytes_in_the_log() {
    const AGREED: &str =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: foo\r\n\r\n";
    let port = played(|mut stream| async move {
        receive(&mut stream).await;
        stream.write_all(AGREED.as_bytes()).await.unwrap();
        stream.read_exact(&mut [0; 2]).await.unwrap();
        stream.write_all(b"answer").await.unwrap();
        while receive(&mut stream).await > 0 {}
    });
    let port = port.await;
    let mut settings = plain(registry(plain_endpoint("http", port)));
    settings.access_log = AccessLog::Full;
    settings.listeners[0].traffic = Arc::new(TrafficSettings {
        upgrades: Upgrades::new(&["foo"]).unwrap(),
        ..TrafficSettings::default()
    });
    let world = start(settings).await;
    let mut client = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let ask = b"GET / HTTP/1.1\r\nhost: a\r\nupgrade: foo\r\nconnection: upgrade\r\n\r\nhi";
    client.write_all(ask).await.unwrap();
    let mut came = Vec::new();
    while !came.ends_with(b"answer") {
        let mut chunk = [0; 1024];
        let count = soon(client.read(&mut chunk)).await.unwrap();
        assert!(count > 0, "{came:?}");
        came.extend_from_slice(&chunk[..count]);
    }
    // Such a protocol has no message that ends it, so it lasts until it is cut.
    world.handle.drain(Duration::ZERO).await;
    world.events.line("tunnel other cut").await;
    world.events.line("6 bytes to the client").await;
    let lines = world.events.lines();
    let logged = lines.iter().find(|line| line.starts_with("logged"));
    assert!(
        logged.is_some_and(|line| line.contains(", 2 bytes")),
        "{logged:?}"
    );
}

#[tokio::test]
async fn a_tunnel_ends_with_its_certificate() {
    let (clients, cells) = (ca(1), ca(2));
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    for protocol in PROTOCOLS {
        let endpoints = plain_endpoint("http", port);
        let world = start(secure(registry(endpoints), &clients, &cells)).await;
        let until = now().after(Duration::from_secs(7));
        let name = uri("spiffe://corp.example/tenant/acme");
        let credential = issue_until(&clients, name, until);
        let client = world.secure_client(protocol, &clients, Some(&credential));
        let mut connection = client.connect().await.unwrap();
        let (_, mut socket) = connection.websocket(Request::get("/")).await.unwrap();
        echoes(&mut socket, b"hello").await;
        told(&mut socket, 1008).await;
        assert!(now() <= until, "told too late");
        world.events.line("stream closed certificate_expired").await;
        world.events.line("closed certificate_expired").await;
    }
}

/// Opens a WebSocket with a token that expires then.
async fn open_until(
    world: &World,
    protocol: Protocol,
    provider: &IdentityProvider,
    until: Unix,
) -> WebSocket {
    let claims = provider.claims(&TokioEnv::new(), "acme");
    let token = provider.sign(&claims.with("exp", until.as_secs())).unwrap();
    let mut connection = world.client(protocol).connect().await.unwrap();
    let opened = connection.websocket(Request::get("/").bearer(&token)).await;
    let (_, mut socket) = opened.unwrap();
    echoes(&mut socket, b"hello").await;
    socket
}

/// Checks how a tunnel ends whose token expires.
async fn outlives_token(provider: &IdentityProvider, protocol: Protocol, ends: bool) {
    let world = with("http", |settings| {
        set_policy(settings, token_policy(provider));
        settings.listeners[0].traffic = Arc::new(TrafficSettings {
            upgrades_end_with_token: ends,
            // What ends the other one.
            idle_timeout: Some(Duration::from_secs(4)),
            ..TrafficSettings::default()
        });
    })
    .await;
    let until = TokioEnv::new().unix_now().after(Duration::from_secs(3));
    let mut socket = open_until(&world, protocol, provider, until).await;
    if ends {
        told(&mut socket, 1008).await;
        world.events.line("stream closed expired_token").await;
        return;
    }
    told(&mut socket, 1001).await;
    let status = match protocol {
        Protocol::Http1 => 101,
        Protocol::Http2 => 200,
    };
    let line = format!("responded {status} cell cell_timeout_idle whole");
    world.events.line(&line).await;
    world.events.line("tunnel websocket idle").await;
}

#[tokio::test]
async fn a_tunnel_ends_with_its_token_if_a_setting_says_so() {
    let provider = IdentityProvider::start(&TokioEnv::new()).await.unwrap();
    tokio::join!(
        outlives_token(&provider, Protocol::Http1, true),
        outlives_token(&provider, Protocol::Http1, false),
        outlives_token(&provider, Protocol::Http2, true),
        outlives_token(&provider, Protocol::Http2, false),
    );
}

#[tokio::test]
async fn a_request_to_switch_needs_its_credentials() {
    let provider = IdentityProvider::start(&TokioEnv::new()).await.unwrap();
    let world = with("http", |settings| {
        set_policy(settings, token_policy(&provider))
    })
    .await;
    for protocol in PROTOCOLS {
        let mut connection = world.client(protocol).connect().await.unwrap();
        let refused = connection.websocket(Request::get("/")).await.unwrap_err();
        let cellway_testbed::Refused::Answer(head, _) = *refused else {
            panic!("{refused:?}");
        };
        assert_eq!(head.status, StatusCode::UNAUTHORIZED, "{protocol:?}");
        assert_eq!(head.headers["x-cellway-reason"], "missing_token");
        // The connection goes on.
        let token = provider.token(&TokioEnv::new(), "acme").unwrap();
        let answer = connection.send(Request::get("/").bearer(&token)).await;
        assert_eq!(answer.unwrap().status, StatusCode::OK);
    }
}

/// Catches: a request, or a cell's connection, that isn't counted once it carries a tunnel.
#[tokio::test]
async fn a_tunnel_holds_its_place_and_its_connection() {
    type Limit = fn(&mut CellLimits);
    let one_request: Limit = |limits| limits.requests_max = 1;
    let one_connection: Limit = |limits| limits.connections_max = 1;
    for limit in [one_request, one_connection] {
        let world = with("http", |settings| limit(&mut settings.upstream.limits)).await;
        let mut socket = open(&world, Protocol::Http1).await;
        let client = world.client(Protocol::Http1);
        let answer = client.send(Request::get("/")).await.unwrap();
        assert_eq!(answer.headers["x-cellway-reason"], "overloaded");
        socket.close(1000).await.unwrap();
        world.events.line("responded 101 cell - whole").await;
        world.events.line("tunnel websocket closed").await;
        let answer = client.send(Request::get("/")).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
    }
}

/// A cell that answers a message only when it has been told to close.
///
/// Catches: a client that is told at once, so that it never gets the answers to what it has sent.
#[tokio::test]
async fn a_drain_lets_the_cell_answer_first() {
    let port = played(|mut stream| async move {
        receive(&mut stream).await;
        stream.write_all(AGREEMENT).await.unwrap();
        // A message, and then the router's Close frame.
        let mut came = Vec::new();
        while !came.windows(2).any(|bytes| bytes == [0x88, 0x82]) {
            let mut chunk = [0; 64];
            let count = stream.read(&mut chunk).await.unwrap();
            assert!(count > 0, "{came:?}");
            came.extend_from_slice(&chunk[..count]);
        }
        let answer_and_close = [0x82, 2, b'h', b'i', 0x88, 2, 0x03, 0xe9];
        stream.write_all(&answer_and_close).await.unwrap();
        while receive(&mut stream).await > 0 {}
    });
    let port = port.await;
    let world = start(plain(registry(plain_endpoint("http", port)))).await;
    let mut connection = world.client(Protocol::Http1).connect().await.unwrap();
    let (_, mut socket) = connection.websocket(Request::get("/")).await.unwrap();
    socket.send(b"hello").await.unwrap();
    let draining = world.handle.drain(Duration::from_secs(20));
    let (drained, ()) = tokio::join!(draining, async {
        let answer = soon(socket.next()).await.unwrap();
        assert_eq!(answer, Message::Data(bytes::Bytes::from_static(b"hi")));
        told(&mut socket, 1001).await;
    });
    assert_eq!(drained.abandoned, 0);
}

/// Catches: a client that is never told because its cell doesn't answer.
#[tokio::test]
async fn a_drain_tells_the_client_if_the_cell_says_nothing() {
    let port = played(|mut stream| async move {
        receive(&mut stream).await;
        stream.write_all(AGREEMENT).await.unwrap();
        while receive(&mut stream).await > 0 {}
    });
    let port = port.await;
    let world = start(plain(registry(plain_endpoint("http", port)))).await;
    let mut connection = world.client(Protocol::Http1).connect().await.unwrap();
    let (_, mut socket) = connection.websocket(Request::get("/")).await.unwrap();
    let draining = world.handle.drain(Duration::from_secs(20));
    let (drained, ()) = tokio::join!(draining, async {
        assert_eq!(soon(socket.next()).await.unwrap(), Message::Close(1001));
        socket.close(1001).await.unwrap();
        socket.finish().await.unwrap();
        assert_eq!(soon(socket.next()).await.unwrap(), Message::End);
    });
    assert_eq!(drained.abandoned, 0);
}

const AGREEMENT: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
    upgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut() {
    let port = played(|mut stream| async move {
        receive(&mut stream).await;
        let _ = stream.write_all(AGREEMENT).await;
        while stream.write_all(&[0x82; 1 << 16]).await.is_ok() {}
    });
    let port = port.await;
    let mut settings = plain(registry(plain_endpoint("http", port)));
    settings.listeners[0].timeouts.stall = Duration::from_millis(300);
    let world = start(settings).await;
    let mut client = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    client.write_all(ASK).await.unwrap();
    world
        .events
        .line("responded 101 cell client_stalled cut")
        .await;
    world.events.line("tunnel websocket client_stalled").await;
    assert_eq!(end_of(&mut client).await.1, End::Reset);
}

#[tokio::test]
async fn a_cell_that_breaks_off_is_blamed_and_a_client_that_does_is_not() {
    let port = played(|mut stream| async move {
        receive(&mut stream).await;
        let _ = stream.write_all(AGREEMENT).await;
        let mut byte = [0];
        let _ = stream.read_exact(&mut byte).await;
        if byte == [1] {
            // The end of a socket with unread bytes is a reset.
            stream.set_zero_linger().unwrap();
            return;
        }
        while receive(&mut stream).await > 0 {}
    });
    let port = port.await;
    let world = start(plain(registry(plain_endpoint("http", port)))).await;
    for (byte, line, end) in [
        (1, "responded 101 cell cell_reset cut", "cell_gone"),
        (2, "responded 101 cell - cut", "client_gone"),
    ] {
        let mut client = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        client.write_all(ASK).await.unwrap();
        let mut head = vec![0; AGREEMENT.len()];
        soon(client.read_exact(&mut head)).await.unwrap();
        client.write_all(&[byte]).await.unwrap();
        if byte == 2 {
            client.set_zero_linger().unwrap();
            drop(client);
        } else {
            while soon(client.read(&mut head)).await.is_ok_and(|n| n > 0) {}
        }
        world.events.line(line).await;
        let end = format!("tunnel websocket {end}");
        world.events.line(&end).await;
    }
}

/// Catches: an end of the bytes below TLS that counts as one in order, and the reverse. The cell closes when
/// its client does.
#[tokio::test]
async fn only_an_end_in_order_closes() {
    let port = played(|mut stream| async move {
        receive(&mut stream).await;
        let _ = stream.write_all(AGREEMENT).await;
        while receive(&mut stream).await > 0 {}
    });
    let port = port.await;
    let server = ca(1);
    let mut settings = plain(registry(plain_endpoint("http", port)));
    settings.listeners[0].tls = Some(ListenerTls {
        identity: pair(&issue(&server, dns("localhost"))),
        client_certificate: ClientCertificate::None,
    });
    let world = start(settings).await;
    let roots = Ca::roots(&[&server]).unwrap();
    let config = provider().client(roots, None, Protocol::Http1).unwrap();
    for (in_order, end) in [(true, "closed"), (false, "client_gone")] {
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        let connecting = TlsConnector::from(config.clone()).connect(name, stream);
        let mut client = connecting.await.unwrap();
        client.write_all(ASK).await.unwrap();
        let mut head = vec![0; AGREEMENT.len()];
        soon(client.read_exact(&mut head)).await.unwrap();
        match in_order {
            // This says close_notify.
            true => client.shutdown().await.unwrap(),
            false => client.get_mut().0.shutdown().await.unwrap(),
        }
        world.events.line(&format!("tunnel websocket {end}")).await;
    }
}

/// Catches: a WebSocket that stays half closed.
#[tokio::test]
async fn a_websocket_whose_other_side_is_quiet_closes_after_a_second() {
    let port = played(|mut stream| async move {
        receive(&mut stream).await;
        let _ = stream.write_all(AGREEMENT).await;
        // The client's end.
        while receive(&mut stream).await > 0 {}
        std::future::pending::<()>().await;
    });
    let port = port.await;
    let world = start(plain(registry(plain_endpoint("http", port)))).await;
    let mut client = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    client.write_all(ASK).await.unwrap();
    let mut head = vec![0; AGREEMENT.len()];
    soon(client.read_exact(&mut head)).await.unwrap();
    client.shutdown().await.unwrap();
    world.events.line("tunnel websocket closed").await;
}

/// An HTTP/2 cell that agrees to switch, says how the client's bytes end, and resets its own if they begin
/// with `cut`.
async fn listening_cell(ends: UnboundedSender<Option<h2::Reason>>) -> u16 {
    played(move |stream| {
        let ends = ends.clone();
        async move {
            let mut builder = h2::server::Builder::new();
            builder.enable_connect_protocol();
            let mut connection = builder.handshake::<_, Bytes>(stream).await.unwrap();
            while let Some(asked) = connection.accept().await {
                let (mut request, mut respond) = asked.unwrap();
                let mut answer = respond.send_response(Response::new(()), false).unwrap();
                let ends = ends.clone();
                tokio::spawn(async move {
                    let end = loop {
                        match request.body_mut().data().await {
                            Some(Ok(bytes)) if &*bytes == b"cut" => {
                                answer.send_reset(h2::Reason::CANCEL);
                            }
                            Some(Ok(_)) => {}
                            Some(Err(error)) => break error.reason(),
                            None => break None,
                        }
                    };
                    let _ = ends.send(end);
                });
            }
        }
    })
    .await
}

/// An HTTP/2 cell that closes each WebSocket, and resets the stream with `NO_ERROR` because it needs no more
/// of the client's bytes: after its end, as most servers do, or in its place.
async fn closing_cell(ends: bool) -> u16 {
    played(move |stream| async move {
        let mut builder = h2::server::Builder::new();
        builder.enable_connect_protocol();
        let mut connection = builder.handshake::<_, Bytes>(stream).await.unwrap();
        while let Some(asked) = connection.accept().await {
            let (mut request, mut respond) = asked.unwrap();
            let mut answer = respond.send_response(Response::new(()), false).unwrap();
            answer.send_data(Bytes::from_static(CLOSE), ends).unwrap();
            tokio::spawn(async move {
                if !ends {
                    // Otherwise the reset would overtake the Close frame.
                    request.body_mut().data().await;
                    answer.send_reset(h2::Reason::NO_ERROR);
                }
                // Nobody reads the rest, so h2 resets the stream.
                drop(request);
            });
        }
    })
    .await
}

const CLOSE: &[u8] = b"\x88\x02\x03\xe8";

/// Catches: a WebSocket closed in order that counts as a failure of the cell.
#[tokio::test]
async fn a_cell_that_needs_no_more_after_its_close_frame_has_not_failed() {
    for ends in [true, false] {
        let port = closing_cell(ends).await;
        let world = start(plain(registry(plain_endpoint("h2c", port)))).await;
        let mut client = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        client.write_all(ASK).await.unwrap();
        let mut came = Vec::new();
        while !came.ends_with(CLOSE) {
            let count = soon(client.read_buf(&mut came)).await.unwrap();
            assert!(count > 0, "{came:?}");
        }
        client.write_all(b"\x88\x82\0\0\0\0\x03\xe8").await.unwrap();
        // The router passes on that the cell has ended.
        soon(client.read_to_end(&mut came)).await.unwrap();
        client.shutdown().await.unwrap();
        world.events.line("tunnel websocket closed").await;
        let lines = world.events.lines();
        let failed = |line: &String| line.starts_with("cell failed");
        assert!(!lines.iter().any(failed), "ends {ends}: {lines:?}");
    }
}

/// Catches: a reset over HTTP/2 that the other side takes for the end of the bytes, so that half of them
/// look complete and the tunnel stays open. CANCEL stands for a reset of TCP (RFC 8441, section 5).
#[tokio::test]
async fn a_reset_is_no_end_of_the_bytes() {
    for code in [
        h2::Reason::CANCEL,
        h2::Reason::NO_ERROR,
        h2::Reason::INTERNAL_ERROR,
    ] {
        for (bytes, end) in [("half", "client_gone"), ("cut", "cell_gone")] {
            let (ends, mut ended) = unbounded_channel();
            let port = listening_cell(ends).await;
            let mut settings = plain(registry(plain_endpoint("h2c", port)));
            settings.listeners[0].traffic = Arc::new(TrafficSettings {
                upgrades: Upgrades::new(&["foo"]).unwrap(),
                ..TrafficSettings::default()
            });
            let world = start(settings).await;
            let (answer, mut sender) = connect(&world, "foo").await;
            let mut answer = soon(answer).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            sender
                .send_data(Bytes::from_static(bytes.as_bytes()), false)
                .unwrap();
            if bytes == "half" {
                sender.send_reset(code);
            } else {
                let last = soon(answer.body_mut().data()).await;
                assert!(last.is_some_and(|it| it.is_err()), "{code:?}");
            }
            assert!(
                soon(ended.recv()).await.unwrap().is_some(),
                "{code:?} {bytes}"
            );
            world.events.line(&format!("tunnel other {end}")).await;
        }
    }
}
