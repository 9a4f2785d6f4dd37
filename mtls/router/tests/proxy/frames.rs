//! A cell or a client that speaks HTTP/2 frame by frame, to do what no library would do.

use std::collections::BTreeMap;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Types of frames and their flags (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// Error codes (RFC 9113, section 7).
pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const INTERNAL_ERROR: u32 = 2;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;

/// Settings (RFC 9113, section 6.5.2).
pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(crate) const MAX_HEADER_LIST_SIZE: u16 = 6;

/// The most bytes of a frame's payload, unless settings say otherwise.
const FRAME_LEN_MAX: usize = 16 * 1024;

/// `:status: 200`, from HPACK's static table, and 400.
const STATUS_200: &[u8] = &[0x88];
const STATUS_400: &[u8] = &[0x8c];

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// It was answered with this status: one of the two statuses that this code knows from HPACK's
    /// table.
    Status(u16),
    /// The stream was reset with this error code.
    Reset(u32),
    /// The connection ended.
    Closed,
}

/// One side of a connection.
pub(crate) struct Frames<S> {
    stream: S,
    /// The number of pings received. Each is answered.
    pub pings: usize,
    /// The received bytes of bodies, by stream.
    pub bodies: BTreeMap<u32, Vec<u8>>,
}

/// What a test has to handle. Everything else is handled here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Came {
    /// The header of a request, on this stream.
    Head(u32),
    /// The end of a request.
    End(u32),
}

/// What a server tells about the connection and its requests.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Told {
    /// It processes no stream after this one.
    GoAway(u32),
    /// It wants an answer with this payload.
    Ping(Vec<u8>),
    /// It answers the client's ping.
    Pong,
    /// It answers the request on this stream.
    Answered(u32),
    /// The connection ended.
    Closed,
}

