//! Bodies of requests go to the cell as they come.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use cellway_testbed::Protocol;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::cells::played;
use crate::event_stream::ask;
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
