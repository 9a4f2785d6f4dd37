//! A whole router: start it, reload it, drain it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::time_provider::TimeProvider;

use crate::env::Env;
use crate::event::Sink;
use crate::settings::RouterSettings;
use crate::shared::Shared;
use crate::worker::Worker;

/// The way to start a router.
#[derive(Debug)]
pub struct Router;

impl Router {
    /// A router in this environment, told so much, using this cryptography and this clock for
    /// certificates, and telling `sink` what happens.
    pub fn builder<E: Env, S: Sink>(
        env: E,
        settings: RouterSettings,
        provider: Arc<CryptoProvider>,
        time: Arc<dyn TimeProvider>,
        sink: S,
    ) -> RouterBuilder<E, S> {
        RouterBuilder {
            env,
            settings,
            provider,
            time,
            sink,
            workers: 1,
        }
    }
}

/// A router about to start.
#[derive(Debug)]
pub struct RouterBuilder<E, S> {
    env: E,
    settings: RouterSettings,
    provider: Arc<CryptoProvider>,
    time: Arc<dyn TimeProvider>,
    sink: S,
    workers: usize,
}

impl<E: Env, S: Sink> RouterBuilder<E, S> {
    /// Runs so many workers; 1 unless told.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// Starts the router, all of it on the present runtime, and returns once it listens.
    ///
    /// Listening isn't ready: requests are answered 503 until keys and a registry are there. See
    /// [`Handle::ready`].
    ///
    /// # Errors
    /// A certificate, key or bundle can't be read or used, or an address can't be bound.
    pub async fn start(self) -> Result<Handle<E, S>, StartError> {
        let env = self.env.clone();
        self.start_on(move |worker| {
            env.spawn(async move {
                let _ = worker.run().await;
            })
        })
        .await
    }

    /// Starts the router, its control task on the present runtime and each worker where `place`
    /// puts it: the binary gives each a thread with a runtime of its own.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_on(
        self,
        _place: impl FnMut(Worker<E, S>),
    ) -> Result<Handle<E, S>, StartError> {
        todo!()
    }
}

/// A running router. Clones are the same router.
#[derive(Clone, Debug)]
pub struct Handle<E, S> {
    _env: E,
    _sink: S,
    shared: Arc<Shared>,
}

impl<E: Env, S: Sink> Handle<E, S> {
    /// Listeners' names with the addresses they are bound to, in the order of the settings.
    pub fn addresses(&self) -> &[(Arc<str>, SocketAddr)] {
        todo!()
    }

    /// What the control task publishes to.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Waits until a registry is loaded and some credential can be verified.
    pub async fn ready(&self) {
        todo!()
    }

    /// Reads certificates, keys and bundles again, and puts them in force if all are good.
    /// Connections that stand go on, and no request is dropped.
    ///
    /// # Errors
    /// What is wrong with them; the old are still in force.
    pub async fn reload(&self) -> Result<(), ReloadError> {
        todo!()
    }

    /// As [`reload`](Self::reload), with new settings. Addresses can't change while a router runs.
    ///
    /// # Errors
    /// What is wrong with them; the old are still in force.
    pub async fn apply(&self, _settings: RouterSettings) -> Result<(), ReloadError> {
        todo!()
    }

    /// Takes no new connections, lets requests in flight finish, and cuts what is left after
    /// `deadline`. Returns when no connection is left.
    pub async fn drain(&self, _deadline: Duration) -> Drained {
        todo!()
    }

    /// Whether [`drain`](Self::drain) was called.
    pub fn is_draining(&self) -> bool {
        todo!()
    }
}

/// How a drain ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Drained {
    /// Connections that were cut at the deadline.
    pub abandoned: usize,
}

/// Why a router can't start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// An address can't be bound.
    Bind {
        /// The listener's name.
        listener: Arc<str>,
        /// Where.
        address: SocketAddr,
        /// The system's error.
        error: std::io::Error,
    },
    /// A certificate, key or bundle can't be used.
    Tls(ReloadError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind {
                listener,
                address,
                error,
            } => write!(f, "listener {listener}: can't bind {address}: {error}"),
            Self::Tls(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

/// Why certificates, keys, bundles or new settings can't be put in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReloadError {
    /// The setting's path, such as `listener.public.tls.certificate`.
    pub setting: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.problem)
    }
}

impl std::error::Error for ReloadError {}
