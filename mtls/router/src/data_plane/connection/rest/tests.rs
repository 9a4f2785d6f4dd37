use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::Full;
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

use super::*;
use crate::data_plane::connection::io::ClientIo;
use crate::wire::Wire;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const REQUEST: &[u8] = b"GET /1 HTTP/1.1\r\nhost: a\r\n\r\n";

/// A connection that counts how often it was made, and the client's end of it.
struct World {
    serving: Pin<Box<dyn Serves>>,
    made: Arc<AtomicUsize>,
    activity: Arc<Activity>,
    client: DuplexStream,
}

trait Serves {
    fn poll_it(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>>;
    fn rest_it(self: Pin<&mut Self>);
    fn finish_it(self: Pin<&mut Self>);
}

impl<T: Serving> Serves for T {
    fn poll_it(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.poll(cx)
    }

    fn rest_it(self: Pin<&mut Self>) {
        self.rest();
    }

    fn finish_it(self: Pin<&mut Self>) {
        self.finish();
    }
}

impl World {
    fn new() -> Self {
        let (client, far) = duplex(1 << 16);
        let activity = Arc::new(Activity::new(Instant::now(), false, 0));
        let io = ClientIo::new(
            Wire::Plain(far),
            Bytes::new(),
            activity.clone(),
            (|_, _| (), Duration::ZERO),
        );
        let io = Attended::new(Arc::new(Mutex::new(io)));
        let service = service_fn({
            let activity = activity.clone();
            move |_: Request<Incoming>| {
                activity.request_begins();
                // In the router, this is noted when the body is dropped.
                activity.request_ends(Instant::now());
                async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok")))) }
            }
        });
        let made = Arc::new(AtomicUsize::new(0));
        let make = {
            let made = made.clone();
            move |io| {
                made.fetch_add(1, Relaxed);
                let mut builder = http1::Builder::new();
                builder.auto_date_header(false).half_close(true);
                let serving = builder.serve_connection(TokioIo::new(io), service.clone());
                serving.with_upgrades()
            }
        };
        let io = Guarded::new(io, Requests::new(Arc::default(), Arc::default()));
        let serving = Box::pin(Resting::new(io, activity.clone(), make));
        Self {
            serving,
            made,
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
        let n = tokio::time::timeout(std::time::Duration::from_millis(1), reading).await;
        answer.truncate(n.map_or(0, Result::unwrap));
        answer
    }

    async fn rests(&mut self) {
        self.serving.as_mut().rest_it();
        assert!(!self.settles().await);
    }

    fn made(&self) -> usize {
        self.made.load(Relaxed)
    }
}

/// Catches: an idle connection that keeps its buffers, or is lost with them.
#[tokio::test(start_paused = true)]
async fn a_connection_that_rested_serves_the_next_request() {
    let mut world = World::new();
    for round in 1..4 {
        assert_eq!(world.says(REQUEST).await, ANSWER);
        assert_eq!(world.says(REQUEST).await, ANSWER);
        assert_eq!(world.made(), round);
        world.rests().await;
        world.rests().await;
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
    world.rests().await;
    assert_eq!(world.says(&REQUEST[..9]).await, b"");
    world.rests().await;
    assert_eq!(world.says(&REQUEST[9..]).await, ANSWER);
    world.activity.request_begins();
    world.rests().await;
    world.activity.request_ends(Instant::now());
    assert_eq!(world.says(REQUEST).await, ANSWER);
    assert_eq!(world.made(), 1);
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
