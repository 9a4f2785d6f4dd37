//! The circuit breaker of one endpoint, shared by all workers of a router.
//!
//! **Closed**, requests pass. After some connection failures in a row it **opens**: for a while no
//! request passes, and a cell without another endpoint answers 503 at once instead of letting its
//! clients wait. Then the breaker is **half-open**: exactly one request passes, whichever worker has
//! it. If that one gets an answer, the breaker closes; if it fails, the breaker opens again. If it
//! ends without either, because its client went away, its place is free for the next one.
//!
//! A request whose client still sends the body soon gives its place up too. For a while only requests
//! whose body is complete may take it then, so that no number of slow uploads keeps all others out. If
//! the endpoint answers such an upload later, the breaker closes all the same.
//!
//! An answer, whatever it says, ends the row: the endpoint is there and speaks for itself.
//!
//! While the breaker is closed, the endpoint may be *suspect*: its last exchange failed. Requests
//! prefer other endpoints then, and one request in a while tries it.
//!
//! The whole state is one word that is changed by compare-and-swap, so that no worker waits for
//! another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::observe::debug::BreakerState;
use crate::settings::BreakerSettings;

/// How long a suspect endpoint is avoided before another request tries it, if the cell has others.
pub(super) const SUSPECT: Duration = Duration::from_secs(5);

/// How long a request may wait for its client's body while it holds the place in a half-open breaker;
/// and for how long the next place isn't for such a request.
pub(crate) const UPLOAD_PROBES: Duration = Duration::from_millis(100);

/// The most failures in a row that the word can hold.
const ROW_MAX: u64 = (1 << 14) - 1;
/// The bits of a time in milliseconds.
const MILLIS_BITS: u32 = 46;
const MILLIS_MAX: u64 = (1 << MILLIS_BITS) - 1;

/// One endpoint's breaker.
#[derive(Debug)]
pub(crate) struct Breaker {
    /// A [`State`], packed.
    word: AtomicU64,
    /// How many requests have had the place of a half-open breaker. It may wrap.
    probes: AtomicU64,
    /// Times in the word are milliseconds since then.
    origin: Instant,
}

/// What the word says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Requests pass.
    Closed,
    /// Requests pass, but the last exchange failed. `row` counts connection failures in a row, and
    /// the endpoint was last tried at `since`.
    Suspect { row: u64, since: u64 },
    /// Nothing passes until then. With `only_uploads`, requests whose body is complete do.
    Open { until: u64, only_uploads: bool },
    /// One request is on its way, and nothing else passes. `probe` is its number.
    HalfOpen { probe: u64 },
}

impl State {
    const fn pack(self) -> u64 {
        let (kind, row, millis) = match self {
            Self::Closed => (0, 0, 0),
            Self::Suspect { row, since } => (1, row, since),
            Self::Open {
                until,
                only_uploads,
            } => (2, only_uploads as u64, until),
            Self::HalfOpen { probe } => (3, probe, 0),
        };
        kind << 62 | (row & ROW_MAX) << MILLIS_BITS | millis & MILLIS_MAX
    }

    const fn unpack(word: u64) -> Self {
        let (row, millis) = (word >> MILLIS_BITS & ROW_MAX, word & MILLIS_MAX);
        match word >> 62 {
            0 => Self::Closed,
            1 => Self::Suspect { row, since: millis },
            2 => Self::Open {
                until: millis,
                only_uploads: row > 0,
            },
            _ => Self::HalfOpen { probe: row },
        }
    }
}

/// How much of its body a client has sent when its request asks for passage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sent {
    /// All of it.
    Whole,
    /// The router may have to wait for the rest.
    Part,
}

/// Whether a request may be sent to the endpoint.
#[derive(Debug)]
pub(crate) enum Passage {
    /// Yes.
    Free,
    /// Yes, but another endpoint is better.
    Suspect,
    /// Yes: it is the one request that shows whether the endpoint works again.
    Probe(ProbeSlot),
    /// No, and it is no use to ask again before this time has passed.
    Refused(Duration),
}

