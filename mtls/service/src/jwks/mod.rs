//! The router's published keys, kept current for a service that verifies identity envelopes.
//!
//! [`JwksClient`] runs on the state machine that the router uses for its identity providers
//! ([`KeySource`]). It fetches a set again before the set is too old. An envelope under an unknown key
//! makes it fetch sooner, but at most once per cooldown, however many ids a client invents. A set that
//! can't be used never replaces a good one. The router's `Cache-Control` says how long a set may be
//! kept: the router signs only with keys that it has published for longer than that.

mod task;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use cellway_core::Unix;
use cellway_core::envelope::{KID_LEN_MAX, Verifier};
use cellway_core::keys::{IssuerKeys, KeyNotice, KeySet, KeySource, KeyState, KeyTiming};
use cellway_env::fetch::{BundleError, Client, SourceUrl, UrlError};
use cellway_env::{Clock, Env};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::timeout_at;

use self::task::Task;
use crate::layer::KeyProvider;

/// The most requests that wait for keys at a time. More are verified with the keys that are there.
const WAITERS_MAX: usize = 1024;
/// The most unknown key ids that wait for a fetch. One fetch serves them all.
const WANTED_MAX: usize = 64;

/// When the keys are fetched and how long they are used. Start from the default and set what should
/// differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct JwksTiming {
    /// How long a set is fresh if the router's answer has no `max-age`.
    pub fresh: Duration,
    /// The shortest `max-age` that is followed: it bounds how often the router is asked.
    pub fresh_min: Duration,
    /// The longest `max-age` that is followed: it bounds how long a stolen key is accepted.
    pub fresh_max: Duration,
    /// How long a set is still used after that if it can't be refreshed.
    pub stale_max: Duration,
    /// The shortest time between two fetches for unknown keys.
    pub cooldown: Duration,
    /// The longest that a request waits for keys.
    pub wait_max: Duration,
    /// The delay after the first failed fetch; it doubles with each further failure.
    pub retry_min: Duration,
    /// The longest delay between failed fetches.
    pub retry_max: Duration,
    /// The time limit for a whole fetch of [`JwksClient::connect`].
    pub fetch_max: Duration,
}

/// Why [`JwksClient::connect`] can't start.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum JwksConnectError {
    /// The keys can't be fetched from this address.
    Page {
        /// The address, as it was given.
        page: String,
        /// Which rule it breaks.
        why: UrlError,
    },
    /// The CAs can't be used.
    Bundle(BundleError),
}

impl fmt::Display for JwksConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Page { page, why } => write!(f, "the page of keys {page:?}: {why}"),
            Self::Bundle(why) => write!(f, "the bundle of CAs {why}"),
        }
    }
}

impl std::error::Error for JwksConnectError {}

impl Default for JwksTiming {
    /// Sets are fresh for five minutes, or for the router's `max-age` between ten seconds and an hour.
    /// They are used for a day after that, and 30 s pass between fetches for unknown keys. A fetch
    /// may take 5 s.
    fn default() -> Self {
        Self {
            fresh: Duration::from_secs(5 * 60),
            fresh_min: Duration::from_secs(10),
            fresh_max: Duration::from_secs(60 * 60),
            stale_max: Duration::from_secs(24 * 60 * 60),
            cooldown: Duration::from_secs(30),
            wait_max: Duration::from_secs(2),
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
            fetch_max: Duration::from_secs(5),
        }
    }
}

impl JwksTiming {
    /// How long a set is fresh that came with this `max-age`.
    fn fresh(&self, max_age: Option<Duration>) -> Duration {
        let said = max_age.unwrap_or(self.fresh);
        said.min(self.fresh_max).max(self.fresh_min)
    }

    fn of_source(&self) -> KeyTiming {
        KeyTiming {
            fresh: self.fresh(None),
            stale_max: self.stale_max,
            cooldown: self.cooldown,
            wait_max: self.wait_max,
            retry_min: self.retry_min,
            retry_max: self.retry_max,
        }
    }
}

/// Fetches the public keys of a router's envelopes and keeps them current.
///
/// Clones share one task and one key set. The task ends with the last clone.
#[derive(Clone, Debug)]
pub struct JwksClient<E> {
    published: Arc<Published<E>>,
    wanted: mpsc::Sender<Box<str>>,
}

