//! Progress of a request's body, for the code that waits for the answer.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cellway_core::http1::MessageError;
use tokio::time::Instant;

use super::kept::Kept;
use super::source::Source;
use crate::lock::lock_uncontended;

/// Shared between a request's body, which the connection to the cell owns, and the task that waits
/// for the cell's answer.
#[derive(Debug)]
pub(crate) struct Progress {
    origin: Instant,
    /// The bytes that have arrived.
    bytes: AtomicU64,
    /// When something moved last, in nanoseconds since `origin`.
    moved: AtomicU64,
    side: AtomicU8,
    pace: OnceLock<Pace>,
    /// When the client's turn started, in nanoseconds since `origin`.
    turn_began: AtomicU64,
    /// How much of the pace's grace is used up, in nanoseconds.
    used: AtomicU64,
    waiting: Mutex<Waiting>,
    too_long: AtomicBool,
    gone: AtomicBool,
    /// What is malformed in it.
    fault: OnceLock<MessageError>,
    /// Whether a body that nobody needs is read and discarded, so that the client's connection
    /// stays open.
    drains: bool,
    /// Keeps what was read of the body while the request may be sent again.
    pub(crate) kept: Kept,
}

/// The tasks that wait for the other side of the body.
#[derive(Debug, Default)]
struct Waiting {
    /// The rest of the body is no longer needed.
    given_up: bool,
    /// The task that reads the body; woken when the body is no longer needed.
    reader: Option<Waker>,
    /// The task that waits for the end of the body.
    end: Option<Waker>,
    /// The rest of the body, if its reader was dropped before the end.
    rest: Option<Source>,
}

/// Why nobody reads the body any more.
#[derive(Debug)]
pub(crate) enum End {
    /// The body is complete.
    Whole,
    /// It was cut.
    Broken,
    /// Its reader was dropped. This is the rest.
    Left(Source),
}

/// How fast a body must arrive. Only the time in which the router waits for the client counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Bytes per second; not 0.
    pub(crate) rate_min: u32,
    /// How long the router waits for a client that sends nothing. Each byte gives back its share of
    /// a second.
    pub(crate) grace: Duration,
}

/// Whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    /// The cell's: it reads what there is, or doesn't.
    Cell,
    /// The client's: it sends more, or doesn't.
    Client,
    /// The body is complete.
    Done,
    /// The client cut the body.
    Broken,
}

impl Progress {
    /// With `drains`, a body that nobody needs is read and discarded.
    pub(crate) fn new(drains: bool) -> Self {
        Self {
            origin: Instant::now(),
            bytes: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            side: AtomicU8::new(0),
            pace: OnceLock::new(),
            turn_began: AtomicU64::new(0),
            used: AtomicU64::new(0),
            waiting: Mutex::default(),
            too_long: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            fault: OnceLock::new(),
            drains,
            kept: Kept::default(),
        }
    }

    /// Prepares for the request's next body and returns its number. `None` if not everything that
    /// was read is kept.
    pub(crate) fn again(&self) -> Option<u8> {
        let number = self.kept.again()?;
        self.moved(0, Turn::Cell);
        // The previous body must release its source.
        let reader = lock_uncontended(&self.waiting).reader.take();
        if let Some(waker) = reader {
            waker.wake();
        }
        Some(number)
    }

    /// Marks the rest of the body as no longer needed.
    pub(crate) fn give_up(&self) {
        let reader = {
            let mut waiting = lock_uncontended(&self.waiting);
            waiting.given_up = true;
            waiting.reader.take()
        };
        if let Some(waker) = reader {
            waker.wake();
        }
    }

    /// Stops keeping what is read: the request won't be sent again.
    pub(crate) fn stop_keeping(&self) {
        if let Some(rest) = self.kept.stop() {
            self.leave(rest);
        }
    }

    /// Takes the rest of a body whose reader was dropped.
    pub(crate) fn leave(&self, rest: Source) {
        if !self.drains || !matches!(self.turn(), Turn::Cell | Turn::Client) {
            return;
        }
        rest.ends();
        let end = {
            let mut waiting = lock_uncontended(&self.waiting);
            waiting.rest = Some(rest);
            waiting.end.take()
        };
        if let Some(waker) = end {
            waker.wake();
        }
    }

    /// The rest of the body, if its reader was dropped before the end.
    pub(crate) fn take_rest(&self) -> Option<Source> {
        lock_uncontended(&self.waiting).rest.take()
    }

