//! Cuts an HTTP/2 stream whose client has stopped taking its answer.
//!
//! hyper asks a body for more only once the client has granted room for it. A client that grants
//! none leaves the body unasked, with all that it holds of the cell's, and other streams of the
//! connection may be well. So the task of each stream is watched from outside: the body notes
//! whose turn it is, and when the client has had it for too long, the task is dropped, which
//! resets the stream. HTTP/1.1 needs none of it: there a stalled client blocks the connection's
//! writes, which [`Activity`](crate::data_plane::activity::Activity) sees.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use cellway_env::Env;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::data_plane::turns::Turns;
use crate::lock::lock_uncontended;

/// Gives each stream's task the notes that its request's answer makes.
///
/// hyper spawns a stream's task right after it has called the service for it, before it takes the next
/// request of the connection.
#[derive(Debug)]
pub(super) struct Handover {
    rate_min: u32,
    begun: Mutex<Option<Turns>>,
}

impl Handover {
    pub(super) fn new(rate_min: u32) -> Self {
        Self {
            rate_min,
            begun: Mutex::default(),
        }
    }

    /// A request begins. Its task is spawned next.
    pub(super) fn begin(&self) -> Turns {
        let turns = Turns::watched(self.rate_min);
        *lock_uncontended(&self.begun) = Some(turns.clone());
        turns
    }

    fn take(&self) -> Turns {
        let begun = lock_uncontended(&self.begun).take();
        debug_assert!(begun.is_some(), "a task without a request");
        begun.unwrap_or_else(Turns::unwatched)
    }
}

/// Spawns the streams of a connection, each watched.
#[derive(Clone, Debug)]
pub(super) struct Streams<E> {
    pub(super) env: E,
    pub(super) stall: Duration,
    pub(super) turns: Arc<Handover>,
}

impl<E, F> hyper::rt::Executor<F> for Streams<E>
where
    E: Env,
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.env.spawn(Watched {
            task: Some(task),
            turns: self.turns.take(),
            stall: self.stall,
            timer: None,
            turn: 0,
        });
    }
}

pin_project! {
    struct Watched<F> {
        #[pin]
        task: Option<F>,
        turns: Turns,
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
        if this.turns.poll_closed(cx).is_ready() {
            this.task.set(None);
            return Poll::Ready(());
        }
        let Some(turn) = this.turns.clients(*this.stall) else {
            return Poll::Pending;
        };
        let limit = Instant::now() + turn.allowed;
        let timer = this
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(limit)));
        if *this.turn != turn.number {
            *this.turn = turn.number;
            timer.as_mut().reset(limit);
        }
        ready!(timer.as_mut().poll(cx));
        this.turns.cut();
        this.task.set(None);
        Poll::Ready(())
    }
}
