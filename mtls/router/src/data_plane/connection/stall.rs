//! Cuts an HTTP/2 stream whose client has stopped reading its answer.
//!
//! hyper polls a body only when the client has a window for more. If the client grants no window,
//! the body is never polled and keeps its place at the cell, while other streams of the connection
//! may be fine. So each stream's task is watched from outside. The body notes whose turn it is. If
//! the client's turn lasts too long, the task is dropped, which resets the stream. HTTP/1.1 doesn't
//! need this: there a stalled client blocks the connection's writes, and
//! [`Activity`](crate::data_plane::activity::Activity) sees that.

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

/// Gives each stream's task the notes of its request.
///
/// hyper spawns a stream's task right after it called the service for its request, before it takes
/// the connection's next request.
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

    /// Creates the notes of a request. Its task is spawned next.
    pub(super) fn begin(&self) -> Turns {
        let turns = Turns::watched(self.rate_min);
        *lock_uncontended(&self.begun) = Some(turns.clone());
        turns
    }

    /// The notes of the task that is being spawned. The task that writes for a tunnel has none: the
    /// tunnel watches itself.
    fn take(&self) -> Turns {
        let begun = lock_uncontended(&self.begun).take();
        begun.unwrap_or_else(Turns::unwatched)
    }
}

/// Spawns the tasks of a connection's streams, and watches each.
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
        // The number of the client's turn that the timer was set for.
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
