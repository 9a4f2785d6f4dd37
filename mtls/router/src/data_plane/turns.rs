//! Whose turn it is in an HTTP/2 answer: what the body notes for the task that carries it.
//!
//! The service makes a [`Turns`] for each request and hands it to the request's answer. The task that
//! hyper spawns for the stream has the other end and ends the stream if the client's turn lasts too
//! long.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use cellway_core::Reason;
use tokio::time::Instant;

use crate::data_plane::activity::worth;
use crate::data_plane::streams::{Side, Stream};
use crate::lock::lock_uncontended;

/// The lowest rate, in bytes a second, that a client must keep even without a minimum: a frame may
/// be long, and the router sees only that all of it was read.
const RATE_OF_FRAMES: u32 = 1024;

/// A handle to the notes about one stream. Clones are for the same stream.
#[derive(Clone, Debug)]
pub(crate) struct Turns(Option<Arc<Notes>>);

/// Only the worker of the connection uses the lock.
#[derive(Debug)]
struct Notes {
    /// Bytes a second that a client must read at least; 0: no minimum.
    rate_min: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the client's turn began, while it has it.
    since: Option<Instant>,
    /// How much of the stall time the client has used up. Each byte that it reads buys time back.
    used: Duration,
    /// It is the client's turn to take what it was given.
    given: bool,
    /// How often it has been.
    turns: u64,
    /// How long the last two frames are: the second is asked for while the first is on its way,
    /// and the turn is over when that is taken whole.
    behind: u64,
    ahead: u64,
    /// The stream is being dropped because its client took too long.
    cut: bool,
    /// What the task carries, once an answer has begun.
    stream: Option<Arc<Stream>>,
}

/// The client's turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientsTurn {
    /// Which one.
    pub(crate) number: u64,
    /// How long it may last from now on.
    pub(crate) allowed: Duration,
}

impl Turns {
    /// For a stream that a task watches.
    pub(crate) fn watched(rate_min: u32) -> Self {
        Self(Some(Arc::new(Notes {
            rate_min,
            state: Mutex::default(),
        })))
    }

    /// For HTTP/1.1, where a client that reads nothing blocks the connection's writes, which
    /// [`Activity`](super::activity::Activity) sees.
    pub(crate) fn unwatched() -> Self {
        Self(None)
    }

    /// The client was given so many bytes, and may take its time to read them.
    pub(crate) fn client_has_the_turn(&self, bytes: usize) {
        if let Some(notes) = &self.0 {
            let mut state = lock_uncontended(&notes.state);
            state.turn_ends(notes.rate_min);
            state.since = Some(Instant::now());
            state.behind = state.ahead;
            state.ahead = bytes as u64;
            state.given = true;
            state.turns += 1;
        }
    }

    /// The client has read all there is.
    pub(crate) fn client_waits(&self) {
        if let Some(notes) = &self.0 {
            let mut state = lock_uncontended(&notes.state);
            state.turn_ends(notes.rate_min);
            state.given = false;
        }
    }

    /// The task carries an answer of this stream: it ends when the stream is closed, even if the
    /// client reads nothing and so the body is never polled.
    pub(crate) fn carries(&self, stream: &Arc<Stream>) {
        if let Some(notes) = &self.0 {
            lock_uncontended(&notes.state).stream = Some(stream.clone());
        }
    }

    /// Whether the stream is being dropped because its client took too long.
    pub(crate) fn is_cut(&self) -> bool {
        let notes = self.0.as_ref();
        notes.is_some_and(|notes| lock_uncontended(&notes.state).cut)
    }

    /// Notes that the stream is about to be dropped because its client took too long.
    pub(crate) fn cut(&self) {
        if let Some(notes) = &self.0 {
            lock_uncontended(&notes.state).cut = true;
        }
    }

    /// Ready once the stream is closed.
    pub(crate) fn poll_closed(&self, cx: &Context<'_>) -> Poll<Reason> {
        let Some(notes) = &self.0 else {
            return Poll::Pending;
        };
        match &lock_uncontended(&notes.state).stream {
            Some(stream) => stream.poll_closed(Side::Answer, cx),
            None => Poll::Pending,
        }
    }

    /// The client's turn, if it is its turn; `stall` is the time that it has in all.
    pub(crate) fn clients(&self, stall: Duration) -> Option<ClientsTurn> {
        let notes = self.0.as_ref()?;
        let state = lock_uncontended(&notes.state);
        state.given.then(|| ClientsTurn {
            number: state.turns,
            allowed: state.allows(stall, notes.rate_min),
        })
    }
}

impl State {
    /// How long the client's turn may last.
    fn allows(&self, stall: Duration, rate_min: u32) -> Duration {
        let rate = match rate_min {
            0 => RATE_OF_FRAMES,
            rate => rate,
        };
        stall.saturating_sub(self.used) + worth(self.behind, rate)
    }

    /// Called when the client has read the whole frame before the last one, or both.
    fn turn_ends(&mut self, rate_min: u32) {
        if let Some(since) = self.since.take() {
            let used = self.used.saturating_add(since.elapsed());
            let bought = worth(self.behind, rate_min);
            self.used = used.saturating_sub(bought);
        }
    }
}
