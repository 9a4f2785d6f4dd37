#![expect(
    clippy::disallowed_methods,
    reason = "a test's tasks end with its runtime"
)]

use std::convert::Infallible;
use std::future::{pending, poll_fn};

use cellway_core::policy::PolicyId;
use cellway_env::tokio::TokioEnv;
use h2::client;
use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderValue, StatusCode};
use http_body::Frame;
use tokio::io::{DuplexStream, duplex};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::data_plane::connection::watch::Serving;

/// The body of an answer.
enum Sent {
    /// One frame, and the end after it.
    Text(Option<&'static str>),
    /// It doesn't end. Its receiver knows when it is dropped.
    Endless(#[expect(dead_code)] oneshot::Sender<()>),
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text.into())))),
            Self::Endless(_) => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Text(None))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Self::Text(text) => {
                http_body::SizeHint::with_exact(text.map_or(0, |text| text.len() as u64))
            }
            Self::Endless(_) => http_body::SizeHint::default(),
        }
    }
}

fn ok() -> Response<Sent> {
    Response::new(Sent::Text(Some("ok")))
}

fn request() -> Request<()> {
    Request::get("http://localhost/").body(()).unwrap()
}

/// A client of a connection, and the connection's end.
struct World {
    sender: client::SendRequest<Bytes>,
    ended: JoinHandle<Result<(), Broken>>,
    finishes: Arc<Notify>,
}

/// Runs a connection. It is told to close when `finishes` is notified.
fn run<F>(
    wire: DuplexStream,
    finishes: Arc<Notify>,
    serve: impl Fn(Request<Incoming>, Turns) -> F + Send + Unpin + 'static,
) -> JoinHandle<Result<(), Broken>>
where
    F: Future<Output = Response<Sent>> + Send + 'static,
{
    let activity = Arc::new(Activity::new(Instant::now(), true, 0));
    let bind = "127.0.0.1:0".parse().unwrap();
    let settings = ListenerSettings::new("public", bind, PolicyId(0));
    let mut serving = Box::pin(Http2::new(
        TokioEnv::new(),
        wire,
        activity,
        &settings,
        serve,
    ));
    tokio::spawn(async move {
        let mut finishing = Box::pin(finishes.notified());
        let mut told = false;
        poll_fn(|cx| {
            if !told && finishing.as_mut().poll(cx).is_ready() {
                told = true;
                serving.as_mut().finish();
            }
            serving.as_mut().poll(cx)
        })
        .await
    })
}

