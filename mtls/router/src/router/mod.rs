//! A whole router: start it, reload it, drain it.

mod handle;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cellway_env::tokio::TokioEnv;
use cellway_env::{Clock, Env};
use rustls::crypto::CryptoProvider;
use rustls::time_provider::TimeProvider;

pub use self::handle::{Drained, Handle};
use crate::aging;
use crate::config::{Config, ConfigErrors};
use crate::control_plane::apply::{Applier, FILE};
use crate::control_plane::check::{self, Occasion, Usable, examine};
use crate::control_plane::driver::{Driver, Driving};
use crate::control_plane::exporter::Exporter;
use crate::data_plane::opening::{self, Opening, Opens};
use crate::data_plane::router_state::RouterState;
use crate::data_plane::sockets::Sockets;
use crate::data_plane::worker::Worker;
use crate::error::StartError;
use crate::observe::Reporter;
use crate::observe::event::Sink;
use crate::observe::spans::Spans;
use crate::settings::{DrainTimes, OPEN_WAIT_DEFAULT, RouterSettings};
use crate::tls::Provider;

/// Starts routers.
#[derive(Debug)]
pub struct Router;

impl Router {
    /// Creates a router on this machine from the text of a `cellway.toml` and a registry in JSON.
    /// The registry replaces the source in `[registry]`, which may be missing. Events go
    /// nowhere unless [`sink`](RouterBuilder::sink) sets a sink.
    ///
    /// ```no_run
    /// # async fn start(config: &str, registry: String) -> Result<(), Box<dyn std::error::Error>> {
    /// let router = cellway_router::Router::from_text(config, registry)?.start().await?;
    /// router.ready().await;
    /// println!("{:?}", router.addresses());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Relative paths in the configuration start in the working directory of the process.
    ///
    /// # Errors
    /// Every mistake of the configuration. Mistakes of the registry are errors of
    /// [`start`](RouterBuilder::start).
    pub fn from_text(
        config: &str,
        registry: impl Into<Bytes>,
    ) -> Result<RouterBuilder<TokioEnv, ()>, ConfigErrors> {
        let file = "the configuration";
        let settings = Config::with_registry(file, config, registry.into())?.router;
        let Provider { crypto, time } = Provider::default();
        Ok(Self::builder(TokioEnv::new(), settings, crypto, time, ()))
    }

    /// Creates a router from an environment, settings, a crypto provider, a clock for certificates,
    /// and a sink for events.
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
            provider: Provider {
                crypto: provider,
                time,
            },
            sink,
            workers: 1,
            share_addresses: false,
            opens: Opens::WithRegistry(OPEN_WAIT_DEFAULT),
            sockets: Vec::new(),
        }
    }
}

/// A router about to start.
#[derive(Debug)]
pub struct RouterBuilder<E, S> {
    env: E,
    settings: RouterSettings,
    provider: Provider,
    sink: S,
    workers: usize,
    share_addresses: bool,
    opens: Opens,
    sockets: Vec<(Arc<str>, OwnedFd)>,
}

impl<E: Env, S: Sink> RouterBuilder<E, S> {
    /// Reports events to this sink.
    #[must_use]
    pub fn sink<T: Sink>(self, sink: T) -> RouterBuilder<E, T> {
        RouterBuilder {
            env: self.env,
            settings: self.settings,
            provider: self.provider,
            sink,
            workers: self.workers,
            share_addresses: self.share_addresses,
            opens: self.opens,
            sockets: self.sockets,
        }
    }

    /// Sets the number of workers. The default is 1.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// Lets other processes listen on the same addresses if they also set this, for a hand-over
    /// from one router to the next. By default an address belongs to one router.
    #[must_use]
    pub fn share_addresses(mut self, share: bool) -> Self {
        self.share_addresses = share;
        self
    }

    /// Sets how long the listeners wait for the first registry before they open without one. The
    /// default is 30 s.
    #[must_use]
    pub fn open_wait(mut self, wait: Duration) -> Self {
        self.opens = Opens::WithRegistry(wait);
        self
    }

    /// Listens on these sockets, each with the name of its listener, and binds no address for these
    /// listeners. The sockets come from another process, such as systemd; see
    /// [`Handle::sockets`]. All workers serve them.
    #[must_use]
    pub fn sockets(mut self, sockets: Vec<(Arc<str>, OwnedFd)>) -> Self {
        self.sockets = sockets;
        self
    }

