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
//! Tenants share the breaker, and one of them must not open it for the others. So failed exchanges of a
//! single holder don't open it while the endpoint [answers others](heard). A failed attempt to connect is
//! nobody's. And a holder that has failed with an open breaker lets others [go first](precedence).
//!
//! While the breaker is closed, the endpoint may be *suspect*: its last exchange failed. Requests
//! prefer other endpoints then, and one request in a while tries it.
//!
//! The whole state is one word that is changed by compare-and-swap, so that no worker waits for
//! another. What is noted besides it is advice: if two workers note something at once, a note may be lost.

mod heard;
mod precedence;
mod state;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use self::heard::Heard;
use self::precedence::Precedence;
use self::state::{MILLIS_MAX, ROW_MAX, State};
use crate::observe::debug::BreakerState;
use crate::settings::BreakerSettings;
use crate::shares::HolderTag;

/// How long a suspect endpoint is avoided before another request tries it, if the cell has others.
pub(super) const SUSPECT: Duration = Duration::from_secs(5);

/// How long a request may wait for its client's body while it holds the place in a half-open breaker;
/// and for how long the next place isn't for such a request.
pub(crate) const UPLOAD_PROBES: Duration = Duration::from_millis(100);

/// For how long an answer to another holder shows that the endpoint works. The time begins when the answered
/// request came.
pub const BREAKER_HEARD: Duration = Duration::from_secs(30);

/// One endpoint's breaker.
#[derive(Debug)]
pub(crate) struct Breaker {
    /// A [`State`], packed.
    word: AtomicU64,
    /// How many requests have had the place of a half-open breaker. It may wrap.
    probes: AtomicU64,
    heard: Heard,
    precedence: Precedence,
    /// Times in the word are milliseconds since then.
    origin: Instant,
}

/// How much of its body a client has sent when its request asks for passage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sent {
    /// All of it.
    Whole,
    /// The router may have to wait for the rest.
    Part,
}

/// A request that asks for passage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) sent: Sent,
    pub(crate) holder: HolderTag,
}

/// What has failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Failed {
    /// An attempt to connect. It is nobody's.
    Connection,
    /// An exchange of this holder.
    Exchange(HolderTag),
}

impl Failed {
    fn holder(self) -> HolderTag {
        match self {
            Self::Connection => HolderTag::NOBODY,
            Self::Exchange(holder) => holder,
        }
    }
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
            heard: Heard::default(),
            precedence: Precedence::default(),
            origin: Instant::now(),
        }
    }
}