async fn world<F>(serve: impl Fn(Request<Incoming>, Turns) -> F + Send + Unpin + 'static) -> World
where
    F: Future<Output = Response<Sent>> + Send + 'static,
{
    let (near, far) = duplex(1 << 16);
    let finishes = Arc::new(Notify::new());
    let ended = run(far, finishes.clone(), serve);
    let (sender, connection) = client::handshake(near).await.unwrap();
    tokio::spawn(connection);
    World {
        sender,
        ended,
        finishes,
    }
}

impl World {
    async fn get(&mut self) -> Result<Response<RecvStream>, h2::Error> {
        let (answer, _) = self.sender.send_request(request(), true).unwrap();
        answer.await
    }
}

/// Hands out a value once, to a closure that is called once.
fn once<T: Send>(value: T) -> impl Fn() -> T {
    let value = std::sync::Mutex::new(Some(value));
    move || value.lock().unwrap().take().unwrap()
}

/// Catches: an answer without its end, and one that announces another length than it has.
#[tokio::test]
async fn an_answer_s_end_and_length_are_those_of_its_body() {
    let mut world = world(|_, _| async { ok() }).await;
    let mut answer = world.get().await.unwrap();
    assert_eq!(answer.headers()[CONTENT_LENGTH], "2");
    assert_eq!(answer.headers().len(), 1, "{:?}", answer.headers());
    assert_eq!(answer.body_mut().data().await.unwrap().unwrap(), "ok");
    assert!(answer.body_mut().data().await.is_none());

    // The length in an answer to HEAD is that of another body.
    let mut world = self::world(|_, _| async {
        let mut answer = Response::new(Sent::Text(None));
        let length = HeaderValue::from_static("7");
        answer.headers_mut().insert(CONTENT_LENGTH, length);
        answer
    })
    .await;
    let mut head = request();
    *head.method_mut() = http::Method::HEAD;
    let (answer, _) = world.sender.send_request(head, true).unwrap();
    let answer = answer.await.unwrap();
    assert!(answer.body().is_end_stream(), "on the header");
    assert_eq!(answer.headers()[CONTENT_LENGTH], "7");
}

/// Catches: an interim answer that waits for the final one, or comes after it.
#[tokio::test]
async fn interim_answers_are_sent_at_once_and_before_the_final_one() {
    let (go_on, goes_on) = oneshot::channel();
    let goes_on = once(goes_on);
    let hints = |turns: &Turns| {
        let mut hints = Response::new(());
        *hints.status_mut() = StatusCode::EARLY_HINTS;
        turns.interims().unwrap().add(hints);
    };
    let mut world = world(move |_, turns| {
        let goes_on = goes_on();
        async move {
            hints(&turns);
            goes_on.await.unwrap();
            // It comes together with the final one.
            hints(&turns);
            ok()
        }
    })
    .await;
    let (mut answer, _) = world.sender.send_request(request(), true).unwrap();
    let interim = poll_fn(|cx| answer.poll_informational(cx)).await;
    assert_eq!(interim.unwrap().unwrap().status(), StatusCode::EARLY_HINTS);
    go_on.send(()).unwrap();
    let interim = poll_fn(|cx| answer.poll_informational(cx)).await;
    assert_eq!(interim.unwrap().unwrap().status(), StatusCode::EARLY_HINTS);
    assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
}

/// Reads all of a request's body.
async fn read(request: Request<Incoming>) -> Bytes {
    http_body_util::BodyExt::collect(request.into_body())
        .await
        .unwrap()
        .to_bytes()
}

/// Catches: a client that waits for leave to send its body and never gets it, and one that gets it
/// although nobody reads the body.
#[tokio::test]
async fn a_client_that_waits_is_told_to_go_on_when_its_body_is_read() {
    let mut world = world(|request, _| async move {
        match request.method() {
            &http::Method::POST => assert_eq!(read(request).await, "hello"),
            _ => drop(request),
        }
        ok()
    })
    .await;
    let asks = |method| {
        let asks = Request::builder().method(method).uri("http://localhost/");
        asks.header(EXPECT, "100-Continue").body(()).unwrap()
    };
    let (mut answer, mut body) = world.sender.send_request(asks("POST"), false).unwrap();
    let interim = poll_fn(|cx| answer.poll_informational(cx)).await;
    assert_eq!(interim.unwrap().unwrap().status(), StatusCode::CONTINUE);
    body.send_data("hello".into(), true).unwrap();
    assert_eq!(answer.await.unwrap().status(), StatusCode::OK);

    // One whose body nobody reads, and one that doesn't wait.
    for (method, text) in [("PUT", ""), ("POST", "hello")] {
        let (mut answer, mut body) = world.sender.send_request(asks(method), false).unwrap();
        body.send_data(text.into(), true).unwrap();
        let interim = poll_fn(|cx| answer.poll_informational(cx)).await;
        assert!(interim.is_none(), "{method}: {interim:?}");
    }
}

/// Catches: a request that goes on for a client that is gone, and keeps its place at the cell.
#[tokio::test]
async fn a_reset_drops_the_answer_that_is_awaited_and_the_body_that_is_sent() {
    let (alive, dropped) = oneshot::channel::<()>();
    let alive = once(alive);
    let mut waits = world(move |_, _| {
        let alive = alive();
        async move {
            let _alive = alive;
            pending().await
        }
    })
    .await;
    let (answer, mut stream) = waits.sender.send_request(request(), false).unwrap();
    tokio::task::yield_now().await;
    stream.send_reset(Reason::CANCEL);
    assert!(dropped.await.is_err());
    drop(answer);

    let (alive, dropped) = oneshot::channel();
    let alive = once(alive);
    let mut sends = world(move |_, _| {
        let alive = alive();
        async move { Response::new(Sent::Endless(alive)) }
    })
    .await;
    let (answer, mut stream) = sends.sender.send_request(request(), false).unwrap();
    let _body = answer.await.unwrap();
    stream.send_reset(Reason::CANCEL);
    assert!(dropped.await.is_err());
}

/// Catches: a header that HTTP/2 forbids and that a client may refuse with the whole connection.
#[tokio::test]
async fn a_header_that_http2_forbids_is_not_sent() {
    let mut world = world(|_, _| async {
        let mut answer = ok();
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(CONNECTION, close);
        answer
    })
    .await;
    let error = world.get().await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
}

/// Catches: a connection that is cut while it still has requests, or that never closes.
#[tokio::test]
async fn a_connection_that_is_told_to_close_ends_after_its_requests() {
    let (go_on, goes_on) = oneshot::channel();
    let goes_on = once(goes_on);
    let mut world = world(move |_, _| {
        let goes_on = goes_on();
        async move {
            goes_on.await.unwrap();
            ok()
        }
    })
    .await;
    let (answer, _) = world.sender.send_request(request(), true).unwrap();
    tokio::task::yield_now().await;
    world.finishes.notify_one();
    // The client knows.
    while poll_fn(|cx| world.sender.poll_ready(cx)).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!world.ended.is_finished());
    go_on.send(()).unwrap();
    let mut answer = answer.await.unwrap();
    assert_eq!(answer.body_mut().data().await.unwrap().unwrap(), "ok");
    drop((answer, world.sender));
    assert_eq!(world.ended.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_connection_that_is_told_to_close_before_its_handshake_ends_after_it() {
    let (near, far) = duplex(1 << 16);
    let finishes = Arc::new(Notify::new());
    finishes.notify_one();
    let ended = run(far, finishes, |_, _| async { ok() });
    tokio::task::yield_now().await;
    let (_sender, connection) = client::handshake(near).await.unwrap();
    tokio::spawn(connection);
    // The client may hang up first.
    let (Ok(()) | Err(Broken)) = ended.await.unwrap();
}

/// Catches: a client that vanished and keeps its connection.
#[tokio::test(start_paused = true)]
async fn a_client_that_vanishes_is_noticed() {
    let (near, far) = duplex(1 << 16);
    let ended = run(far, Arc::new(Notify::new()), |_, _| async { ok() });
    let (_sender, _connection) = client::handshake(near).await.unwrap();
    let began = Instant::now();
    assert_eq!(ended.await.unwrap(), Err(Broken));
    assert_eq!(
        began.elapsed().as_secs(),
        (PING_INTERVAL + PING_TIMEOUT).as_secs()
    );
}

/// Catches: a tunnel that never gets its stream.
#[tokio::test]
async fn an_answer_that_switches_hands_its_stream_over() {
    let (hand, handed) = oneshot::channel();
    let hand = once(hand);
    let mut world = world(move |request, _| {
        let switch = request.extensions().get::<Arc<StreamSwitch>>().unwrap();
        hand().send(switch.switches()).unwrap();
        async { Response::new(Sent::Text(None)) }
    })
    .await;
    let mut request = request();
    *request.method_mut() = http::Method::CONNECT;
    request
        .extensions_mut()
        .insert(Protocol::from_static("websocket"));
    let (answer, _stream) = world.sender.send_request(request, false).unwrap();
    let answer = answer.await.unwrap();
    assert!(!answer.body().is_end_stream());
    assert!(!answer.headers().contains_key(CONTENT_LENGTH));
    let mut to = handed.await.unwrap().await.unwrap();
    to.send_data("bytes".into(), true).unwrap();
    let mut from = answer.into_body();
    assert_eq!(from.data().await.unwrap().unwrap(), "bytes");
}
