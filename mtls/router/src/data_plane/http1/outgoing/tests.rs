use std::future::poll_fn;
use std::time::Duration;

use http::{HeaderName, Method, Request};
use tokio::io::{AsyncReadExt, BufWriter, duplex};
use tokio::time::timeout;

use super::*;
use crate::data_plane::body::RequestBody;
use crate::data_plane::http1::testing::{body, request};
use crate::data_plane::http1::upload::{Upload, upload};
use crate::data_plane::incoming::Io;

fn upload_of(request: Request<RequestBody>) -> Upload {
    let (head, body) = request.into_parts();
    upload(&head, body, BytesMut::new())
}

/// What the cell gets of the request, through a connection that takes few bytes at a time.
async fn sent(request: Request<RequestBody>) -> (String, Result<(), String>) {
    let (here, mut there) = duplex(7);
    let mut io = Io::new(here);
    let mut upload = upload_of(request);
    let sending = async move {
        let sent = poll_fn(|cx| upload.poll(&mut io, cx)).await;
        sent.map_err(|error| error.to_string())
    };
    let mut got = String::new();
    let (sent, read) = tokio::join!(sending, there.read_to_string(&mut got));
    read.unwrap();
    (got, sent)
}

async fn whole(request: Request<RequestBody>) -> String {
    let (got, sent) = sent(request).await;
    assert_eq!(sent, Ok(()));
    got
}

#[tokio::test]
async fn a_request_without_a_body_is_its_header() {
    let fields = [
        ("host", "a"),
        ("x-a", "1"),
        ("x-a", "2"),
        ("content-length", "0"),
    ];
    let got = whole(request(&fields, RequestBody::empty())).await;
    let expected = "POST /a?b HTTP/1.1\r\nhost: a\r\nx-a: 1\r\nx-a: 2\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(got, expected);
}

/// Catches: a cell that waits for a body that doesn't come, and takes the next request for it.
#[tokio::test]
async fn the_framing_says_what_follows_whatever_the_client_has_said() {
    for (name, value) in [("transfer-encoding", "chunked"), ("content-length", "60")] {
        let got = whole(request(
            &[("host", "a"), (name, value)],
            RequestBody::empty(),
        ))
        .await;
        let expected = "POST /a?b HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(got, expected);
    }
    let mut request = request(&[("host", "a")], RequestBody::empty());
    *request.method_mut() = Method::GET;
    let got = whole(request).await;
    assert_eq!(got, "GET /a?b HTTP/1.1\r\nhost: a\r\n\r\n");
}

/// Catches: memory for one large header that each connection of the pool keeps.
#[tokio::test]
async fn memory_for_a_large_header_is_not_kept() {
    for (size, kept) in [(1, true), (KEPT_MAX, false)] {
        let large = "x".repeat(size);
        let (here, _there) = duplex(1024 * 1024);
        let request = request(&[("x-large", &large)], RequestBody::empty());
        let (mut io, mut upload) = (Io::new(here), upload_of(request));
        poll_fn(|cx| upload.poll(&mut io, cx)).await.unwrap();
        assert_eq!(upload.into_memory().is_some(), kept, "{size}");
    }
}

#[tokio::test]
async fn a_body_with_a_length_is_sent_as_it_is() {
    let large = "x".repeat(COPIED_MAX + 1);
    let length = (large.len() + 5).to_string();
    let body = body(&["he", &large, "llo"]).await;
    let got = whole(request(&[("content-length", &length)], body)).await;
    let head = format!("POST /a?b HTTP/1.1\r\ncontent-length: {length}\r\n\r\n");
    assert_eq!(got, format!("{head}he{large}llo"));
}

/// Catches: chunks that begin or end in the wrong place, above all around a large one, which isn't copied.
#[tokio::test]
async fn a_body_without_a_length_is_sent_in_chunks() {
    let large = "x".repeat(COPIED_MAX);
    for last in ["", "end"] {
        let frames: Vec<&str> = ["he", &large, last]
            .into_iter()
            .filter(|it| !it.is_empty())
            .collect();
        let got = whole(request(&[], body(&frames).await)).await;
        let (head, chunks) = got.split_once("\r\n\r\n").unwrap();
        assert_eq!(head, "POST /a?b HTTP/1.1\r\ntransfer-encoding: chunked");
        let mut rest = chunks;
        let mut read = String::new();
        while let Some((size, tail)) = rest.split_once("\r\n") {
            let size = usize::from_str_radix(size, 16).unwrap();
            read += &tail[..size];
            rest = tail[size..].strip_prefix("\r\n").unwrap();
            if size == 0 {
                break;
            }
        }
        assert_eq!((&*read, rest), (&*frames.concat(), ""));
    }
}

#[tokio::test]
async fn only_announced_trailers_follow() {
    let trailers = || {
        let field = |name, value| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        HeaderMap::from_iter([field("x-sum", "7"), field("x-other", "8")])
    };
    for (fields, expected) in [
        (&[("trailer", "X-Sum, x-more")][..], "0\r\nx-sum: 7\r\n\r\n"),
        (&[], "0\r\n\r\n"),
    ] {
        let mut upload = upload_of(request(fields, body(&["hi"]).await));
        upload.takes(Some(Frame::trailers(trailers()))).unwrap();
        let waiting = String::from_utf8_lossy(&upload.waiting);
        assert!(
            waiting.ends_with(&format!("\r\n\r\n{expected}")),
            "{waiting}"
        );
        assert!(!upload.open);
    }
}

/// Catches: a request whose rest the cell would take for another one.
#[tokio::test]
async fn a_body_of_another_length_breaks_off() {
    for (length, frames) in [("3", &["hi"][..]), ("1", &["hi"]), ("3", &["hi", "ho"])] {
        let body = body(frames).await;
        let (got, sent) = sent(request(&[("content-length", length)], body)).await;
        let error = sent.unwrap_err();
        assert!(error.contains("Content-Length"), "{error}");
        let body = got.split("\r\n\r\n").nth(1).unwrap_or_default();
        assert!(body.len() <= length.parse().unwrap(), "{got}");
    }
}

/// Catches: a request that waits in a buffer of TLS until more of it comes.
#[tokio::test(start_paused = true)]
async fn what_is_written_is_flushed() {
    let (here, mut there) = duplex(1024);
    let mut io = Io::new(BufWriter::new(here));
    let fields = [("host", "a")];
    let mut upload = upload_of(request(&fields, RequestBody::empty()));
    poll_fn(|cx| upload.poll(&mut io, cx)).await.unwrap();
    let read = there.read_u8();
    let read = timeout(Duration::from_secs(1), read).await;
    assert_eq!(read.unwrap().unwrap(), b'P');
}

/// Catches: a client that fills the router's memory through a cell that doesn't read.
#[tokio::test]
async fn few_bytes_wait_for_a_cell_that_does_not_read() {
    let (here, _there) = duplex(16);
    let mut io = Io::new(here);
    let frames = vec!["x".repeat(1024); 1024];
    let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
    let mut upload = upload_of(request(&[], body(&frames).await));
    let polled = poll_fn(|cx| Poll::Ready(upload.poll(&mut io, cx).is_pending())).await;
    assert!(polled && upload.waiting.len() < WAITING_MAX + COPIED_MAX);
}
