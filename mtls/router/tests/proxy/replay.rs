//! Requests with a body that a cell didn't process are sent again with the whole body.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use cellway_testbed::{Protocol, Request};
use h2::client::ResponseFuture;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE};
use http::{Method, Response, StatusCode};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use crate::cells::played;
use crate::world::{PATIENCE, World, plain, plain_endpoint, reason, registry, start};

const KIB: usize = 1024;

/// What a cell does with a request.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// Refuses the stream when this many bytes of the body have come, or the whole body.
    Refuse(usize),
    /// Answers when the body is complete.
    Serve,
    /// Answers with the header at once, and with the rest when the body is complete.
    ServeEarly,
}

/// What a cell has received of one request so far.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Came {
    /// How many requests came before.
    before: usize,
    data: Vec<u8>,
    trailers: HeaderMap,
    whole: bool,
}

/// A cell, and what it has received: reported at each piece of a body, and when the body is
/// complete.
struct Cell {
    port: u16,
    requests: Arc<AtomicUsize>,
    told: UnboundedReceiver<Came>,
}

impl Cell {
    /// An HTTP/2 cell that follows this plan, one step for each request.
    async fn new(plan: &'static [Does]) -> Self {
        let requests = Arc::new(AtomicUsize::new(0));
        let count = requests.clone();
        let (tell, told) = unbounded_channel();
        let port = played(move |stream| {
            let (count, tell) = (count.clone(), tell.clone());
            async move {
                let mut builder = h2::server::Builder::new();
                builder.initial_window_size(1 << 20);
                builder.initial_connection_window_size(1 << 20);
                let mut connection = builder.handshake::<_, Bytes>(stream).await.unwrap();
                while let Some(Ok((request, respond))) = connection.accept().await {
                    let before = count.fetch_add(1, Ordering::Relaxed);
                    let (does, body) = (plan[before], request.into_body());
                    tokio::spawn(serve(does, before, body, respond, tell.clone()));
                }
            }
        });
        Self {
            port: port.await,
            requests,
            told,
        }
    }

    async fn world(&self) -> World {
        start(plain(registry(plain_endpoint("h2c", self.port)))).await
    }

    /// Waits until `reached` is true for some request.
    async fn until(&mut self, reached: impl Fn(&Came) -> bool) -> Came {
        let waiting = async {
            loop {
                let came = self.told.recv().await.unwrap();
                if reached(&came) {
                    return came;
                }
            }
        };
        timeout(PATIENCE, waiting).await.unwrap()
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn serve(
    does: Does,
    before: usize,
    mut body: RecvStream,
    mut respond: SendResponse<Bytes>,
    tell: UnboundedSender<Came>,
) {
    let mut came = Came {
        before,
        ..Came::default()
    };
    let mut early = None;
    if let Does::ServeEarly = does {
        early = Some(respond.send_response(Response::new(()), false).unwrap());
    }
    loop {
        if matches!(does, Does::Refuse(bytes) if came.data.len() >= bytes) {
            break;
        }
        match body.data().await {
            Some(data) => {
                let Ok(data) = data else { return };
                let _ = body.flow_control().release_capacity(data.len());
                came.data.extend(&data);
                let _ = tell.send(came.clone());
            }
            None => {
                let Ok(trailers) = body.trailers().await else {
                    return;
                };
                came.trailers = trailers.unwrap_or_default();
                came.whole = true;
                let _ = tell.send(came.clone());
                break;
            }
        }
    }
    if let Does::Refuse(_) = does {
        return respond.send_reset(h2::Reason::REFUSED_STREAM);
    }
    let mut answer = match early {
        Some(answer) => answer,
        None => respond.send_response(Response::new(()), false).unwrap(),
    };
    let _ = answer.send_data(Bytes::from_static(b"served"), true);
}

/// A unary call with trailers.
fn call(body: impl Into<Bytes>) -> Request {
    let mut request = Request::get("/pay.Orders/Place");
    request.method = Method::POST;
    request.body = body.into();
    for (name, value) in [(CONTENT_TYPE, "application/grpc"), (TE, "trailers")] {
        let value = HeaderValue::from_static(value);
        request.headers.insert(name, value);
    }
    let sum = HeaderValue::from_static("5");
    request.trailers.insert("x-sum", sum);
    request
}

/// Catches: a call that fails because a cell that is shutting down didn't take it, or that arrives
/// without its message or its trailers.
#[tokio::test]
async fn a_refused_call_is_sent_again_whole() {
    const MESSAGE: &[u8] = b"\0\0\0\0\x05order";
    for plan in [
        &[Does::Refuse(usize::MAX), Does::Serve][..],
        &[Does::Refuse(0), Does::Serve],
        &[Does::Refuse(1), Does::Refuse(0), Does::Serve],
        &[Does::Refuse(0), Does::Refuse(usize::MAX), Does::Serve],
        &[Does::Refuse(1), Does::ServeEarly],
    ] {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let mut cell = Cell::new(plan).await;
            let world = cell.world().await;
            let answer = world.client(protocol).send(call(MESSAGE)).await.unwrap();
            let at = format!("{protocol:?} {plan:?}");
            assert_eq!(answer.status, StatusCode::OK, "{at}: {answer:?}");
            assert_eq!(answer.body, "served", "{at}");
            assert_eq!(cell.requests(), plan.len(), "{at}");
            let last = plan.len() - 1;
            let came = cell.until(|came| came.before == last && came.whole).await;
            assert_eq!(came.data, MESSAGE, "{at}");
            assert_eq!(came.trailers.len(), 1, "{at}");
            assert_eq!(came.trailers["x-sum"], "5", "{at}");
        }
    }
}

/// Catches: unbounded memory for uploads, and a part of a body that is sent as the whole body.
#[tokio::test]
async fn a_body_is_sent_again_up_to_a_bound_and_never_in_part() {
    let body: Vec<u8> = (0..100 * KIB).map(|at| (at / 7) as u8).collect();
    const KEPT: &[Does] = &[Does::Refuse(40 * KIB), Does::Serve];
    const LOST: &[Does] = &[Does::Refuse(80 * KIB)];
    for protocol in [Protocol::Http1, Protocol::Http2] {
        // More than the kept bytes may still follow. It is streamed.
        for plan in [&[Does::Refuse(1), Does::Serve], KEPT] {
            let mut cell = Cell::new(plan).await;
            let world = cell.world().await;
            let length = if plan.len() == KEPT.len() {
                60 * KIB
            } else {
                body.len()
            };
            let sent = body[..length].to_vec();
            let answer = world.client(protocol).send(call(sent)).await.unwrap();
            assert_eq!(answer.status, StatusCode::OK, "{protocol:?} {plan:?}");
            let came = cell.until(|came| came.before == 1 && came.whole).await;
            assert!(came.data == body[..length], "{protocol:?} {plan:?}");
        }
        let cell = Cell::new(LOST).await;
        let world = cell.world().await;
        let mut request = call(body.clone());
        request.headers.remove(CONTENT_TYPE);
        let answer = world.client(protocol).send(request).await.unwrap();
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(reason(&answer), "cell_refused");
        assert_eq!(cell.requests(), 1, "{protocol:?}");
    }
}

/// A client in the middle of its request.
struct Sending {
    answer: ResponseFuture,
    body: SendStream<Bytes>,
}

impl Sending {
    /// Sends the header and these bytes.
    async fn begin(world: &World, first: &'static [u8]) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::post("http://localhost/").body(()).unwrap();
        let (answer, mut body) = client.send_request(request, false).unwrap();
        let first = Bytes::from_static(first);
        body.send_data(first, false).unwrap();
        Self { answer, body }
    }

