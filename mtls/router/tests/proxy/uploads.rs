//! Bodies of requests go to the cell as they come.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use cellway_testbed::{self as testbed, Protocol};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::cells::{played, receive, until_closed};
use crate::event_stream::ask;
use crate::frames::{Came, Frames};
use crate::raw::Raw;
use crate::suspension::soon;
use crate::world::{plain, plain_endpoint, registry, start};

const PIECES: [&str; 3] = ["one, ", "two, ", "three"];

/// A body whose pieces are sent one by one.
struct Pieces(UnboundedReceiver<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.0.poll_recv(cx);
        piece.map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// A cell that tells what it gets of a body at once, and answers when it has all of it.
async fn telling(scheme: &'static str) -> (u16, UnboundedReceiver<Bytes>) {
    let (tell, told) = mpsc::unbounded_channel();
    let port = played(move |stream| {
        let tell = tell.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let tell = tell.clone();
            async move {
                while let Some(Ok(frame)) = request.body_mut().frame().await {
                    let _ = frame.into_data().map(|data| tell.send(data));
                }
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        });
        async move {
            let io = TokioIo::new(stream);
            let _ = match scheme {
                "h2c" => {
                    let server = http2::Builder::new(TokioExecutor::new());
                    server.serve_connection(io, service).await
                }
                _ => http1::Builder::new().serve_connection(io, service).await,
            };
        }
    });
    (port.await, told)
}

/// Catches: a router that collects a body before it sends it, or while it is kept for another attempt.
#[tokio::test]
async fn each_piece_arrives_before_the_next_is_sent() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for scheme in ["http", "h2c"] {
            // A PUT may be sent again, a POST may not.
            for method in [Method::POST, Method::PUT] {
                let what = format!("{method} over {protocol:?} to {scheme}");
                let (port, mut told) = telling(scheme).await;
                let world = start(plain(registry(plain_endpoint(scheme, port)))).await;
                let (pieces, body) = mpsc::unbounded_channel();
                let request = Request::builder().method(method).uri("http://localhost/");
                let request = request.header("host", "localhost").body(Pieces(body));
                let sends = async {
                    for piece in PIECES {
                        pieces.send(Bytes::from_static(piece.as_bytes())).unwrap();
                        assert_eq!(soon(told.recv()).await.unwrap(), piece, "{what}");
                    }
                    drop(pieces);
                };
                let (answer, ()) = tokio::join!(ask(&world, protocol, request.unwrap()), sends);
                assert_eq!(answer.status(), StatusCode::OK, "{what}");
            }
        }
    }
}

/// The start of an upload.
const UPLOAD: &str =
    "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";

/// A cell over HTTP/2 that begins each answer before it has the whole request.
async fn early() -> u16 {
    let port = played(move |stream| async move {
        let mut cell = Frames::greet(stream).await;
        while let Some(came) = cell.next().await {
            match came {
                Came::Head(id) => {
                    cell.head(id).await;
                    cell.data(id, b"begun", false).await;
                }
                Came::End(id) => cell.answer(id).await,
            }
        }
    });
    port.await
}

/// Catches: clients whose uploads break off after the cell has begun to answer, and that take the cell from
/// everybody, because the streams that the router resets count as failures of the cell.
#[tokio::test]
async fn uploads_that_break_off_say_nothing_about_the_cell() {
    let mut settings = plain(registry(plain_endpoint("h2c", early().await)));
    settings.upstream.breaker.failures = 1;
    let world = start(settings).await;
    for (count, malformed) in [(1, true), (2, false)] {
        let mut client = Raw::new(&world).await;
        client.send(UPLOAD).await;
        client.head().await;
        match malformed {
            true => client.send("zz\r\n").await,
            false => client.io.shutdown().await.unwrap(),
        }
        let cut = "responded 200 cell bad_request cut";
        world.events.lines_of(cut, count).await;
    }
    let client = world.client(Protocol::Http1);
    let answer = client.send(testbed::Request::get("/")).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
}

/// Catches: a log that says a client has got a whole answer after it had reset its connection.
#[tokio::test]
async fn an_answer_to_a_client_that_is_gone_is_not_complete() {
    let (sends, on) = mpsc::unbounded_channel::<()>();
    let on = Arc::new(Mutex::new(on));
    let port = played(move |mut stream| {
        let on = on.clone();
        async move {
            receive(&mut stream).await;
            let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nbegun";
            stream.write_all(half).await.unwrap();
            on.lock().await.recv().await;
            let _ = stream.write_all(b"ended").await;
            until_closed(&mut stream).await;
        }
    });
    let world = start(plain(registry(plain_endpoint("http", port.await)))).await;
    let mut client = Raw::new(&world).await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhello")
        .await;
    client.head().await;
    client.io.set_zero_linger().unwrap();
    drop(client);
    // What came before this one has been read when it is answered.
    let mut later = Raw::new(&world).await;
    later.send("GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(later.statuses().await, [400]);
    sends.send(()).unwrap();
    world.events.line("responded 200 cell - cut").await;
}
