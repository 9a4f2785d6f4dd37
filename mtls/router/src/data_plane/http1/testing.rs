//! Requests for the tests of connections and uploads.

use std::future::poll_fn;

use cellway_core::http1::Limits;
use http::{HeaderName, Method, Request, Version};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

use crate::data_plane::body::RequestBody;
use crate::data_plane::incoming::{AnswerBody, Answers, Incoming, Io};

/// A body, and where its chunks are written. It comes as the body of an answer does, because that needs
/// no client.
pub(super) async fn source() -> (RequestBody, DuplexStream) {
    let (here, mut there) = duplex(2 * 1024 * 1024);
    let mut answers = Box::new(Answers::new(Io::new(here), Limits::default()));
    answers.expect(&Method::GET);
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    there.write_all(head).await.unwrap();
    poll_fn(|cx| answers.poll_head(cx, |_, _| ()))
        .await
        .unwrap();
    let incoming = Incoming::from(AnswerBody::new(answers));
    (RequestBody::new(incoming, Version::HTTP_11).0, there)
}

/// A body with these frames.
pub(super) async fn body(chunks: &[&str]) -> RequestBody {
    let (body, mut there) = source().await;
    let mut text = String::new();
    for chunk in chunks {
        text += &format!("{:x}\r\n{chunk}\r\n", chunk.len());
    }
    text += "0\r\n\r\n";
    there.write_all(text.as_bytes()).await.unwrap();
    body
}

pub(super) fn request(fields: &[(&str, &str)], body: RequestBody) -> Request<RequestBody> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = "/a?b".parse().unwrap();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}
