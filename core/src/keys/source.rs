//! The state machine that keeps one issuer's keys current.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::time::{Mono, Now, Unix};

use super::{Algorithm, FetchFailed, IssuerKeys, KeysRefused};

/// When an issuer's keys are fetched and how long they serve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyTiming {
    /// How long a fetched set counts as fresh. It is fetched again before this ends.
    pub fresh: Duration,
    /// How long a set that couldn't be refreshed goes on serving after that.
    pub stale_max: Duration,
    /// The least time between two fetches that unknown keys force.
    pub cooldown: Duration,
    /// The longest that a request waits for keys.
    pub wait_max: Duration,
    /// The delay after a first failed fetch; it doubles with each further one.
    pub retry_min: Duration,
    /// The longest delay between failed fetches.
    pub retry_max: Duration,
}

/// Why a [`KeySource`] wants to be woken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyWake {
    /// The set is due for its regular refresh, or a failed fetch for its next try.
    Refresh,
    /// The cooldown ends while an unknown key waits for a fetch.
    Cooldown,
}

/// What a [`KeySource`] wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyAction {
    /// Fetch the issuer's key set, then call [`KeySource::handle_fetched`], whatever came of it.
    Fetch {
        /// An unknown key asks for it, not the schedule.
        forced: bool,
    },
    /// Keep this last-known-good document.
    Save {
        /// The document.
        body: Bytes,
        /// When it was fetched.
        fetched_at: Unix,
    },
    /// [`KeySource::view`] has changed: publish it.
    Changed,
    /// Something happened that logs and metrics want to know.
    Notice(KeyNotice),
}

/// What happened to an issuer's keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyNotice {
    /// A good set came.
    Fetched {
        /// How many keys can be used.
        keys: usize,
        /// How many were skipped.
        skipped: usize,
        /// The content differs from what was there.
        changed: bool,
    },
    /// The last-known-good set was taken from disk.
    Restored {
        /// How many keys can be used.
        keys: usize,
        /// How long ago it was fetched.
        age: Duration,
    },
    /// A document came and was refused; the old set stays.
    Refused(KeysRefused),
    /// No document came; the old set stays.
    Failed(FetchFailed),
}

/// Why a kept document is not used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RestoreRefused {
    /// A fetched set is there already.
    NotNeeded,
    /// It is older than a stale set may be, or claims to come from the future.
    Age,
    /// It isn't a good set.
    Keys(KeysRefused),
}

impl fmt::Display for RestoreRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNeeded => f.write_str("a newer set is there already"),
            Self::Age => f.write_str("it is too old, or claims to come from the future"),
            Self::Keys(refused) => refused.fmt(f),
        }
    }
}

impl std::error::Error for RestoreRefused {}

/// Keeps one issuer's keys current.
#[derive(Debug)]
pub struct KeySource {
    view: Arc<IssuerKeys>,
}

impl KeySource {
    /// A source without keys, whose first fetch is due at once.
    pub fn new(algorithms: Vec<Algorithm>, timing: KeyTiming, now: Mono, jitter: u64) -> Self {
        let _ = (algorithms, timing, now, jitter);
        Self {
            view: Arc::default(),
        }
    }

    /// Takes in what came of a fetch.
    pub fn handle_fetched(&mut self, now: Now, result: Result<Bytes, FetchFailed>) {
        let _ = (now, result);
    }

    /// Takes in that a token names a key that the set lacks.
    pub fn handle_unknown_kid(&mut self, now: Mono, kid: Option<&str>) {
        let _ = (now, kid);
    }

    /// Takes in a document that was kept on disk, from before the first good fetch.
    ///
    /// # Errors
    /// [`RestoreRefused`]; nothing has changed then.
    pub fn handle_restored(
        &mut self,
        now: Now,
        body: &[u8],
        fetched_at: Unix,
    ) -> Result<(), RestoreRefused> {
        let _ = (now, body, fetched_at);
        Err(RestoreRefused::NotNeeded)
    }

    /// Does what is due. A call before anything is due does nothing.
    pub fn handle_timeout(&mut self, now: Mono) {
        let _ = now;
    }

    /// When to call [`KeySource::handle_timeout`], and why.
    pub fn poll_timeout(&self) -> Option<(Mono, KeyWake)> {
        None
    }

    /// The next thing to do; call until there is none.
    pub fn poll(&mut self) -> Option<KeyAction> {
        None
    }

    /// What decisions see.
    pub fn view(&self) -> &Arc<IssuerKeys> {
        &self.view
    }
}
