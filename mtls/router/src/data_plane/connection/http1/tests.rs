use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

use super::*;
use crate::data_plane::activity;
use crate::data_plane::connection::io::ClientIo;
use crate::wire::Wire;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const REQUEST: &[u8] = b"GET /1 HTTP/1.1\r\nhost: a\r\n\r\n";

/// A connection, and the client's end of it.
struct World {
    serving: Pin<Box<dyn Serves>>,
    /// How many requests were served.
    served: Arc<AtomicUsize>,
    activity: Arc<Activity>,
    client: DuplexStream,
}

trait Serves {
    fn poll_it(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>>;
    fn rest_it(self: Pin<&mut Self>);
    fn finish_it(self: Pin<&mut Self>);
    /// Whether it has room for an exchange.
    fn has_room(&self) -> bool;
}

impl<M, F> Serves for Http1<M, F, Full<Bytes>>
where
    M: Fn(Request<Incoming>) -> F + Unpin,
    F: Future<Output = Response<Full<Bytes>>>,
{
    fn poll_it(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.poll(cx)
    }

    fn rest_it(self: Pin<&mut Self>) {
        self.rest();
    }

    fn finish_it(self: Pin<&mut Self>) {
        self.finish();
    }

    fn has_room(&self) -> bool {
        self.exchange.is_some()
    }
}

impl World {
    /// A connection that answers every request with `ok`, after its body.
    fn new() -> Self {
        let (client, far) = duplex(1 << 16);
        let activity = Arc::new(Activity::new(Instant::now(), false, 0));
        let io = ClientIo::new(
            Wire::Plain(far),
            Bytes::new(),
            activity.clone(),
            (|_, _| (), Duration::ZERO),
        );
        let served = Arc::new(AtomicUsize::new(0));
        let serve = {
            let (activity, served) = (activity.clone(), served.clone());
            move |request: Request<Incoming>| {
                activity.request_begins();
                served.fetch_add(1, Relaxed);
                let activity = activity.clone();
                async move {
                    let body = request.into_body().collect().await;
                    let text = match body {
                        Ok(_) => "ok",
                        Err(_) => "cut",
                    };
                    // In the router, this is noted when the body of the answer is dropped.
                    activity.request_ends(Instant::now());
                    Response::new(Full::new(Bytes::from_static(text.as_bytes())))
                }
            }
        };
        let drain = Arc::new(Drain::default());
        let serving = Box::pin(Http1::new(io, activity.clone(), drain, serve));
        Self {
            serving,
            served,
            activity,
            client,
        }
    }

    /// Runs the connection until there is nothing more to do. Returns whether it has ended.
    async fn settles(&mut self) -> bool {
        for _ in 0..8 {
            let polled = poll_fn(|cx| Poll::Ready(self.serving.as_mut().poll_it(cx))).await;
            if polled.is_ready() {
                return true;
            }
            tokio::task::yield_now().await;
        }
        false
    }

    /// Sends this, and returns what comes back.
    async fn says(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.client.write_all(bytes).await.unwrap();
        self.settles().await;
        let mut answer = vec![0; 1 << 10];
        let reading = self.client.read(&mut answer);
        let n = tokio::time::timeout(Duration::from_millis(1), reading).await;
        answer.truncate(n.map_or(0, Result::unwrap));
        answer
    }