    fn send(&mut self, more: &'static [u8]) {
        let more = Bytes::from_static(more);
        self.body.send_data(more, false).unwrap();
    }

    /// Sends the last bytes, and reads the answer.
    async fn end(mut self, last: &'static [u8]) -> (StatusCode, Vec<u8>) {
        let last = Bytes::from_static(last);
        self.body.send_data(last, true).unwrap();
        let answer = timeout(PATIENCE, self.answer).await.unwrap();
        let (head, mut body) = answer.unwrap().into_parts();
        let mut text = Vec::new();
        while let Some(data) = body.data().await {
            text.extend(data.unwrap());
        }
        (head.status, text)
    }
}

/// Catches: a stream of short messages that isn't kept although it is far below the bound.
#[tokio::test]
async fn a_body_of_many_small_frames_is_sent_again_whole() {
    const CHUNK: &[u8] = b"0123456789";
    const CHUNKS: usize = 100;
    for plan in [
        &[Does::Refuse(usize::MAX), Does::Serve][..],
        &[Does::Refuse(500), Does::Refuse(900), Does::Serve],
    ] {
        let mut cell = Cell::new(plan).await;
        let world = cell.world().await;
        let mut sending = Sending::begin(&world, CHUNK).await;
        for chunk in 2..CHUNKS {
            sending.send(CHUNK);
            // Each chunk is sent as a separate frame.
            let reached = |came: &Came| came.data.len() >= chunk * CHUNK.len();
            cell.until(reached).await;
        }
        let served = (StatusCode::OK, b"served".to_vec());
        assert_eq!(sending.end(CHUNK).await, served, "{plan:?}");
        let last = plan.len() - 1;
        let came = cell.until(|came| came.before == last && came.whole).await;
        assert_eq!(came.data, CHUNK.repeat(CHUNKS), "{plan:?}");
        assert_eq!(cell.requests(), plan.len(), "{plan:?}");
    }
}

/// Catches: a body whose rest is lost when it is sent again, and a retry that waits for the body's
/// end.
#[tokio::test]
async fn a_body_that_is_still_being_sent_goes_on_where_it_was() {
    for plan in [
        &[Does::Refuse(3), Does::Serve][..],
        &[Does::Refuse(3), Does::Refuse(3), Does::Serve],
        &[Does::Refuse(3), Does::ServeEarly],
    ] {
        let mut cell = Cell::new(plan).await;
        let world = cell.world().await;
        let sending = Sending::begin(&world, b"one").await;
        let last = plan.len() - 1;
        let reached = |came: &Came| came.before == last && came.data == b"one";
        cell.until(reached).await;
        let served = (StatusCode::OK, b"served".to_vec());
        assert_eq!(sending.end(b"two").await, served, "{plan:?}");
        let came = cell.until(|came| came.whole).await;
        assert_eq!((came.before, &came.data[..]), (last, &b"onetwo"[..]));
        assert_eq!(cell.requests(), plan.len(), "{plan:?}");
    }
}

/// Catches: a request that continues although its client went away while it was sent again.
#[tokio::test]
async fn a_body_that_the_client_breaks_off_is_not_made_whole() {
    let mut cell = Cell::new(&[Does::Refuse(3), Does::Serve]).await;
    let world = cell.world().await;
    let mut sending = Sending::begin(&world, b"one").await;
    let reached = |came: &Came| came.before == 1 && came.data == b"one";
    cell.until(reached).await;
    sending.body.send_reset(h2::Reason::CANCEL);
    drop(sending);
    world.handle.drain(PATIENCE).await;
    assert_eq!(cell.requests(), 2);
    while let Ok(came) = cell.told.try_recv() {
        assert!(!came.whole, "{came:?}");
    }
}
