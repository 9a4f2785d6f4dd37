//! Server-sent events: an answer that goes on for hours, with long pauses.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cellway_testbed::Protocol;
use http_body_util::{BodyExt, Empty};
use hyper::body::Body;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::cells::{self, played, receive, until_closed};
use crate::frames::head_of;
use crate::suspension::soon;
use crate::world::{World, plain, plain_endpoint, registry, start};

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
    cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";

const EVENTS: [&str; 2] = ["data: 1\n\n", "data: 2\n\n"];

/// Longer than the time limit for the header of an answer in this test.
const PAUSE: Duration = Duration::from_millis(400);

pub(crate) type Answer = http::Response<hyper::body::Incoming>;

/// Sends a request on a connection of its own, which lasts as long as the test. Returns the header of
/// the answer.
pub(crate) async fn ask<B>(world: &World, protocol: Protocol, request: http::Request<B>) -> Answer
where
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    let stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let io = TokioIo::new(stream);
    match protocol {
        Protocol::Http1 => {
            let (mut sender, connection) = http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            soon(sender.send_request(request)).await.unwrap()
        }
        Protocol::Http2 => {
            let opened = http2::handshake(TokioExecutor::new(), io).await;
            let (mut sender, connection) = opened.unwrap();
            tokio::spawn(connection);
            let answer = soon(sender.send_request(request)).await.unwrap();
            // The connection must outlive the request.
            tokio::spawn(async move {
                let _sender = sender;
                std::future::pending::<()>().await;
            });
            answer
        }
    }
}

async fn get(world: &World, protocol: Protocol) -> Answer {
    let request = http::Request::get("http://localhost/events");
    let request = request.header("host", "localhost");
    let request = request.header("accept", "text/event-stream");
    ask(world, protocol, request.body(Empty::new()).unwrap()).await
}

async fn next(answer: &mut Answer) -> Option<Bytes> {
    let frame = soon(answer.body_mut().frame()).await?;
    Some(frame.ok()?.into_data().unwrap())
}

/// A cell that sends one event more, after a pause, each time that it is notified.
async fn sends_over_http1(more: Arc<Notify>) -> u16 {
    played(move |mut stream| {
        let more = more.clone();
        async move {
            receive(&mut stream).await;
            let _ = stream.write_all(HEAD).await;
            for event in EVENTS {
                more.notified().await;
                tokio::time::sleep(PAUSE).await;
                let chunk = format!("{:x}\r\n{event}\r\n", event.len());
                let _ = stream.write_all(chunk.as_bytes()).await;
            }
            until_closed(&mut stream).await;
        }
    })
    .await
}

/// The same over HTTP/2.
async fn sends_over_http2(more: Arc<Notify>) -> u16 {
    cells::http2(move |mut frames, id| {
        let more = more.clone();
        async move {
            let head = head_of(&[("content-type", "text/event-stream")]);
            frames.fields(id, &head, false).await;
            for event in EVENTS {
                more.notified().await;
                tokio::time::sleep(PAUSE).await;
                frames.data(id, event.as_bytes(), false).await;
            }
            Some(frames)
        }
    })
    .await
}

/// Catches: a router that collects events, or takes the pauses between them for a slow header.
#[tokio::test]
async fn each_event_arrives_before_the_next_is_sent() {
    let protocols = [Protocol::Http1, Protocol::Http2];
    for (protocol, scheme) in protocols
        .into_iter()
        .flat_map(|it| [(it, "http"), (it, "h2c")])
    {
        let more = Arc::new(Notify::new());
        let port = match scheme {
            "h2c" => sends_over_http2(more.clone()).await,
            _ => sends_over_http1(more.clone()).await,
        };
        let mut settings = plain(registry(plain_endpoint(scheme, port)));
        settings.upstream.timeouts.header = PAUSE / 2;
        settings.upstream.timeouts.idle = PAUSE * 4;
        let world = start(settings).await;
        // The head comes before any event.
        let mut answer = get(&world, protocol).await;
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        for event in EVENTS {
            more.notify_one();
            let came = next(&mut answer).await.unwrap();
            assert_eq!(came, event, "{protocol:?} from {scheme}");
        }
        // Only silence ends it.
        assert_eq!(next(&mut answer).await, None);
        let cut = "responded 200 cell cell_timeout_idle cut";
        world.events.line(cut).await;
    }
}
