//! Whose turn it is in an HTTP/2 answer: notes that the request and the answer's body make for the task
//! of their stream.
//!
//! The connection makes a [`Turns`] for each request and gives it to the request's answer. The task of
//! the stream reads the notes. It sends the interim answers that wait, and ends the stream if the client's
//! turn lasts too long.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use cellway_core::Reason;
use http::{Response, StatusCode};
use tokio::time::Instant;

use crate::data_plane::activity::worth;
use crate::data_plane::interims::StreamInterims;
use crate::data_plane::streams::{Side, Stream};
use crate::lock::lock_uncontended;

/// The lowest rate, in bytes per second, that a client must keep even if no minimum is configured:
/// a frame may be long, and the router sees only that all of it was read.
const RATE_OF_FRAMES: u32 = 1024;

/// A handle to the notes about one stream. Clones are for the same stream.
#[derive(Clone, Debug)]
pub(crate) struct Turns(Option<Arc<Notes>>);

/// Only the worker of the connection uses the locks.
#[derive(Debug)]
struct Notes {
    interims: StreamInterims,
    /// The fewest bytes per second that a client must read. 0: no minimum.
    rate_min: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the client's turn started, if it is the client's turn.
    since: Option<Instant>,
    /// How much of the stall time the client has used up. Each byte that it reads gives time back.
    used: Duration,
    /// Whether it is the client's turn to read what it was given.
    given: bool,
    /// How many turns the client has had.
    turns: u64,
    /// The lengths of the last two frames. The second frame is asked for while the first is being
    /// sent, so a turn is over when the client has read the first one completely.
    behind: u64,
    ahead: u64,
    /// Whether the stream is being dropped because its client took too long.
    cut: bool,
    /// The stream whose answer the task sends. Set when the answer has started.
    stream: Option<Arc<Stream>>,
}

/// The client's turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientsTurn {
    /// The number of the turn.
    pub(crate) number: u64,
    /// How long it may last from now on.
    pub(crate) allowed: Duration,
}

impl Turns {
    /// Creates notes for a stream that a task watches.
    pub(crate) fn watched(rate_min: u32) -> Self {
        Self(Some(Arc::new(Notes {
            interims: StreamInterims::default(),
            rate_min,
            state: Mutex::default(),
        })))
    }

    /// No notes, for HTTP/1.1: a client that reads nothing blocks the connection's writes there,
    /// and [`Activity`](super::activity::Activity) sees that.
    pub(crate) fn unwatched() -> Self {
        Self(None)
    }

    /// The interim answers that wait for the client. `None` over HTTP/1.1, where
    /// [`Activity`](super::activity::Activity) has them.
    pub(crate) fn interims(&self) -> Option<&StreamInterims> {
        self.0.as_ref().map(|notes| &notes.interims)
    }

    /// Tells a client that waits for it to send the body.
    pub(crate) fn go_on(&self) {
        if let Some(interims) = self.interims() {
            let mut go_on = Response::new(());
            *go_on.status_mut() = StatusCode::CONTINUE;
            interims.add(go_on);
        }
    }

    /// Notes that the client was given this many bytes and that it is now its turn to read them.
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

    /// Notes that the client has read everything that there is.
    pub(crate) fn client_waits(&self) {
        if let Some(notes) = &self.0 {
            let mut state = lock_uncontended(&notes.state);
            state.turn_ends(notes.rate_min);
            state.given = false;
        }
    }

    /// Notes that the task sends an answer of this stream. The task ends when the stream is closed,
    /// even if the client reads nothing and the body is never polled.
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

    /// Ready when the stream is closed.
    pub(crate) fn poll_closed(&self, cx: &Context<'_>) -> Poll<Reason> {
        let Some(notes) = &self.0 else {
            return Poll::Pending;
        };
        match &lock_uncontended(&notes.state).stream {
            Some(stream) => stream.poll_closed(Side::Answer, cx),
            None => Poll::Pending,
        }
    }

    /// The client's turn, if it is its turn. `stall` is the stall time of the listener.
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