/// The key set that the task publishes and requests read.
#[derive(Debug)]
struct Published<E> {
    clock: Clock<E>,
    view: ArcSwap<IssuerKeys>,
    changed: Notify,
    waiters: Semaphore,
}

impl<E: Env> JwksClient<E> {
    /// Starts a task that fetches the keys at the address `page` over TLS. It trusts the CAs of
    /// `bundle_pem`, or without one those that the system trusts. `http` is allowed on this machine
    /// only. The task calls `notices` after every fetch; log failures there.
    ///
    /// It doesn't wait for the first fetch; [`ready`](Self::ready) does.
    ///
    /// # Errors
    /// The address or the bundle can't be used.
    pub async fn connect(
        env: E,
        page: &str,
        bundle_pem: Option<&[u8]>,
        timing: JwksTiming,
        notices: impl Fn(&KeyNotice) + Send + 'static,
    ) -> Result<Self, JwksConnectError> {
        let url = SourceUrl::parse(page).map_err(|why| JwksConnectError::Page {
            page: page.to_owned(),
            why,
        })?;
        let client = Client::trusting(env, bundle_pem, timing.fetch_max).await;
        let client = client.map_err(JwksConnectError::Bundle)?;
        Ok(Self::start(client, url, timing, notices))
    }

    /// As [`connect`](Self::connect), with a `client` of your own: for a client certificate, a proxy,
    /// or another time limit of fetches.
    pub fn start(
        client: Client<E>,
        url: SourceUrl,
        timing: JwksTiming,
        notices: impl Fn(&KeyNotice) + Send + 'static,
    ) -> Self {
        let env = client.env().clone();
        let clock = Clock::new(env.clone());
        let mut seed = [0; 8];
        env.fill(&mut seed);
        let source = KeySource::new(
            Verifier::ALGORITHMS.to_vec(),
            timing.of_source(),
            clock.mono(),
            u64::from_le_bytes(seed),
        );
        let published = Arc::new(Published {
            clock,
            view: ArcSwap::new(Arc::clone(source.view())),
            changed: Notify::new(),
            waiters: Semaphore::new(WAITERS_MAX),
        });
        let (wanted, orders) = mpsc::channel(WANTED_MAX);
        let task = Task {
            published: Arc::clone(&published),
            source,
            client,
            url,
            timing,
            notices,
            wanted: orders,
            last: None,
        };
        env.spawn(task.run());
        Self { published, wanted }
    }

    /// The state of the key set, for a service's readiness and metrics.
    pub fn state(&self) -> KeyState {
        let published = &self.published;
        published.view.load().state(published.clock.mono())
    }

    /// When the current set was fetched or was found unchanged.
    pub fn fetched_at(&self) -> Option<Unix> {
        self.published.view.load().fetched_at
    }

    /// Waits until there are keys. It has no time limit: put one around it.
    pub async fn ready(&self) {
        self.published.until(|view| view.set.is_some()).await;
    }

    async fn wait(&self, kid: &str) {
        let published = &self.published;
        // No key has a longer id, and there is a limit to how many requests wait.
        if kid.len() > KID_LEN_MAX {
            return;
        }
        let Ok(_waiting) = published.waiters.try_acquire() else {
            return;
        };
        let view = published.view.load_full();
        let until = view.wait_for(published.clock.mono(), kid);
        // The task fetches once the cooldown allows, even if this request can't wait for that.
        let told = self.wanted.try_send(kid.into()).is_ok();
        let (true, Some(until)) = (told, until) else {
            return;
        };
        let newer = published.until(|now| now.epoch > view.epoch);
        // A timeout is no error here: the verifier then runs with the old keys and says what is wrong.
        let _ = timeout_at(published.clock.instant(until), newer).await;
    }
}

impl<E: Env> KeyProvider for JwksClient<E> {
    fn keys(&self) -> Option<Arc<KeySet>> {
        let view = self.published.view.load();
        view.usable(self.published.clock.mono())?;
        view.set.clone()
    }

    fn newer(&self, kid: &str) -> impl Future<Output = ()> + Send {
        self.wait(kid)
    }
}

impl<E: Env> Published<E> {
    /// Waits for a key set for which `holds` returns true.
    async fn until(&self, holds: impl Fn(&IssuerKeys) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if holds(&self.view.load()) {
                return;
            }
            changed.await;
        }
    }
}
