//! Requests whose body or trailers don't reach the cell whole.

use bytes::Bytes;
use cellway_env::tokio::TokioEnv;
use cellway_testbed::{EchoCell, Protocol, Report, Request, ServerTls};
use h2::Reason;
use http::Method;
use http::header::HeaderValue;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, error::SendError};
use tokio::time::timeout;

use crate::world::{PATIENCE, cell, listen, plain, plain_endpoint, registry, start};

/// Catches: a cell that takes half an upload for complete.
#[tokio::test]
async fn a_body_that_the_client_cuts_is_cut_at_the_cell() {
    for (scheme, tls) in [("http", ServerTls::plain()), ("h2c", ServerTls::plain_h2())] {
        for code in [Reason::NO_ERROR, Reason::CANCEL] {
            let (arrived, mut arrival) = mpsc::unbounded_channel();
            let (ended, mut end) = mpsc::unbounded_channel();
            let cell = EchoCell::new("a", move |report| {
                let _ = match report {
                    Report::Arrived(_) => arrived.send(()),
                    Report::Ended(_, how) => ended.send(how.complete).map_err(|_| SendError(())),
                    Report::CallEnded(..) | Report::Unserved(..) | Report::Left(_) => Ok(()),
                };
            });
            let (listener, address) = listen().await;
            let tls = tls.clone();
            tokio::spawn(async move { cell.serve(TokioEnv::new(), listener, tls).await });
            let world = start(plain(registry(plain_endpoint(scheme, address.port())))).await;

            let stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
            let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            let request = http::Request::post("http://localhost/").body(()).unwrap();
            let (_answer, mut body) = client.send_request(request, false).unwrap();
            body.send_data(Bytes::from_static(b"half of it"), false)
                .unwrap();
            arrival.recv().await.unwrap();
            body.send_reset(code);
            let complete = timeout(PATIENCE, end.recv()).await.unwrap().unwrap();
            assert!(!complete, "{scheme}, {code:?}");
        }
    }
}

/// Catches: request trailers that are too large and of which only a part reaches the cell.
#[tokio::test]
async fn a_clients_trailers_arrive_whole_or_not_at_all() {
    let (_cell, port) = cell("a", ServerTls::plain_h2()).await;
    let world = start(plain(registry(plain_endpoint("h2c", port)))).await;
    for (kib, arrives) in [(60, true), (65, false), (110, false), (270, false)] {
        let mut request = Request::get("/");
        request.method = Method::POST;
        request.body = Bytes::from_static(b"hello");
        let value = HeaderValue::try_from("v".repeat(kib << 10)).unwrap();
        request.trailers.insert("x-own", value);
        request
            .trailers
            .insert("x-last", HeaderValue::from_static("1"));
        let answer = world.client(Protocol::Http2).send(request).await;
        let arrived = answer.is_ok_and(|answer| answer.status.is_success());
        assert_eq!(arrived, arrives, "{kib} KiB");
    }
}
