use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use tokio::io::{AsyncReadExt, duplex};

use super::*;

type AnyBody = BoxBody<Bytes, Infallible>;

fn none() -> AnyBody {
    Empty::new().boxed()
}

fn sized() -> AnyBody {
    Full::from("hi").boxed()
}

/// A body whose length isn't known.
struct Streamed(std::slice::Iter<'static, &'static str>);

impl Body for Streamed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.0.next();
        Poll::Ready(data.map(|data| Ok(Frame::data(Bytes::from_static(data.as_bytes())))))
    }
}

fn streamed() -> AnyBody {
    Streamed(["h", "i"].iter()).boxed()
}

/// What a client gets that asks like this, and whether its connection stays open.
async fn sent(
    (method, version, keeps): (Method, Version, bool),
    (status, fields): (u16, &[(&'static str, &str)]),
    body: AnyBody,
) -> (String, bool) {
    let mut request = Request::new(());
    (*request.method_mut(), *request.version_mut()) = (method, version);
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in fields {
        let value = value.parse().unwrap();
        response.headers_mut().append(*name, value);
    }
    let mut asking = Asking::of(&request, keeps);
    let mut answer = answer(response, &mut asking, BytesMut::new());
    let (mut here, mut there) = duplex(1024);
    let sent = poll_fn(|cx| answer.poll(&mut here, cx)).await;
    sent.unwrap();
    drop(here);
    let mut got = String::new();
    there.read_to_string(&mut got).await.unwrap();
    (got.replace("\r\n", "|"), asking.keeps)
}

const GET: (Method, Version, bool) = (Method::GET, Version::HTTP_11, true);
const HEAD: (Method, Version, bool) = (Method::HEAD, Version::HTTP_11, true);
const LAST: (Method, Version, bool) = (Method::GET, Version::HTTP_11, false);
const OLD: (Method, Version, bool) = (Method::GET, Version::HTTP_10, true);
const OLD_LAST: (Method, Version, bool) = (Method::GET, Version::HTTP_10, false);

/// Catches: an answer whose end the client sees in another place than the router, so that it takes the
/// rest for the next answer or waits for more.
#[tokio::test]
async fn the_head_says_what_follows() {
    let chunked = &[("transfer-encoding", "chunked"), ("trailer", "x-sum")];
    let length = &[("content-length", "2")];
    for (asks, answer, body, expected) in [
        (
            GET,
            (200, &[("a", "b")][..]),
            sized(),
            "HTTP/1.1 200 OK|a: b|content-length: 2||hi",
        ),
        (
            GET,
            (200, &length[..]),
            streamed(),
            "HTTP/1.1 200 OK|content-length: 2||hi",
        ),
        (
            GET,
            (200, &[]),
            streamed(),
            "HTTP/1.1 200 OK|transfer-encoding: chunked||1|h|1|i|0||",
        ),
        (
            GET,
            (200, &chunked[..]),
            sized(),
            "HTTP/1.1 200 OK|trailer: x-sum|transfer-encoding: chunked||2|hi|0||",
        ),
        (
            GET,
            (200, &[]),
            none(),
            "HTTP/1.1 200 OK|content-length: 0||",
        ),
        (GET, (204, &length[..]), none(), "HTTP/1.1 204 No Content||"),
        (
            GET,
            (304, &length[..]),
            none(),
            "HTTP/1.1 304 Not Modified|content-length: 2||",
        ),
        (GET, (304, &[]), none(), "HTTP/1.1 304 Not Modified||"),
        (GET, (599, &[]), none(), "HTTP/1.1 599 |content-length: 0||"),
        (
            HEAD,
            (200, &length[..]),
            none(),
            "HTTP/1.1 200 OK|content-length: 2||",
        ),
        (HEAD, (200, &chunked[..1]), none(), "HTTP/1.1 200 OK||"),
        (
            GET,
            (101, &[("connection", "upgrade"), ("upgrade", "x")]),
            none(),
            "HTTP/1.1 101 Switching Protocols|connection: upgrade|upgrade: x||",
        ),
    ] {
        let (got, keeps) = sent(asks, answer, body).await;
        assert_eq!((&*got, keeps), (expected, true));
    }
}

/// Catches: a connection that the router closes although its client was told that it stays open, or the
/// other way round.
#[tokio::test]
async fn the_head_says_whether_the_connection_stays_open() {
    let close = &[("connection", "close")];
    for (asks, fields, body, expected, keeps) in [
        (
            GET,
            &close[..],
            none(),
            "HTTP/1.1 200 OK|content-length: 0|connection: close||",
            false,
        ),
        (
            LAST,
            &[],
            none(),
            "HTTP/1.1 200 OK|content-length: 0|connection: close||",
            false,
        ),
        (
            OLD,
            &[],
            none(),
            "HTTP/1.0 200 OK|content-length: 0|connection: keep-alive||",
            true,
        ),
        (
            OLD,
            &close[..],
            none(),
            "HTTP/1.0 200 OK|content-length: 0|connection: close||",
            false,
        ),
        (
            OLD,
            &[],
            streamed(),
            "HTTP/1.0 200 OK|connection: close||hi",
            false,
        ),
        (
            OLD,
            &[("transfer-encoding", "chunked")],
            sized(),
            "HTTP/1.0 200 OK|connection: close||hi",
            false,
        ),
        (
            OLD_LAST,
            &[],
            sized(),
            "HTTP/1.0 200 OK|content-length: 2|connection: close||hi",
            false,
        ),
        (
            OLD_LAST,
            &close[..],
            sized(),
            "HTTP/1.0 200 OK|content-length: 2|connection: close||hi",
            false,
        ),
    ] {
        let got = sent(asks, (200, fields), body).await;
        assert_eq!((&*got.0, got.1), (expected, keeps));
    }
}

/// Catches: an answer that looks complete although its body is missing.
#[tokio::test]
async fn an_answer_without_the_body_that_it_states_breaks_off() {
    let mut asking = Asking::of(&Request::new(()), true);
    let mut response = Response::new(none());
    let length = HeaderValue::from_static("2");
    response.headers_mut().insert(CONTENT_LENGTH, length);
    let mut answer = answer(response, &mut asking, BytesMut::new());
    let (mut here, _there) = duplex(1024);
    let sent = poll_fn(|cx| answer.poll(&mut here, cx)).await;
    assert!(sent.is_err() && !answer.has_begun());
}