/// The last stream that HTTP/2 can have: nothing is refused yet.
pub(crate) const LAST_STREAM: u32 = (1 << 31) - 1;

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    /// Acts as the server: reads the client's preface and sends the server's.
    pub(crate) async fn greet(stream: S) -> Self {
        Self::greet_with(stream, &[]).await
    }

    /// The same, with these settings.
    pub(crate) async fn greet_with(stream: S, settings: &[(u16, u32)]) -> Self {
        let mut this = Self::greeted(stream).await;
        this.settings(settings).await;
        this
    }

    /// Acts as the server, and reads the client's preface. It must send [`settings`](Self::settings) first.
    pub(crate) async fn greeted(mut stream: S) -> Self {
        let mut preface = [0; PREFACE.len()];
        stream.read_exact(&mut preface).await.unwrap();
        assert_eq!(preface, PREFACE);
        Self::new(stream)
    }

    /// Changes these settings.
    pub(crate) async fn settings(&mut self, settings: &[(u16, u32)]) {
        let mut payload = Vec::new();
        for (number, value) in settings {
            payload.extend(number.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        self.send(SETTINGS, 0, 0, &payload).await;
    }

    fn new(stream: S) -> Self {
        Self {
            stream,
            pings: 0,
            bodies: BTreeMap::new(),
        }
    }

    /// Acts as the client.
    pub(crate) async fn connect(stream: S) -> Self {
        let mut this = Self::new(stream);
        this.stream.write_all(PREFACE).await.unwrap();
        this.send(SETTINGS, 0, 0, &[]).await;
        this
    }

    /// Waits for the next `GOAWAY`, ping or answer. A ping isn't answered.
    pub(crate) async fn told(&mut self) -> Told {
        while let Some((kind, flags, id, payload)) = self.frame().await {
            match kind {
                GOAWAY => {
                    let last = payload[..4].try_into().map(u32::from_be_bytes);
                    return Told::GoAway(last.unwrap());
                }
                PING if flags & ACK == 0 => return Told::Ping(payload),
                PING => return Told::Pong,
                HEADERS => return Told::Answered(id),
                _ => {}
            }
        }
        Told::Closed
    }

    /// Takes no bytes of bodies until [`takes`](Self::takes).
    pub(crate) async fn takes_nothing(&mut self) {
        const INITIAL_WINDOW_SIZE: u8 = 4;
        self.send(SETTINGS, 0, 0, &[0, INITIAL_WINDOW_SIZE, 0, 0, 0, 0])
            .await;
    }

    /// Takes this many bytes more of the body on this stream.
    pub(crate) async fn takes(&mut self, id: u32, bytes: u32) {
        for id in [0, id] {
            self.send(WINDOW_UPDATE, 0, id, &bytes.to_be_bytes()).await;
        }
    }

    pub(crate) async fn ping(&mut self) {
        self.send(PING, 0, 0, &[0; 8]).await;
    }

    /// Answers a ping.
    pub(crate) async fn pong(&mut self, payload: &[u8]) {
        self.send(PING, ACK, 0, payload).await;
    }

    /// Waits until the request on this stream ends, and says how.
    pub(crate) async fn outcome(&mut self, id: u32) -> Outcome {
        while let Some((kind, _, on, payload)) = self.frame().await {
            match kind {
                HEADERS if on == id && payload.starts_with(STATUS_200) => {
                    return Outcome::Status(200);
                }
                HEADERS if on == id && payload.starts_with(STATUS_400) => {
                    return Outcome::Status(400);
                }
                HEADERS if on == id => return Outcome::Status(0),
                RST_STREAM if on == id => {
                    let code = payload.try_into().map(u32::from_be_bytes);
                    return Outcome::Reset(code.unwrap());
                }
                _ => {}
            }
        }
        Outcome::Closed
    }

    /// Waits for what comes next. `None` at the end of the connection.
    pub(crate) async fn next(&mut self) -> Option<Came> {
        loop {
            let (kind, flags, id, payload) = self.frame().await?;
            match kind {
                HEADERS if flags & END_STREAM != 0 => return Some(Came::End(id)),
                HEADERS => return Some(Came::Head(id)),
                DATA => {
                    self.bodies.entry(id).or_default().extend(payload);
                    if flags & END_STREAM != 0 {
                        return Some(Came::End(id));
                    }
                }
                SETTINGS if flags & ACK == 0 => self.send(SETTINGS, ACK, 0, &[]).await,
                PING if flags & ACK == 0 => {
                    self.pings += 1;
                    self.send(PING, ACK, 0, &payload).await;
                }
                _ => {}
            }
        }
    }

    /// Answers all requests until the connection ends.
    pub(crate) async fn serve(&mut self) {
        while let Some(came) = self.next().await {
            if let Came::End(id) = came {
                self.answer(id).await;
            }
        }
    }

    /// Sends a complete answer.
    pub(crate) async fn answer(&mut self, id: u32) {
        self.head(id).await;
        self.data(id, b"served", true).await;
    }

    pub(crate) async fn head(&mut self, id: u32) {
        self.send(HEADERS, END_HEADERS, id, STATUS_200).await;
    }

    /// Sends a header or trailers with this block, in as many frames as needed.
    pub(crate) async fn fields(&mut self, id: u32, block: &[u8], last: bool) {
        let mut kind = HEADERS;
        let mut rest = block;
        let mut flags = u8::from(last);
        loop {
            let (now, later) = rest.split_at(rest.len().min(FRAME_LEN_MAX));
            let end = if later.is_empty() { END_HEADERS } else { 0 };
            self.send(kind, flags | end, id, now).await;
            if later.is_empty() {
                return;
            }
            (kind, flags, rest) = (CONTINUATION, 0, later);
        }
    }

    pub(crate) async fn data(&mut self, id: u32, data: &[u8], last: bool) {
        self.send(DATA, u8::from(last), id, data).await;
    }

    pub(crate) async fn reset(&mut self, id: u32, code: u32) {
        self.send(RST_STREAM, 0, id, &code.to_be_bytes()).await;
    }

    /// Sends GOAWAY: nothing after the stream `last` was or will be processed.
    pub(crate) async fn go_away(&mut self, last: u32, code: u32) {
        let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
        self.send(GOAWAY, 0, 0, &payload).await;
    }

    /// Ends the connection.
    pub(crate) async fn close(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    async fn send(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8]) {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(id.to_be_bytes());
        frame.extend(payload);
        // If the other side is gone, it sees that itself.
        let _ = self.stream.write_all(&frame).await;
        let _ = self.stream.flush().await;
    }

    async fn frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let [l0, l1, l2, kind, flags, i0, i1, i2, i3] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, l0, l1, l2]) as usize];
        self.stream.read_exact(&mut payload).await.ok()?;
        Some((kind, flags, u32::from_be_bytes([i0, i1, i2, i3]), payload))
    }
}

/// A header block with status 200 and these fields.
pub(crate) fn head_of(fields: &[(&str, &str)]) -> Vec<u8> {
    [STATUS_200.to_vec(), trailers_of(fields)].concat()
}

/// A header block with this status, of three digits, and these fields.
pub(crate) fn interim_of(status: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    // `:status` is the eighth name of the static table.
    [&[8, 3], status.as_bytes(), &trailers_of(fields)].concat()
}

/// A block with only these fields, as literals that are not added to the table (RFC 7541, section
/// 6.2.2).
pub(crate) fn trailers_of(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// Encodes a number with a prefix of seven bits (RFC 7541, section 5.1).
fn length(block: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else {
        block.push(length as u8);
        return;
    };
    block.push(127);
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}
