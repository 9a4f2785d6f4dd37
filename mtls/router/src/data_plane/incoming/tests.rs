#![expect(
    clippy::disallowed_methods,
    reason = "a test's tasks end with its runtime"
)]

use std::future::poll_fn;

use h2::{Reason, SendStream, client, server};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::BodyExt;
use tokio::io::duplex;

use super::*;

/// The body of a request with this length: where it is sent, and where it is received.
async fn body(length: Option<u64>) -> (SendStream<Bytes>, Incoming) {
    let (here, there) = duplex(64 * 1024);
    let (client, server) = tokio::join!(client::handshake(here), server::handshake(there));
    let ((mut client, connection), mut server) = (client.unwrap(), server.unwrap());
    tokio::spawn(connection);
    let mut request = Request::new(());
    *request.uri_mut() = "http://cell/".parse().unwrap();
    if let Some(length) = length {
        let headers = request.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let (answer, sent) = client.send_request(request, false).unwrap();
    let (request, respond) = server.accept().await.unwrap().unwrap();
    tokio::spawn(async move {
        let _open = (answer, client, respond);
        poll_fn(|cx| server.poll_closed(cx)).await
    });
    let (head, stream) = request.into_parts();
    (sent, Incoming::from(Received::new(stream, &head.headers)))
}

/// Catches: a body that is forwarded without the length that its header has, and one that isn't seen
/// to be over.
#[tokio::test]
async fn a_body_over_http2_tells_how_much_is_left() {
    let (mut sent, mut body) = body(Some(5)).await;
    assert_eq!(body.size_hint().exact(), Some(5));
    sent.send_data("he".into(), false).unwrap();
    let frame = body.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap()[..], *b"he");
    assert_eq!(body.size_hint().exact(), Some(3));
    assert!(!body.is_end_stream());
    sent.send_data("llo".into(), true).unwrap();
    let rest = body.frame().await.unwrap().unwrap();
    assert_eq!(rest.into_data().unwrap()[..], *b"llo");
    assert_eq!(body.size_hint().exact(), Some(0));
    assert!(body.is_end_stream());
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn trailers_come_after_the_data() {
    let (mut sent, body) = body(None).await;
    assert_eq!(body.size_hint().exact(), None);
    sent.send_data("hello".into(), false).unwrap();
    let trailers = HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from(7))]);
    sent.send_trailers(trailers.clone()).unwrap();
    let whole = body.collect().await.unwrap();
    assert_eq!(whole.trailers(), Some(&trailers));
    assert_eq!(whole.to_bytes()[..], *b"hello");
}

/// Catches: a sender that stops for good once it has sent a window.
#[tokio::test]
async fn what_is_taken_may_be_sent_again() {
    let (mut sent, body) = body(None).await;
    let long = Bytes::from(vec![0; 1024 * 1024]);
    sent.send_data(long.clone(), true).unwrap();
    assert_eq!(body.collect().await.unwrap().to_bytes(), long);
}

/// Catches: a body that is cut with `NO_ERROR` and taken for a complete one.
#[tokio::test]
async fn a_reset_cuts_the_body_whatever_its_code() {
    for code in [Reason::NO_ERROR, Reason::CANCEL] {
        let (mut sent, mut body) = body(None).await;
        sent.send_data("he".into(), false).unwrap();
        assert!(body.frame().await.unwrap().is_ok());
        sent.send_reset(code);
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(error.http2().is_some_and(|error| error.is_remote()));
        assert_eq!(error.http2().and_then(h2::Error::reason), Some(code));
    }
}