    /// Opens the listeners only when [`Handle::open`] is called, because another process serves the
    /// same sockets until then. Start it with [`start_on`](Self::start_on), because
    /// [`start`](Self::start) returns when the listeners are open.
    #[must_use]
    pub fn takes_over(mut self) -> Self {
        self.opens = Opens::WhenTold;
        self
    }

    /// Starts the whole router on the current runtime. Returns when it listens: when a registry is
    /// loaded, or after [`open_wait`](Self::open_wait).
    ///
    /// A router that listens may not be ready yet: it may answer requests with 503 until it has
    /// keys. See [`Handle::ready`].
    ///
    /// # Errors
    /// The registry that [`Router::from_text`] was given has mistakes; a certificate, key or bundle
    /// can't be read or used; or an address can't be bound.
    pub async fn start(self) -> Result<Handle<E, S>, StartError> {
        let env = self.env.clone();
        let handle = self
            .start_on(move |worker| {
                env.spawn(worker.run());
            })
            .await?;
        match handle.opened().await {
            Ok(()) => Ok(handle),
            Err(error) => {
                handle.drain(Duration::ZERO).await;
                Err(error)
            }
        }
    }

    /// Starts the router with its control task on the current runtime and each worker where `place`
    /// puts it. The binary gives each worker its own thread and runtime. `place` must run
    /// [`Worker::run`]. Returns when the addresses are bound. [`Handle::opened`] waits until the
    /// router listens on them.
    ///
    /// # Errors
    /// As [`start`](Self::start). Workers that were already placed stop by themselves.
    pub async fn start_on(
        self,
        place: impl FnMut(Worker<E, S>),
    ) -> Result<Handle<E, S>, StartError> {
        let (env, sink, settings) = (self.env, self.sink, self.settings);
        let clock = Clock::new(env.clone());
        let now = clock.now();
        let mut examined = examine(&env, &self.provider, &settings, now, None).await;
        let registry = check::registry(&env, &settings, Occasion::Start, &mut examined.findings);
        let found = registry.await;
        let registry = found.registry.as_deref();
        examined.fit(&env, registry, FILE, now).await;
        let Usable {
            active: config,
            fetch,
            keys,
            warnings,
        } = examined.usable().map_err(StartError::Settings)?;
        let Driving {
            mut driver,
            views,
            commands,
            client,
            refusals,
        } = Driver::new(
            env.clone(),
            clock.clone(),
            sink.clone(),
            Arc::new(config),
            fetch,
        );
        driver.begin_with(keys, found.into_checked());
        let opening = Opening::new(self.workers, self.share_addresses, self.opens);
        let sockets = Sockets::new(self.sockets);
        let (spans, waiting) = Spans::new();
        let spans = Arc::new(spans);
        let listeners = settings.listeners.len();
        let state = RouterState::new(views, opening, listeners, sockets, Arc::clone(&spans));
        let placed = place_workers(self.workers, &env, &clock, &sink, &state, place);
        if let Err(error) = placed.await {
            state.close_listeners(DrainTimes::from(Duration::ZERO));
            state.drain.stop();
            return Err(error);
        }
        let reporter = Reporter::new(clock, sink);
        let applier = Applier::new(
            env.clone(),
            self.provider,
            state.views.clone(),
            reporter.clone(),
            (commands.clone(), refusals),
        );
        applier.warn(&warnings);
        env.spawn(driver.run());
        let exporter = Exporter {
            client,
            views: state.views.clone(),
            reporter: reporter.clone(),
            spans,
            waiting,
        };
        env.spawn(exporter.run());
        env.spawn({
            let (state, reporter) = (state.clone(), reporter.clone());
            async move { opening::allow_in_time(&state.opening, &state.views, &reporter).await }
        });
        env.spawn({
            let (state, reporter) = (state.clone(), reporter.clone());
            async move { aging::watch(&state.views, &state.drain, &reporter).await }
        });
        Ok(Handle::new(state, reporter, Arc::new(applier), commands))
    }
}

/// Makes the workers one after the other, because the first chooses the ports that the others bind
/// too.
async fn place_workers<E: Env, S: Sink>(
    workers: usize,
    env: &E,
    clock: &Clock<E>,
    sink: &S,
    state: &RouterState,
    mut place: impl FnMut(Worker<E, S>),
) -> Result<(), StartError> {
    for index in 0..workers {
        let (worker, bound) = Worker::new(
            (index, workers),
            env.clone(),
            clock.clone(),
            sink.shard(index),
            state.clone(),
        );
        place(worker);
        bound.await.unwrap_or(Err(StartError::WorkerLost(index)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