impl Breaker {
    /// Asks for passage. A request that gets [`Passage::Probe`] should be sent.
    pub(crate) fn pass(self: &Arc<Self>, asker: Asker) -> Passage {
        let holder = asker.holder;
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
                State::Suspect { row, by, .. } => {
                    let tried = State::Suspect {
                        row,
                        by,
                        since: now,
                    };
                    (tried, Passage::Free)
                }
                State::Open {
                    until,
                    only_uploads,
                } => {
                    if let Some(after) = self.refuses((until, only_uploads), asker, now) {
                        self.precedence.refused(holder);
                        return Passage::Refused(after);
                    }
                    let probe = self.probes.fetch_add(1, Ordering::Relaxed) & ROW_MAX;
                    if self.swap(word, State::HalfOpen { probe }) {
                        self.precedence.probes(holder);
                        return Passage::Probe(ProbeSlot(Some((self.clone(), probe, holder))));
                    }
                    continue;
                }
                State::HalfOpen { .. } => {
                    self.precedence.refused(holder);
                    return Passage::Refused(Duration::ZERO);
                }
            };
            if self.swap(word, next) {
                return passage;
            }
        }
    }

    /// Whether a request that asks now would get passage.
    pub(crate) fn lets_pass(&self, asker: Asker) -> bool {
        match State::unpack(self.word.load(Ordering::Acquire)) {
            State::Closed | State::Suspect { .. } => true,
            State::Open {
                until,
                only_uploads,
            } => (self.refuses((until, only_uploads), asker, self.millis())).is_none(),
            State::HalfOpen { .. } => false,
        }
    }

    /// Whether the breaker is closed, and the last exchange was a success.
    pub(crate) fn is_closed(&self) -> bool {
        State::unpack(self.word.load(Ordering::Acquire)) == State::Closed
    }

    /// Notes that a request failed to connect, lost its connection or got no answer in time. It says
    /// nothing about an endpoint that is open or half-open: the request was sent before.
    pub(crate) fn connection_failed(&self, settings: BreakerSettings, what: Failed) -> Change {
        loop {
            let word = self.word.load(Ordering::Acquire);
            let (row, by) = match State::unpack(word) {
                State::Suspect { row, by, .. } if row > 0 => (row, by),
                State::Closed | State::Suspect { .. } => (0, what.holder()),
                State::Open { .. } | State::HalfOpen { .. } => return Change::None,
            };
            let by = match by == what.holder() {
                true => by,
                false => HolderTag::NOBODY,
            };
            let (row, now) = ((row + 1).min(ROW_MAX), self.millis());
            let opens = settings.failures > 0
                && row >= settings.failures.into()
                && !self.answers_others(by, now);
            let (next, change) = match opens {
                true => (self.opens(settings.open, false), Change::Opened),
                false => (
                    State::Suspect {
                        row,
                        by,
                        since: now,
                    },
                    Change::None,
                ),
            };
            if self.swap(word, next) {
                if opens {
                    self.precedence.opened((by, false), now, settings.open);
                }
                return change;
            }
        }
    }

    /// Whether the endpoint has lately answered another holder than this one, whose exchanges fail.
    fn answers_others(&self, holder: HolderTag, now: u64) -> bool {
        let since = now.saturating_sub(millis(BREAKER_HEARD));
        holder != HolderTag::NOBODY && self.heard.another_since(holder, since)
    }

    /// Notes that the endpoint has answered a request of this holder, whatever it said. The request came at
    /// `began`.
    ///
    /// Nearly always this only reads, so that workers don't compete for the cache line.
    pub(crate) fn heard(&self, holder: HolderTag, began: Instant) {
        let began = began.saturating_duration_since(self.origin);
        self.heard.note(holder, millis(began).min(MILLIS_MAX));
    }

    /// Notes an answer that counts as a failure of the endpoint.
    pub(crate) fn answer_failed(&self) {
        let since = self.millis();
        self.answered(State::failed_once(since));
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
        self.swap(State::Closed.pack(), State::failed_once(since));
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

    /// After how long this request may ask again at a breaker that is open so. `None`: it may pass.
    fn refuses(
        &self,
        (until, only_uploads): (u64, bool),
        asker: Asker,
        now: u64,
    ) -> Option<Duration> {
        let rests = now < until && !(only_uploads && asker.sent == Sent::Whole);
        let until = match rests {
            true => Some(until),
            false => self.precedence.holds_back(asker.holder, now),
        };
        until.map(|until| Duration::from_millis(until - now))
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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The one place in a half-open breaker, with its number and its holder. Dropped without an outcome, it is
/// free for the next request at once. Each way to leave it says whether it was still held: the breaker
/// may have closed meanwhile, see [`Breaker::answered_after_all`].
#[derive(Debug)]
pub(crate) struct ProbeSlot(Option<(Arc<Breaker>, u64, HolderTag)>);

impl ProbeSlot {
    /// The endpoint answered: the breaker closes.
    pub(crate) fn answered(mut self) -> bool {
        self.leave(|_, _| State::Closed)
    }

    /// The request failed as others did before: the breaker opens again, unless it has been turned off
    /// since.
    pub(crate) fn failed(mut self, settings: BreakerSettings, what: Failed) -> bool {
        self.leave(|breaker, _| match settings.failures {
            0 => State::Closed,
            _ => {
                let holder = what.holder();
                let others = breaker.precedence.others_wait(holder);
                let now = breaker.millis();
                (breaker.precedence).opened((holder, others), now, settings.open);
                breaker.opens(settings.open, false)
            }
        })
    }

    /// The request ends without an outcome, or has been on its way for too long: the next one may pass.
    pub(crate) fn freed(mut self) -> bool {
        self.leave(Self::free)
    }

    /// The request waits for its client: the next one may pass, an upload only after a while.
    pub(crate) fn waits_for_client(mut self) -> bool {
        self.leave(|breaker, holder| {
            breaker.precedence.freed(holder, breaker.millis());
            breaker.opens(UPLOAD_PROBES, true)
        })
    }

    fn free(breaker: &Breaker, holder: HolderTag) -> State {
        breaker.precedence.freed(holder, breaker.millis());
        breaker.opens(Duration::ZERO, false)
    }

    fn leave(&mut self, next: impl FnOnce(&Breaker, HolderTag) -> State) -> bool {
        self.0.take().is_some_and(|(breaker, probe, holder)| {
            let next = next(&breaker, holder);
            breaker.swap(State::HalfOpen { probe }.pack(), next)
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
