//! Limits lines that would repeat as long as something is broken.
//!
//! A cell that is down fails thousands of requests a second, each for the same reason. The first
//! failure is written at once. Failures like it are counted for a while, and the next line carries
//! their number. Denials (`authz_deny`) and answers to bad requests are never left out.
//!
//! The table has a fixed size and no lock: workers only count in it. If two workers race, there may
//! be one line too many, but never one too few.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use cellway_core::control::Notice;
use cellway_core::keys::KeyNotice;
use cellway_core::registry::RegistryNotice;
use cellway_core::{Class, Mono};

use crate::observe::event::{Event, ExplainAnswer, Responded, SealOutcome, SpanOutcome};

/// The shortest time between similar lines that requests or connections cause.
const REQUESTS_INTERVAL: Duration = Duration::from_secs(10);
/// The shortest time between similar lines that sources cause. Sources are fetched every few
/// seconds.
const SOURCES_INTERVAL: Duration = Duration::from_secs(300);

/// How many different lines the table keeps apart, and in how many slots it looks for each.
const SLOTS: usize = 512;
const PLACES: usize = 8;

/// Counts repeated lines.
#[derive(Debug)]
pub(super) struct Repeats {
    slots: Box<[Slot]>,
    /// For lines that found no slot, by kind.
    others: [Slot; Kind::COUNT],
    /// How often settings were reloaded.
    reloads: AtomicU64,
}

#[derive(Debug, Default)]
struct Slot {
    /// The hash of the lines; 0 if the slot is free.
    key: AtomicU64,
    /// When the next one may be written, in milliseconds of the timer's clock.
    until: AtomicU64,
    left_out: AtomicU64,
}

/// The kinds of lines that repeat.
#[derive(Clone, Copy, Debug, Hash)]
enum Kind {
    Cell,
    Answer,
    Retry,
    Failover,
    Envelope,
    Listener,
    Tls,
    Source,
}

impl Kind {
    const COUNT: usize = 8;

    const fn interval(self) -> Duration {
        match self {
            Self::Cell
            | Self::Answer
            | Self::Retry
            | Self::Failover
            | Self::Envelope
            | Self::Listener
            | Self::Tls => REQUESTS_INTERVAL,
            Self::Source => SOURCES_INTERVAL,
        }
    }
}

impl Repeats {
    pub(super) fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Slot::default()).collect(),
            others: Default::default(),
            reloads: AtomicU64::new(0),
        }
    }

    /// Returns how many similar lines were left out before this one, or `None` if this one is left
    /// out too.
    pub(super) fn count(&self, now: Mono, event: &Event<'_>) -> Option<u64> {
        if matches!(event, Event::Reloaded { .. } | Event::ReloadRefused { .. }) {
            self.reloads.fetch_add(1, Relaxed);
        }
        let Some((kind, key)) = key(event) else {
            return Some(0);
        };
        let key = match kind {
            // Whoever reloads wants to know whether a source is still wrong.
            Kind::Source => hash((key, self.reloads.load(Relaxed))).max(1),
            Kind::Cell
            | Kind::Answer
            | Kind::Retry
            | Kind::Failover
            | Kind::Envelope
            | Kind::Listener
            | Kind::Tls => key,
        };
        let now = millis(now.since_origin());
        let until = now + millis(kind.interval());
        self.slot(kind, key, now).count(now, until)
    }

    /// The slot of these lines, a free slot, or the shared one of their kind if there is neither.
    fn slot(&self, kind: Kind, key: u64, now: u64) -> &Slot {
        let places = || {
            let first = usize::try_from(key).unwrap_or_default() % SLOTS;
            (first..first + PLACES).map(|place| &self.slots[place % SLOTS])
        };
        if let Some(own) = places().find(|slot| slot.key.load(Relaxed) == key) {
            return own;
        }
        let claim = |slot: &&Slot| {
            let before = slot.key.load(Relaxed);
            let free = before == 0 || slot.until.load(Relaxed) <= now;
            let claim = || slot.key.compare_exchange(before, key, Relaxed, Relaxed);
            free && claim().is_ok()
        };
        match places().find(claim) {
            Some(slot) => {
                slot.left_out.store(0, Relaxed);
                slot
            }
            None => &self.others[kind as usize],
        }
    }
}

