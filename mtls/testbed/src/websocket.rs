//! WebSocket (RFC 6455) for tests: whole data frames and Close frames, no fragments, no extensions.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use cellway_core::upgrade;
use cellway_core::websocket::{Frames, accept};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::ext::Protocol;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::body::Buffered;

/// The key of every handshake. It protects nothing.
const KEY: HeaderValue = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");

/// The masking key of every frame to a server.
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

const BINARY: u8 = 2;
const CLOSE: u8 = 8;

/// What came over a [`WebSocket`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// The payload of a frame.
    Data(Bytes),
    /// A Close frame with this code; 0 if it has none.
    Close(u16),
    /// The end of the connection.
    End,
}

/// An open WebSocket.
#[derive(Debug)]
pub struct WebSocket {
    io: TokioIo<Upgraded>,
    /// Whether this is the client's end.
    masks: bool,
    read: BytesMut,
}

impl WebSocket {
    pub(super) fn new(upgraded: Upgraded, masks: bool) -> Self {
        Self {
            io: TokioIo::new(upgraded),
            masks,
            read: BytesMut::new(),
        }
    }

    /// Sends a binary frame.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        self.frame(BINARY, payload).await
    }

    /// Sends a Close frame with this code.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn close(&mut self, code: u16) -> io::Result<()> {
        self.frame(CLOSE, &code.to_be_bytes()).await
    }

    /// The next frame, however it is masked.
    ///
    /// # Errors
    /// The connection is broken, or ended in the middle of a frame.
    pub async fn next(&mut self) -> io::Result<Message> {
        loop {
            if let Some(message) = self.buffered() {
                return Ok(message);
            }
            if self.io.read_buf(&mut self.read).await? == 0 {
                return match self.read.is_empty() {
                    true => Ok(Message::End),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    /// A whole frame from what was read.
    fn buffered(&mut self) -> Option<Message> {
        let mut frames = Frames::default();
        let len = frames.take_frame(&self.read);
        if len == 0 || !frames.is_between() {
            return None;
        }
        let frame = self.read.split_to(len).freeze();
        let (opcode, second) = (frame[0] & 0xf, frame[1]);
        let mut at = match second & 0x7f {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        let mut payload = BytesMut::new();
        if second & 0x80 == 0 {
            payload.extend_from_slice(&frame[at..]);
        } else {
            let mask = &frame[at..at + 4];
            at += 4;
            let bytes = frame[at..].iter().zip(mask.iter().cycle());
            payload.extend(bytes.map(|(byte, mask)| byte ^ mask));
        }
        Some(match opcode {
            CLOSE => Message::Close(payload.try_get_u16().unwrap_or_default()),
            _ => Message::Data(payload.freeze()),
        })
    }

    /// Ends the sending side.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.io.shutdown().await
    }

    async fn frame(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        let bit = if self.masks { 0x80 } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            len @ 0..126 => frame.push(bit | len as u8),
            len @ 126..0x1_0000 => {
                frame.push(bit | 126);
                frame.extend((len as u16).to_be_bytes());
            }
            len => {
                frame.push(bit | 127);
                frame.extend((len as u64).to_be_bytes());
            }
        }
        if self.masks {
            frame.extend(MASK);
            let bytes = payload.iter().zip(MASK.iter().cycle());
            frame.extend(bytes.map(|(byte, mask)| byte ^ mask));
        } else {
            frame.extend_from_slice(payload);
        }
        self.io.write_all(&frame).await?;
        self.io.flush().await
    }
}

/// Makes a request a handshake, in the form of this version of HTTP.
pub(super) fn ask(request: &mut Request<Buffered>, http2: bool) {
    let version = HeaderValue::from_static("13");
    request.headers_mut().insert(SEC_WEBSOCKET_VERSION, version);
    if http2 {
        *request.method_mut() = Method::CONNECT;
        let protocol = Protocol::from_static(upgrade::WEBSOCKET);
        request.extensions_mut().insert(protocol);
        return;
    }
    let headers = request.headers_mut();
    headers.append(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(upgrade::WEBSOCKET));
    headers.insert(SEC_WEBSOCKET_KEY, KEY);
}

/// Whether the answer to [`ask`] agrees.
pub(super) fn agrees(status: StatusCode, headers: &HeaderMap, http2: bool) -> bool {
    match http2 {
        true => status == StatusCode::OK,
        false => {
            status == StatusCode::SWITCHING_PROTOCOLS
                && headers.get(SEC_WEBSOCKET_ACCEPT) == accepts(&KEY).as_ref()
        }
    }
}

/// Whether a request is a handshake. Returns its key, or `Some(None)` over HTTP/2, which has none.
pub(super) fn handshake<B>(request: &Request<B>) -> Option<Option<HeaderValue>> {
    let is_websocket = |name: &[u8]| name.eq_ignore_ascii_case(upgrade::WEBSOCKET.as_bytes());
    if let Some(protocol) = request.extensions().get::<Protocol>() {
        return is_websocket(protocol.as_ref()).then_some(None);
    }
    let field = upgrade::field(request.headers())?;
    let key = request.headers().get(SEC_WEBSOCKET_KEY)?;
    is_websocket(field.as_bytes()).then(|| Some(key.clone()))
}

/// Takes the client's bytes out of a request, if it is a handshake.
pub(super) fn asked<B>(request: &mut Request<B>) -> Option<OnUpgrade> {
    handshake(request)
        .is_some()
        .then(|| hyper::upgrade::on(request))
}

/// The answer that agrees to a handshake. `key` is its key; `None` over HTTP/2.
pub(super) fn agreement(key: Option<&HeaderValue>) -> Response<Buffered> {
    let mut response = Response::new(Buffered::none());
    response.extensions_mut().insert(Agreed);
    let Some(key) = key else {
        return response;
    };
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(upgrade::WEBSOCKET));
    if let Some(accept) = accepts(key) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

/// Whether this is an answer of [`agreement`].
pub(super) fn is_agreement(response: &Response<Buffered>) -> bool {
    response.extensions().get::<Agreed>().is_some()
}

/// Marks an answer that agrees.
#[derive(Clone, Copy)]
struct Agreed;

fn accepts(key: &HeaderValue) -> Option<HeaderValue> {
    HeaderValue::try_from(accept(key.as_bytes())).ok()
}

/// Sends everything back that comes, until the client closes. Calls `message` for each message.
pub(super) async fn echo(upgraded: Upgraded, message: impl Fn()) -> io::Result<Option<u16>> {
    let mut socket = WebSocket::new(upgraded, false);
    loop {
        match socket.next().await? {
            Message::Data(data) => {
                message();
                socket.send(&data).await?;
            }
            Message::Close(code) => {
                // The client may be gone already.
                let _ = socket.close(code).await;
                let _ = socket.finish().await;
                return Ok(Some(code));
            }
            Message::End => return Ok(None),
        }
    }
}