    /// Ready when nobody reads the body any more. Wakes the task then.
    pub(crate) fn poll_end(&self, cx: &Context<'_>) -> Poll<End> {
        let mut waiting = lock_uncontended(&self.waiting);
        match (waiting.rest.take(), self.turn()) {
            (Some(rest), _) => Poll::Ready(End::Left(rest)),
            (None, Turn::Done) => Poll::Ready(End::Whole),
            (None, Turn::Broken) => Poll::Ready(End::Broken),
            (None, Turn::Cell | Turn::Client) => {
                waiting.end = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Ready when the rest of the body is no longer needed. Wakes the task then.
    pub(crate) fn poll_given_up(&self, cx: &Context<'_>) -> Poll<()> {
        let mut waiting = lock_uncontended(&self.waiting);
        if waiting.given_up {
            return Poll::Ready(());
        }
        let waker = &mut waiting.reader;
        if !waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Sets the pace at which the body must arrive from now on.
    pub(crate) fn set_pace(&self, pace: Pace) {
        let _ = self.pace.set(pace);
    }

    /// The bytes that have arrived so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Notes that this many bytes moved, and whose turn it is now.
    pub(crate) fn moved(&self, bytes: usize, turn: Turn) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
        let now = self.elapsed();
        self.moved.store(now, Relaxed);
        if let Some(pace) = self.pace.get() {
            let waited = match self.turn() {
                Turn::Client => now.saturating_sub(self.turn_began.load(Relaxed)),
                Turn::Cell | Turn::Done | Turn::Broken => 0,
            };
            let bought = (bytes as u64).saturating_mul(1_000_000_000) / u64::from(pace.rate_min);
            let used = self.used.load(Relaxed).saturating_add(waited);
            self.used.store(used.saturating_sub(bought), Relaxed);
        }
        // If it stays the client's turn, the turn starts again.
        self.side.store(side(turn), Relaxed);
        self.turn_began.store(now, Relaxed);
        if matches!(turn, Turn::Done | Turn::Broken) {
            self.ends();
        }
    }

    /// Wakes the task that waits for the end of the body.
    fn ends(&self) {
        let end = lock_uncontended(&self.waiting).end.take();
        if let Some(waker) = end {
            waker.wake();
        }
    }

    /// Notes that the body is longer than its route allows. It is cut now.
    pub(crate) fn is_too_long(&self) {
        self.too_long.store(true, Relaxed);
    }

    /// Whether the body was cut because it is longer than its route allows.
    pub(crate) fn was_too_long(&self) -> bool {
        self.too_long.load(Relaxed)
    }

    /// Notes that the client can't get an answer any more: it has reset its stream, or the connection broke.
    pub(crate) fn loses_client(&self) {
        self.gone.store(true, Relaxed);
    }

    /// Whether the client can't get an answer any more.
    pub(crate) fn has_lost_client(&self) -> bool {
        self.gone.load(Relaxed)
    }

    /// Notes what is malformed in it.
    pub(crate) fn is_malformed(&self, fault: MessageError) {
        self.fault.get_or_init(|| fault);
    }

    /// What is malformed in it, if anything is.
    pub(crate) fn fault(&self) -> Option<MessageError> {
        self.fault.get().copied()
    }

    /// Notes that nothing moved and that the router waits for the client.
    pub(crate) fn waits_for_client(&self) {
        if self.turn() != Turn::Client {
            self.turn_began.store(self.elapsed(), Relaxed);
            self.side.store(side(Turn::Client), Relaxed);
        }
    }

    pub(crate) fn turn(&self) -> Turn {
        match self.side.load(Relaxed) {
            0 => Turn::Cell,
            1 => Turn::Client,
            2 => Turn::Done,
            _ => Turn::Broken,
        }
    }

    /// When something moved last.
    pub(crate) fn last(&self) -> Instant {
        self.origin + Duration::from_nanos(self.moved.load(Relaxed))
    }

    /// When the client is too slow, if it sends nothing until then. `None` while it isn't the
    /// client's turn, or if there is no limit.
    pub(crate) fn client_deadline(&self) -> Option<Instant> {
        let pace = self.pace.get()?;
        let used = Duration::from_nanos(self.used.load(Relaxed));
        let began = self.origin + Duration::from_nanos(self.turn_began.load(Relaxed));
        (self.turn() == Turn::Client).then(|| began + pace.grace.saturating_sub(used))
    }

    /// How long the client's next turn may last; `None` if there is no next turn or no limit.
    pub(crate) fn grace(&self) -> Option<Duration> {
        let pace = self.pace.get()?;
        matches!(self.turn(), Turn::Client | Turn::Cell).then_some(pace.grace)
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

const fn side(turn: Turn) -> u8 {
    match turn {
        Turn::Cell => 0,
        Turn::Client => 1,
        Turn::Done => 2,
        Turn::Broken => 3,
    }
}

#[cfg(test)]
mod tests;