impl Slot {
    fn count(&self, now: u64, until: u64) -> Option<u64> {
        let before = self.until.load(Relaxed);
        let due = before <= now;
        let write = || self.until.compare_exchange(before, until, Relaxed, Relaxed);
        if due && write().is_ok() {
            return Some(self.left_out.swap(0, Relaxed));
        }
        self.left_out.fetch_add(1, Relaxed);
        None
    }
}

/// The key that similar lines share. `None` if every line is written. A source's error text is part
/// of the key, so that a new error is written at once.
#[expect(clippy::wildcard_enum_match_arm, reason = "few events repeat")]
fn key(event: &Event<'_>) -> Option<(Kind, u64)> {
    let (kind, hash) = match event {
        Event::CellFailed {
            endpoint, reason, ..
        } => (Kind::Cell, hash((endpoint, *reason as usize))),
        Event::Responded(Responded {
            listener,
            reason: Some(reason),
            cell,
            ..
        }) if is_outage(reason.class()) => (Kind::Answer, hash((listener, *reason as usize, cell))),
        Event::CellRetry {
            cell,
            granted: false,
            ..
        } => (Kind::Retry, hash(cell)),
        Event::FailedOver {
            from, cell, reason, ..
        } => (Kind::Failover, hash((from, cell, *reason as usize))),
        Event::Envelope { outcome, cell, .. } if *outcome != SealOutcome::Sealed => {
            (Kind::Envelope, hash((cell, *outcome as usize)))
        }
        Event::ExplainAsked {
            listener, answer, ..
        } if *answer != ExplainAnswer::Given => (Kind::Listener, hash((listener, answer))),
        Event::AcceptFailed { listener, .. } => (Kind::Listener, hash((listener, "accept"))),
        Event::AdminDenied { .. } => (Kind::Listener, hash("admin")),
        Event::ConnectionRefused { listener, .. } => (Kind::Listener, hash((listener, "refuse"))),
        Event::TlsRefused {
            listener, reason, ..
        } => (Kind::Tls, hash((listener, *reason as usize))),
        Event::Spans { outcome, .. } if *outcome != SpanOutcome::Sent => {
            (Kind::Source, hash(("spans", outcome)))
        }
        Event::SourceFailed { error, .. } => (Kind::Source, hash(error.to_string())),
        Event::Notice { notice, .. } => (Kind::Source, of_notice(notice)?),
        _ => return None,
    };
    // 0 means a free slot.
    Some((kind, hash.max(1)))
}

/// Whether a reason of this class likely affects all requests, because something behind the router
/// is down or full. Otherwise one client made a mistake.
fn is_outage(class: Class) -> bool {
    match class {
        Class::Unavailable | Class::TooManyRequests | Class::BadGateway | Class::GatewayTimeout => {
            true
        }
        Class::Allow
        | Class::Unauthenticated
        | Class::Forbidden
        | Class::BadRequest
        | Class::HeadersTooLarge
        | Class::BodyTooLarge
        | Class::NotImplemented
        | Class::RequestTimeout => false,
    }
}

fn of_notice(notice: &Notice) -> Option<u64> {
    match notice {
        Notice::Keys { issuer, notice } => match notice {
            KeyNotice::Refused(refused) => Some(hash((issuer, refused.to_string()))),
            KeyNotice::Failed(failure) => Some(hash((issuer, format!("{failure:?}")))),
            KeyNotice::Fetched { .. } | KeyNotice::Restored { .. } => None,
        },
        Notice::Registry(RegistryNotice::Refused(refused)) => {
            Some(hash((refused.reason as usize, &refused.detail)))
        }
        Notice::Registry(RegistryNotice::FetchFailed { failure, .. }) => {
            Some(hash((failure.problem.as_str(), &failure.detail)))
        }
        Notice::Registry(_) | Notice::CellKeysRefused { .. } | Notice::Health(_) => None,
    }
}

/// The hash needs no secret key: it covers names of cells and reasons, which clients don't choose.
fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
