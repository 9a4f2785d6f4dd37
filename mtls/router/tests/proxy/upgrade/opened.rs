//! WebSockets that are opened and carry data.

use bytes::Bytes;
use cellway_testbed::{EchoCell, Message, Protocol, Request, ServerTls, WebSocket};

use h2::SendStream;
use h2::client::ResponseFuture;
use tokio::net::TcpStream;

use crate::suspension::soon;
use crate::world::{World, cell, plain, plain_endpoint, registry, start};

/// A plain world whose cell speaks this scheme.
pub(super) async fn world(scheme: &str) -> (EchoCell, World) {
    let tls = match scheme {
        "h2c" => ServerTls::plain_h2(),
        _ => ServerTls::plain(),
    };
    let (cell, port) = cell("a", tls).await;
    let settings = plain(registry(plain_endpoint(scheme, port)));
    (cell, start(settings).await)
}

/// Opens a WebSocket, and sees that it echoes.
pub(super) async fn open(world: &World, protocol: Protocol) -> WebSocket {
    let mut connection = world.client(protocol).connect().await.unwrap();
    let opened = connection.websocket(Request::get("/chat?x=1")).await;
    let (_, mut socket) = opened.unwrap();
    echoes(&mut socket, b"hello").await;
    // Over HTTP/1.1 the connection is the socket's, over HTTP/2 it must stay.
    tokio::spawn(async move {
        let _connection = connection;
        std::future::pending::<()>().await;
    });
    socket
}

pub(super) async fn echoes(socket: &mut WebSocket, data: &[u8]) {
    socket.send(data).await.unwrap();
    let echo = soon(socket.next()).await.unwrap();
    assert_eq!(echo, Message::Data(Bytes::copy_from_slice(data)));
}

const PROTOCOLS: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

#[tokio::test]
async fn every_version_of_the_client_reaches_every_version_of_the_cell() {
    for protocol in PROTOCOLS {
        for scheme in ["http", "h2c"] {
            let (_, world) = world(scheme).await;
            let mut socket = open(&world, protocol).await;
            for size in [0, 125, 126, 65_536, 1 << 20] {
                let data: Vec<u8> = (0..size).map(|i| i as u8).collect();
                echoes(&mut socket, &data).await;
            }
            socket.close(1000).await.unwrap();
            let close = soon(socket.next()).await.unwrap();
            assert_eq!(close, Message::Close(1000), "{protocol:?} to {scheme}");
            assert_eq!(soon(socket.next()).await.unwrap(), Message::End);
            let status = if protocol == Protocol::Http1 {
                101
            } else {
                200
            };
            let responded = format!("responded {status} cell - whole");
            world.events.line(&responded).await;
        }
    }
}

/// Asks for this protocol with an extended CONNECT.
pub(super) async fn connect(
    world: &World,
    protocol: &'static str,
) -> (ResponseFuture, SendStream<Bytes>) {
    let stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut client = soon(client.ready()).await.unwrap();
    let announced = async {
        while !client.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
    };
    soon(announced).await;
    let mut request = http::Request::connect("http://a/").body(()).unwrap();
    let extensions = request.extensions_mut();
    extensions.insert(h2::ext::Protocol::from_static(protocol));
    client.send_request(request, false).unwrap()
}