/// What changed when an exchange was over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// Nothing.
    None,
    /// The endpoint was suspect and no longer is.
    Cleared,
    /// The breaker has opened.
    Opened,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            word: AtomicU64::new(State::Closed.pack()),
            probes: AtomicU64::new(0),
            origin: Instant::now(),
        }
    }
}

impl Breaker {
    /// Asks for passage. A request that gets [`Passage::Probe`] should be sent.
    pub(crate) fn pass(self: &Arc<Self>, sent: Sent) -> Passage {
        loop {
            let word = self.word.load(Ordering::Acquire);
            let state = State::unpack(word);
            // Nearly always. The others need the time.
            if state == State::Closed {
                return Passage::Free;
            }
            let now = self.millis();
            let (next, passage) = match state {
                State::Closed => return Passage::Free,
                State::Suspect { since, .. } if now < since + millis(SUSPECT) => {
                    return Passage::Suspect;
                }
                State::Suspect { row, .. } => (State::Suspect { row, since: now }, Passage::Free),
                State::Open {
                    until,
                    only_uploads,
                } if refuses(until, only_uploads, sent, now) => {
                    return Passage::Refused(Duration::from_millis(until - now));
                }
                State::Open { .. } => {
                    let probe = self.probes.fetch_add(1, Ordering::Relaxed) & ROW_MAX;
                    if self.swap(word, State::HalfOpen { probe }) {
                        return Passage::Probe(ProbeSlot(Some((self.clone(), probe))));
                    }
                    continue;
                }
                State::HalfOpen { .. } => return Passage::Refused(Duration::ZERO),
            };
            if self.swap(word, next) {
                return passage;
            }
        }
    }

    /// Whether a request that asks now would get passage.
    pub(crate) fn lets_pass(&self, sent: Sent) -> bool {
        match State::unpack(self.word.load(Ordering::Acquire)) {
            State::Closed | State::Suspect { .. } => true,
            State::Open {
                until,
                only_uploads,
            } => !refuses(until, only_uploads, sent, self.millis()),
            State::HalfOpen { .. } => false,
        }
    }

    /// Whether the breaker is closed, and the last exchange was a success.
    pub(crate) fn is_closed(&self) -> bool {
        State::unpack(self.word.load(Ordering::Acquire)) == State::Closed
    }

    /// Notes that a request failed to connect, lost its connection or got no answer in time. It says
    /// nothing about an endpoint that is open or half-open: the request was sent before.
    pub(crate) fn connection_failed(&self, settings: BreakerSettings) -> Change {
        loop {
            let word = self.word.load(Ordering::Acquire);
            let row = match State::unpack(word) {
                State::Closed => 0,
                State::Suspect { row, .. } => row,
                State::Open { .. } | State::HalfOpen { .. } => return Change::None,
            };
            let row = (row + 1).min(ROW_MAX);
            let opens = settings.failures > 0 && row >= settings.failures.into();
            let (next, change) = match opens {
                true => (self.opens(settings.open, false), Change::Opened),
                false => {
                    let since = self.millis();
                    (State::Suspect { row, since }, Change::None)
                }
            };
            if self.swap(word, next) {
                return change;
            }
        }
    }

    /// Notes an answer that counts as a failure of the endpoint.
    pub(crate) fn answer_failed(&self) {
        let since = self.millis();
        self.answered(State::Suspect { row: 0, since });
    }

    /// Notes a good answer.
    pub(crate) fn succeeded(&self) -> Change {
        // Nearly always. This only reads, so that workers don't compete for the cache line.
        if self.word.load(Ordering::Relaxed) == State::Closed.pack() {
            return Change::None;
        }
        self.answered(State::Closed)
    }

    fn answered(&self, next: State) -> Change {
        loop {
            let word = self.word.load(Ordering::Acquire);
            let change = match State::unpack(word) {
                State::Closed => Change::None,
                State::Suspect { .. } => Change::Cleared,
                State::Open { .. } | State::HalfOpen { .. } => return Change::None,
            };
            if self.swap(word, next) {
                return change;
            }
        }
    }

