//! Cuts an HTTP/2 stream whose client has stopped taking its answer.
//!
//! hyper asks a body for more only once the client has granted room for it. A client that grants
//! none leaves the body unasked, with all that it holds of the cell's, and other streams of the
//! connection may be well. So the task of each stream is watched from outside: the body notes
//! whose turn it is, and when the client has had it for too long, the task is dropped, which
//! resets the stream. HTTP/1.1 needs none of it: there a stalled client blocks the connection's
//! writes, which [`Activity`](super::Activity) sees.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use cellway_env::Env;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::data_plane::streams::{Side, Stream};

/// The lowest rate, in bytes a second, that a client must keep even without a minimum: a frame may
/// be long, and the router sees only that all of it was read.
const RATE_OF_FRAMES: u32 = 1024;

/// How long a client may take for this many bytes. If the rate is 0, there is no limit.
pub(super) fn worth(bytes: u64, rate_min: u32) -> Duration {
    match rate_min {
        0 => Duration::MAX,
        rate => Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / u64::from(rate)),
    }
}

tokio::task_local! {
    static FLOW: Flow;
}

/// What the body of a stream tells the stream's task.
#[derive(Debug, Default)]
struct Flow {
    rate_min: u32,
    /// When the client's turn began, while it has it.
    since: Cell<Option<Instant>>,
    /// How much of the stall time the client has used up. Each byte that it reads buys time back.
    used: Cell<Duration>,
    /// It is the client's turn to take what it was given.
    given: Cell<bool>,
    /// How often it has been.
    turns: Cell<u64>,
    /// How long the last two frames are: the second is asked for while the first is on its way,
    /// and the turn is over when that is taken whole.
    behind: Cell<u64>,
    ahead: Cell<u64>,
    cut: Cell<bool>,
    /// What the task carries, once an answer has begun.
    stream: RefCell<Option<Arc<Stream>>>,
}

impl Flow {
    /// How long the client's turn may last.
    fn allows(&self, stall: Duration) -> Duration {
        let rate = match self.rate_min {
            0 => RATE_OF_FRAMES,
            rate => rate,
        };
        stall.saturating_sub(self.used.get()) + worth(self.behind.get(), rate)
    }

    /// Called when the client has read the whole frame before the last one, or both.
    fn turn_ends(&self) {
        if let Some(since) = self.since.take() {
            let used = self.used.get().saturating_add(since.elapsed());
            let bought = worth(self.behind.get(), self.rate_min);
            self.used.set(used.saturating_sub(bought));
        }
    }
}

/// The client was given so many bytes, and may take its time to take them.
pub(crate) fn client_has_the_turn(bytes: usize) {
    let _ = FLOW.try_with(|flow| {
        flow.turn_ends();
        flow.since.set(Some(Instant::now()));
        flow.behind.set(flow.ahead.get());
        flow.ahead.set(bytes as u64);
        flow.given.set(true);
        flow.turns.set(flow.turns.get() + 1);
    });
}

/// The client has taken all there is.
pub(crate) fn client_waits() {
    let _ = FLOW.try_with(|flow| {
        flow.turn_ends();
        flow.given.set(false);
    });
}

/// The task sends an answer for this stream: it ends when that is closed, though the client should
/// take nothing and the body never be asked.
pub(crate) fn carries(stream: &Arc<Stream>) {
    let _ = FLOW.try_with(|flow| *flow.stream.borrow_mut() = Some(stream.clone()));
}

/// This stream is being dropped because its client took too long.
pub(super) fn is_cut() -> bool {
    FLOW.try_with(|flow| flow.cut.get()).unwrap_or(false)
}

/// Spawns the streams of a connection, each watched.
#[derive(Clone, Debug)]
pub(super) struct Streams<E> {
    pub(super) env: E,
    pub(super) stall: Duration,
    /// Bytes a second that a client must read at least; 0: no minimum.
    pub(super) rate_min: u32,
}

impl<E, F> hyper::rt::Executor<F> for Streams<E>
where
    E: Env,
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let watched = Watched {
            task: Some(task),
            stall: self.stall,
            timer: None,
            turn: 0,
        };
        let flow = Flow {
            rate_min: self.rate_min,
            ..Flow::default()
        };
        self.env.spawn(FLOW.scope(flow, watched));
    }
}

pin_project! {
    struct Watched<F> {
        #[pin]
        task: Option<F>,
        stall: Duration,
        timer: Option<Pin<Box<Sleep>>>,
        // For which turn of the client's the timer was set.
        turn: u64,
    }
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let task = this.task.as_mut().as_pin_mut();
        if task.is_none_or(|task| task.poll(cx).is_ready()) {
            return Poll::Ready(());
        }
        let closed = FLOW.with(|flow| {
            let stream = flow.stream.borrow();
            let stream = stream.as_ref();
            stream.is_some_and(|stream| stream.poll_closed(Side::Answer, cx).is_ready())
        });
        if closed {
            this.task.set(None);
            return Poll::Ready(());
        }
        let (given, turn, allowed) =
            FLOW.with(|flow| (flow.given.get(), flow.turns.get(), flow.allows(*this.stall)));
        if !given {
            return Poll::Pending;
        }
        let limit = Instant::now() + allowed;
        let timer = this
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(limit)));
        if *this.turn != turn {
            *this.turn = turn;
            timer.as_mut().reset(limit);
        }
        ready!(timer.as_mut().poll(cx));
        FLOW.with(|flow| flow.cut.set(true));
        this.task.set(None);
        Poll::Ready(())
    }
}
