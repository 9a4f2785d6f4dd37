#![expect(
    clippy::disallowed_methods,
    reason = "a test's tasks end with its runtime"
)]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;

use h2::{RecvStream, client, server};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::Full;
use tokio::io::duplex;

use super::*;

/// Gives these frames, then the error or the end.
struct Frames<E>(VecDeque<Frame<Bytes>>, Option<E>);

impl<E: Unpin> Body for Frames<E> {
    type Data = Bytes;
    type Error = E;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        let frame = self.0.pop_front().map(Ok);
        Poll::Ready(frame.or_else(|| self.1.take().map(Err)))
    }
}

/// Sends a body to a client whose streams have this window. Returns what the client receives.
async fn sent<B>(body: B, window: u32) -> RecvStream
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let (near, far) = duplex(1 << 16);
    tokio::spawn(async move {
        let mut connection = server::handshake(far).await.unwrap();
        let (_, mut respond) = connection.accept().await.unwrap().unwrap();
        let to = respond.send_response(Response::new(()), false).unwrap();
        tokio::spawn(Sending::new(body, to));
        while connection.accept().await.is_some() {}
    });
    let mut builder = client::Builder::new();
    let opening = builder
        .initial_window_size(window)
        .handshake::<_, Bytes>(near);
    let (mut sender, connection) = opening.await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://localhost/").body(()).unwrap();
    let (answer, _) = sender.send_request(request, true).unwrap();
    answer.await.unwrap().into_body()
}

/// Reads to the end, and grants as much of the window as it reads.
async fn read(mut body: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len()).unwrap();
        bytes.extend(data);
    }
    Ok((bytes, body.trailers().await?))
}

/// Catches: a frame that is lost while it waits for a window, and a body without its end.
#[tokio::test]
async fn a_body_that_is_longer_than_the_window_arrives_whole() {
    let body = Bytes::from(vec![7; 100_000]);
    let (bytes, trailers) = read(sent(Full::new(body.clone()), 1000).await)
        .await
        .unwrap();
    assert!(bytes == body, "{} bytes", bytes.len());
    assert_eq!(trailers, None);
}

#[tokio::test]
async fn frames_without_bytes_and_trailers_arrive() {
    let fields = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("a"))]);
    let frames = [
        Frame::data(Bytes::new()),
        Frame::data(Bytes::from_static(b"ok")),
        Frame::data(Bytes::new()),
        Frame::trailers(fields.clone()),
    ];
    let body = Frames(frames.into(), None::<Infallible>);
    let came = read(sent(body, 1000).await).await.unwrap();
    assert_eq!(came, (b"ok".to_vec(), Some(fields)));
    // Without any frame.
    let body = Frames([].into(), None::<Infallible>);
    let came = read(sent(body, 1000).await).await.unwrap();
    assert_eq!(came, (Vec::new(), None));
}

/// An error with a code among its sources.
#[derive(Debug)]
struct Coded(h2::Error);

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("coded")
    }
}

impl Error for Coded {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// Catches: a body that breaks off and looks whole.
#[tokio::test]
async fn a_body_that_fails_resets_the_stream() {
    let begun = || VecDeque::from([Frame::data(Bytes::from_static(b"ok"))]);
    let body = Frames(begun(), Some(std::io::Error::other("broken")));
    let error = read(sent(body, 1000).await).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
    let body = Frames(begun(), Some(Coded(Reason::CANCEL.into())));
    let error = read(sent(body, 1000).await).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::CANCEL));
}