    /// Notes the answer to a request that had the place of a half-open breaker and gave it up. It was sent
    /// after the breaker opened, so the endpoint works again. Returns whether the breaker closes by this.
    pub(crate) fn answered_after_all(&self) -> bool {
        loop {
            let word = self.word.load(Ordering::Acquire);
            match State::unpack(word) {
                State::Closed | State::Suspect { .. } => return false,
                State::Open { .. } | State::HalfOpen { .. } => {}
            }
            if self.swap(word, State::Closed) {
                return true;
            }
        }
    }

    /// Makes the endpoint suspect again if its success couldn't be reported, so that the next one is
    /// reported.
    pub(crate) fn is_not_told(&self) {
        let since = self.millis();
        let next = State::Suspect { row: 0, since };
        self.swap(State::Closed.pack(), next);
    }

    /// The state, for operators.
    pub(crate) fn state(&self) -> BreakerState {
        match State::unpack(self.word.load(Ordering::Relaxed)) {
            State::Closed => BreakerState::Closed,
            State::Suspect { row, .. } => BreakerState::Suspect { failures: row },
            State::Open { until, .. } => BreakerState::Open {
                left_ms: until.saturating_sub(self.millis()),
            },
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Whether requests are refused, or only one may pass.
    pub(crate) fn is_open(&self) -> bool {
        match State::unpack(self.word.load(Ordering::Relaxed)) {
            State::Open { .. } | State::HalfOpen { .. } => true,
            State::Closed | State::Suspect { .. } => false,
        }
    }

    fn opens(&self, open: Duration, only_uploads: bool) -> State {
        let until = (self.millis() + millis(open)).min(MILLIS_MAX);
        State::Open {
            until,
            only_uploads,
        }
    }

    fn swap(&self, word: u64, next: State) -> bool {
        let (before, after) = (Ordering::AcqRel, Ordering::Acquire);
        (self.word)
            .compare_exchange(word, next.pack(), before, after)
            .is_ok()
    }

    fn millis(&self) -> u64 {
        millis(self.origin.elapsed()).min(MILLIS_MAX)
    }
}

/// Whether an open breaker refuses a request of which this much was sent.
fn refuses(until: u64, only_uploads: bool, sent: Sent, now: u64) -> bool {
    now < until && !(only_uploads && sent == Sent::Whole)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The one place in a half-open breaker, with the number of its holder. Dropped without an outcome, it is
/// free for the next request at once. Each way to leave it says whether it was still held: the breaker
/// may have closed meanwhile, see [`Breaker::answered_after_all`].
#[derive(Debug)]
pub(crate) struct ProbeSlot(Option<(Arc<Breaker>, u64)>);

impl ProbeSlot {
    /// The endpoint answered: the breaker closes.
    pub(crate) fn answered(mut self) -> bool {
        self.leave(|_| State::Closed)
    }

    /// The request failed as others did before: the breaker opens again, unless it has been turned off
    /// since.
    pub(crate) fn failed(mut self, settings: BreakerSettings) -> bool {
        self.leave(|breaker| match settings.failures {
            0 => State::Closed,
            _ => breaker.opens(settings.open, false),
        })
    }

    /// The request ends without an outcome, or has been on its way for too long: the next one may pass.
    pub(crate) fn freed(mut self) -> bool {
        self.leave(Self::free)
    }

    /// The request waits for its client: the next one may pass, an upload only after a while.
    pub(crate) fn waits_for_client(mut self) -> bool {
        self.leave(|breaker| breaker.opens(UPLOAD_PROBES, true))
    }

    fn free(breaker: &Breaker) -> State {
        breaker.opens(Duration::ZERO, false)
    }

    fn leave(&mut self, next: impl FnOnce(&Breaker) -> State) -> bool {
        self.0.take().is_some_and(|(breaker, probe)| {
            breaker.swap(State::HalfOpen { probe }.pack(), next(&breaker))
        })
    }
}

impl Drop for ProbeSlot {
    fn drop(&mut self) {
        self.leave(Self::free);
    }
}

#[cfg(test)]
mod tests;
