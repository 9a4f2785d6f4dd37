//! A client that asks for a WebSocket and states the length of a body.
//!
//! No body can follow such a request (RFC 9110, section 9.3.6), and hyper's client doesn't send one with a
//! length. A recipient that takes the length for true waits for a body, and takes the next request for it.

use bytes::{Bytes, BytesMut};
use cellway_core::upgrade;
use cellway_env::Env;
use h2::client::SendRequest;
use h2::ext::Protocol;
use http::{HeaderMap, HeaderValue, Version, header};
use tokio::time::Instant;

use super::{Answer, Client, ClientError, Request};

/// A Close frame with the code 1000, masked with zeros (RFC 6455, section 5.5.1).
const CLOSE: &[u8] = &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];

impl<E: Env> Client<E> {
    /// Asks for a WebSocket with this request's path and headers, over HTTP/2 on a new connection, and states
    /// this length. If the server agrees, the client closes the WebSocket at once.
    ///
    /// # Errors
    /// [`ClientError`] if no complete answer came in time.
    pub async fn ask_with_length(
        &self,
        request: Request,
        length: u64,
    ) -> Result<Answer, ClientError> {
        let asking = async {
            let started = Instant::now();
            let (stream, _) = self.reach().await?;
            let opened = h2::client::handshake(stream).await;
            let (sender, connection) = opened.map_err(ClientError::Http2)?;
            self.env.spawn(async { drop(connection.await) });
            let request = self.lying(request, length).map_err(ClientError::Path)?;
            let (head, body) = ask(sender, request).await.map_err(ClientError::Http2)?;
            let (head, ()) = head.into_parts();
            Ok(Answer {
                status: head.status,
                version: Version::HTTP_2,
                interim_answers: 0,
                headers: head.headers,
                body,
                trailers: HeaderMap::new(),
                latency: started.elapsed(),
            })
        };
        let asked = tokio::time::timeout(self.timeout, asking).await;
        asked.unwrap_or(Err(ClientError::Timeout))
    }

    fn lying(&self, request: Request, length: u64) -> Result<http::Request<()>, http::Error> {
        let scheme = match self.target.tls {
            Some(_) => "https",
            None => "http",
        };
        let (host, port, path) = (&self.target.host, self.target.port, &request.path);
        let mut asking = http::Request::connect(format!("{scheme}://{host}:{port}{path}"))
            .extension(Protocol::from_static(upgrade::WEBSOCKET))
            .body(())?;
        let headers = asking.headers_mut();
        *headers = request.headers;
        headers.insert(
            header::SEC_WEBSOCKET_VERSION,
            HeaderValue::from_static("13"),
        );
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        Ok(asking)
    }
}

async fn ask(
    sender: SendRequest<Bytes>,
    request: http::Request<()>,
) -> Result<(http::Response<()>, Bytes), h2::Error> {
    let mut sender = sender.ready().await?;
    let (answer, mut sending) = sender.send_request(request, false)?;
    let (head, mut coming) = answer.await?.into_parts();
    if head.status.is_success() {
        sending.send_data(Bytes::from_static(CLOSE), false)?;
    }
    let mut body = BytesMut::new();
    while let Some(data) = coming.data().await {
        let data = data?;
        coming.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    // The server may have ended the stream already.
    let _ = sending.send_data(Bytes::new(), true);
    Ok((http::Response::from_parts(head, ()), body.freeze()))
}
