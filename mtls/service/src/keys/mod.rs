//! The router's published keys, kept current for a service that verifies identity envelopes.
//!
//! [`JwksClient`] is to a service what the router's own key sources are to the router, and runs
//! on the same state machine ([`KeySource`]): a set is fetched again before it is too old, an
//! envelope under a key that isn't there yet brings the set sooner (once per cooldown, however many
//! ids somebody makes up), and what can't be used never takes the place of a set that can. How
//! long a set may be kept is the router's to say, by `Cache-Control`: it signs with no key that it
//! has published for less than that.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use cellway_service::EnvelopeLayer;
//! use cellway_core::envelope::{Verifier, VerifierSpec};
//! use cellway_env::Env;
//! use cellway_env::tokio::TokioEnv;
//! use cellway_service::{JwksClient, JwksTiming};
//! use cellway_env::fetch::{Client, SourceUrl};
//!
//! # async fn service(tls: rustls::ClientConfig) -> Result<(), Box<dyn std::error::Error>> {
//! let env = TokioEnv::new();
//! let client = Client::with_tls(env.clone(), Arc::new(tls), Duration::from_secs(5));
//! let url = SourceUrl::parse("https://router.internal/.well-known/cellway/jwks.json")?;
//! let keys = JwksClient::start(client, url, JwksTiming::default(), |notice| {
//!     eprintln!("envelope keys: {notice:?}");
//! });
//! let verifier = Verifier::new(VerifierSpec::new("eu-1"))?;
//! let layer = EnvelopeLayer::new(verifier, keys, move || env.unix_now());
//! # let _: EnvelopeLayer<_, _> = layer;
//! # Ok(())
//! # }
//! ```
//!
//! The example `backend` is a whole service.

mod task;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cellway_core::Unix;
use cellway_core::envelope::{KID_LEN_MAX, Verifier};
use cellway_core::keys::{IssuerKeys, KeyNotice, KeySet, KeySource, KeyState, KeyTiming};
use cellway_env::fetch::{Client, SourceUrl};
use cellway_env::{Clock, Env};

use crate::layer::KeyProvider;
use arc_swap::ArcSwap;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::timeout_at;

use self::task::Task;

/// Most requests that wait for keys at a time. More are judged by what is there.
const WAITERS_MAX: usize = 1024;
/// Most ids of keys that wait to be looked for. A fetch brings them all.
const WANTED_MAX: usize = 64;

/// When the keys are fetched and how long they serve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JwksTiming {
    /// How long a set counts as fresh if the router's answer doesn't say.
    pub fresh: Duration,
    /// The least that an answer can say: a bound on how often the router is asked.
    pub fresh_min: Duration,
    /// The most that an answer can say: a bound on how long a stolen key holds.
    pub fresh_max: Duration,
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

impl Default for JwksTiming {
    /// Five minutes where the router says nothing, ten seconds to an hour where it does, a day on
    /// what is known, half a minute between forced fetches.
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
        }
    }
}

impl JwksTiming {
    /// How long a set counts as fresh of which the router says this.
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

/// The keys that a router publishes for its envelopes, as its page had them last.
///
/// Clones are the same client; it stops with the last of them.
#[derive(Clone, Debug)]
pub struct JwksClient<E> {
    shared: Arc<Shared<E>>,
    wanted: mpsc::Sender<Box<str>>,
}

/// Between the task, which publishes, and the requests, which read.
#[derive(Debug)]
struct Shared<E> {
    clock: Clock<E>,
    view: ArcSwap<IssuerKeys>,
    published: Notify,
    waiters: Semaphore,
}

impl<E: Env> JwksClient<E> {
    /// Fetches the keys at this address, as `client` connects, now and from now on. `notices`
    /// hears of every fetch; it is where failures are logged.
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
        let shared = Arc::new(Shared {
            clock,
            view: ArcSwap::new(Arc::clone(source.view())),
            published: Notify::new(),
            waiters: Semaphore::new(WAITERS_MAX),
        });
        let (wanted, orders) = mpsc::channel(WANTED_MAX);
        let task = Task {
            shared: Arc::clone(&shared),
            source,
            client,
            url,
            timing,
            notices,
            wanted: orders,
            kept: None,
        };
        env.spawn(task.run());
        Self { shared, wanted }
    }

    /// How well envelopes can be verified: for a service's readiness and metrics.
    pub fn state(&self) -> KeyState {
        self.shared.view.load().state(self.shared.clock.mono())
    }

    /// When the present set was fetched, or found unchanged.
    pub fn fetched_at(&self) -> Option<Unix> {
        self.shared.view.load().fetched_at
    }

    /// Waits until there are keys. As long as it takes: put a time limit around it.
    pub async fn ready(&self) {
        self.shared.until(|view| view.set.is_some()).await;
    }

    async fn wait(&self, kid: &str) {
        let shared = &self.shared;
        // Beyond that no key can be called so, and beyond the other the router has enough to do.
        let (true, Ok(_waiting)) = (kid.len() <= KID_LEN_MAX, shared.waiters.try_acquire()) else {
            return;
        };
        let view = shared.view.load_full();
        let until = view.wait_for(shared.clock.mono(), kid);
        // It is looked for once the cooldown allows, even if this request can't wait for that.
        let told = self.wanted.try_send(kid.into()).is_ok();
        let (true, Some(until)) = (told, until) else {
            return;
        };
        let newer = shared.until(|now| now.epoch > view.epoch);
        // Too late isn't an error here: the verifier, asked again, says what that means.
        let _ = timeout_at(shared.clock.instant(until), newer).await;
    }
}

impl<E: Env> KeyProvider for JwksClient<E> {
    fn keys(&self) -> Option<Arc<KeySet>> {
        let view = self.shared.view.load();
        view.usable(self.shared.clock.mono())?;
        view.set.clone()
    }

    fn newer(&self, kid: &str) -> impl Future<Output = ()> + Send {
        self.wait(kid)
    }
}

impl<E: Env> Shared<E> {
    /// Waits for a view of which `holds`.
    async fn until(&self, holds: impl Fn(&IssuerKeys) -> bool) {
        loop {
            let mut published = std::pin::pin!(self.published.notified());
            published.as_mut().enable();
            if holds(&self.view.load()) {
                return;
            }
            published.await;
        }
    }
}