    async fn rests(&mut self) {
        self.serving.as_mut().rest_it();
        assert!(!self.settles().await);
    }
}

/// Catches: an idle connection that keeps its memory, or is lost with it.
#[tokio::test(start_paused = true)]
async fn a_connection_that_rested_serves_the_next_request() {
    let mut world = World::new();
    for _ in 1..4 {
        assert_eq!(world.says(REQUEST).await, ANSWER);
        assert_eq!(world.says(REQUEST).await, ANSWER);
        assert!(world.serving.has_room());
        world.rests().await;
        world.rests().await;
        assert!(!world.serving.has_room());
    }
}

/// Catches: the start of a request that is dropped with the buffer that it came in.
#[tokio::test(start_paused = true)]
async fn bytes_that_came_before_the_rest_are_kept() {
    for cut in 1..REQUEST.len() {
        let mut world = World::new();
        let (start, end) = REQUEST.split_at(cut);
        assert_eq!(world.says(&[REQUEST, start].concat()).await, ANSWER);
        world.rests().await;
        assert_eq!(world.says(end).await, ANSWER, "cut at {cut}");
    }
}

/// Catches: a connection that rests while a client waits for it.
#[tokio::test(start_paused = true)]
async fn only_an_idle_connection_rests() {
    let mut world = World::new();
    assert_eq!(world.says(REQUEST).await, ANSWER);
    assert_eq!(world.says(&REQUEST[..9]).await, b"");
    world.rests().await;
    assert!(world.serving.has_room());
    assert_eq!(world.says(&REQUEST[9..]).await, ANSWER);
    world.activity.request_begins();
    world.rests().await;
    assert!(world.serving.has_room());
    world.activity.request_ends(Instant::now());
    assert_eq!(world.says(REQUEST).await, ANSWER);
}

/// Catches: a resting connection that never ends.
#[tokio::test(start_paused = true)]
async fn a_resting_connection_ends_with_its_client_or_when_it_is_told_to() {
    let mut gone = World::new();
    gone.says(REQUEST).await;
    gone.rests().await;
    gone.client.shutdown().await.unwrap();
    assert!(gone.settles().await);

    let mut told = World::new();
    told.says(REQUEST).await;
    told.rests().await;
    told.serving.as_mut().finish_it();
    assert!(told.settles().await);
}

const CLOSING: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

/// Catches: a request that had come already, or had begun to come, and is lost because its connection closes.
#[tokio::test(start_paused = true)]
async fn a_connection_that_is_told_to_close_serves_what_has_come() {
    for cut in [1, 9, REQUEST.len()] {
        let mut world = World::new();
        world.says(REQUEST).await;
        world.client.write_all(&REQUEST[..cut]).await.unwrap();
        if cut < REQUEST.len() {
            assert!(!world.settles().await);
        }
        world.serving.as_mut().finish_it();
        if cut < REQUEST.len() {
            assert!(!world.settles().await, "it waits for the rest");
        }
        assert_eq!(world.says(&REQUEST[cut..]).await, CLOSING, "cut at {cut}");
        assert!(world.settles().await);
    }
    let mut new = World::new();
    new.serving.as_mut().finish_it();
    assert!(!new.settles().await);
    assert_eq!(new.says(REQUEST).await, CLOSING);
}

/// Catches: answers that are lost or change their order if requests come together.
#[tokio::test(start_paused = true)]
async fn requests_that_come_together_are_served_one_after_the_other() {
    let mut world = World::new();
    let post =
        b"POST /2 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    let all = [REQUEST, post, b"\r\n", REQUEST].concat();
    for cut in 0..all.len() {
        let (start, end) = all.split_at(cut);
        let answers = [world.says(start).await, world.says(end).await].concat();
        assert_eq!(answers, ANSWER.repeat(3), "cut at {cut}");
    }
    assert_eq!(world.served.load(Relaxed), 3 * all.len());
}

/// Catches: a header that may take forever because its first bytes came with the request before it.
#[tokio::test(start_paused = true)]
async fn the_time_of_a_header_begins_when_its_first_bytes_are_there() {
    let mut world = World::new();
    world.says(REQUEST).await;
    assert_eq!(world.activity.phase(), activity::Phase::Idle);
    world.says(&[REQUEST, &REQUEST[..9]].concat()).await;
    assert_eq!(world.activity.phase(), activity::Phase::Header);
}

/// Catches: a client that waits for `100 Continue` forever, or gets it although it has sent its body.
#[tokio::test(start_paused = true)]
async fn a_client_is_told_to_send_its_body_if_it_waits() {
    let mut world = World::new();
    let head = b"POST /1 HTTP/1.1\r\nhost: a\r\nexpect: 100-Continue\r\ncontent-length: 2\r\n\r\n";
    assert_eq!(world.says(head).await, CONTINUE);
    assert_eq!(world.says(b"h").await, b"");
    assert_eq!(world.says(b"i").await, ANSWER);
    let whole = [&head[..], b"hi"].concat();
    assert_eq!(world.says(&whole).await, ANSWER);
    let http10 = String::from_utf8_lossy(head).replace("1.1", "1.0");
    assert_eq!(world.says(http10.as_bytes()).await, b"");
}

/// Catches: a request that is served although its head is malformed, or another one after it.
#[tokio::test(start_paused = true)]
async fn nothing_is_read_after_a_malformed_head() {
    let mut world = World::new();
    let answer = world
        .says(b"GET / HTTP/1.1\nhost: a\r\n\r\nGET / HTTP/1.1")
        .await;
    assert_eq!(answer, CLOSING);
    assert_eq!(world.says(REQUEST).await, b"");
    assert_eq!(world.served.load(Relaxed), 1);
}

/// Catches: a request after a body that broke off, which is read from its rest.
#[tokio::test(start_paused = true)]
async fn no_request_follows_a_body_that_breaks_off() {
    let mut world = World::new();
    let post = b"POST /2 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2;x\r\n";
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\ncut";
    world
        .client
        .write_all(&[post, REQUEST].concat())
        .await
        .unwrap();
    assert!(world.settles().await);
    let mut answer = vec![0; 1 << 10];
    let n = world.client.read(&mut answer).await.unwrap();
    assert_eq!(&answer[..n], cut);
    assert_eq!(world.served.load(Relaxed), 1);
}
