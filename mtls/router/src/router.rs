//! A whole router: how to start, reload and drain it.

use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cellway_core::policy::Mode;
use cellway_core::{Snapshot, Text};
use cellway_env::tokio::TokioEnv;
use cellway_env::{Clock, Env};
use http::{HeaderMap, Method};
use rustls::crypto::CryptoProvider;
use rustls::time_provider::TimeProvider;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;

use crate::aging;
use crate::check::{self, Finding, Findings, Occasion, Usable, examine};
use crate::config::{Config, ConfigErrors};
use crate::control_plane::driver::{Command, Configure, Driver, Driving};
use crate::control_plane::sources::RegistryLocation;
use crate::data_plane::pool::{Bulkheads, CellLoad};
use crate::data_plane::replay_cache::ShardedReplayCache;
use crate::data_plane::shares::Holders;
use crate::data_plane::worker::Worker;
use crate::drain::Drain;
use crate::envelope::{EnvelopeStatus, Page, page};
use crate::observe::event::{Changed, Event, Sink};
use crate::observe::ready::{Mismatches, ReadyLatch, Status, is_ready};
use crate::opening::{self, BindError, OPEN_WAIT_DEFAULT, Opening};
use crate::router_state::{ListenerState, RouterState};
use crate::settings::RouterSettings;
use crate::tls::{CertificateDates, ListDates, Provider};
use crate::view::View;

/// The configuration file's name in the commands that messages suggest. An embedded router has no
/// file.
const FILE: &str = "FILE";

/// Starts routers.
#[derive(Debug)]
pub struct Router;

impl Router {
    /// Creates a router on this machine from the text of a `cellway.toml` and a registry in JSON.
    /// The registry replaces `[registry]` of the configuration, which may be missing. Events go
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
    /// # Errors
    /// Every mistake of the configuration. Mistakes of the registry are errors of
    /// [`start`](RouterBuilder::start).
    pub fn from_text(
        config: &str,
        registry: impl Into<Bytes>,
    ) -> Result<RouterBuilder<TokioEnv, ()>, ConfigErrors> {
        // A configuration must name a registry. The text replaces it.
        let variables = [("CELLWAY__REGISTRY__FILE".to_owned(), "text".to_owned())];
        let mut settings = Config::load("the configuration", config, variables)?.router;
        settings.sources.registry.location = RegistryLocation::Text(registry.into());
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
            open_wait: OPEN_WAIT_DEFAULT,
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
    open_wait: Duration,
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
            open_wait: self.open_wait,
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
        self.open_wait = wait;
        self
    }

    /// Starts the whole router on the current runtime. Returns when it listens: when a registry is
    /// loaded, or after [`open_wait`](Self::open_wait).
    ///
    /// A router that listens may not be ready yet: it may answer requests with 503 until it has
    /// keys. See [`Handle::ready`].
    ///
    /// # Errors
    /// A certificate, key or bundle can't be read or used, or an address can't be bound.
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
        mut place: impl FnMut(Worker<E, S>),
    ) -> Result<Handle<E, S>, StartError> {
        let (env, sink, settings) = (self.env, self.sink, self.settings);
        let clock = Clock::new(env.clone());
        let now = clock.now();
        let mut examined = examine(&env, &self.provider, &settings, now, None).await;
        let registry = check::registry(&env, &settings, Occasion::Start, &mut examined.findings);
        let registry = registry.await;
        examined.fit(&env, registry.as_deref(), FILE, now).await;
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
        } = Driver::new(
            env.clone(),
            clock.clone(),
            sink.clone(),
            Arc::new(config),
            fetch,
        );
        driver.begin_with(keys);
        let listeners = settings.listeners.iter();
        let common = Arc::new(RouterState {
            env: env.clone(),
            clock,
            provider: self.provider,
            views,
            listeners: listeners.map(|_| ListenerState::default()).collect(),
            bulkheads: Bulkheads::default(),
            holders: Holders::default(),
            replay_cache: ShardedReplayCache::default(),
            mismatches: Mismatches::default(),
            drain: Drain::default(),
            latch: ReadyLatch::default(),
            opening: Opening::new(self.workers, self.share_addresses, self.open_wait),
        });
        // One after the other, because the first binds ports that the others bind too.
        for index in 0..self.workers {
            let (worker, bound) = Worker::new(index, self.workers, &common, sink.shard(index));
            place(worker);
            let started = bound.await.unwrap_or(Err(StartError::WorkerLost(index)));
            if let Err(error) = started {
                common.drain.begin();
                common.drain.stop();
                return Err(error);
            }
        }
        warn(&common, &sink, &warnings);
        env.spawn(driver.run());
        let (allowing, telling) = (common.clone(), sink.clone());
        env.spawn(async move { opening::allow(&allowing, &telling).await });
        let (watching, telling) = (common.clone(), sink.clone());
        env.spawn(async move { aging::watch(&watching, &telling).await });
        Ok(Handle::new(common, sink, commands))
    }
}

/// A running router. Clones are the same router. Dropping all of them doesn't stop it;
/// [`drain`](Self::drain) does.
pub struct Handle<E: Env, S>(Arc<Running<E, S>>);

impl<E: Env, S> Clone for Handle<E, S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E: Env, S> fmt::Debug for Handle<E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("addresses", &self.0.addresses)
            .finish_non_exhaustive()
    }
}

struct Running<E: Env, S> {
    common: Arc<RouterState<E>>,
    sink: S,
    commands: mpsc::Sender<Command>,
    addresses: Vec<(Arc<str>, SocketAddr)>,
    /// Held while settings are replaced, so that only one reload runs at a time.
    reloading: Mutex<()>,
}

impl<E: Env, S: Sink> Handle<E, S> {
    fn new(common: Arc<RouterState<E>>, sink: S, commands: mpsc::Sender<Command>) -> Self {
        let config = common.views.config();
        let addresses = (config.settings.listeners.iter().zip(&common.listeners))
            .filter_map(|(listener, state)| Some((listener.name.clone(), *state.address.get()?)))
            .collect();
        Self(Arc::new(Running {
            common,
            sink,
            commands,
            addresses,
            reloading: Mutex::new(()),
        }))
    }

    /// The listeners' names and the addresses they are bound to, in the order of the settings.
    pub fn addresses(&self) -> &[(Arc<str>, SocketAddr)] {
        &self.0.addresses
    }

    /// The current snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.common.views.snapshot()
    }

    /// The clocks of this router's events and snapshots.
    pub fn clock(&self) -> &Clock<E> {
        &self.0.common.clock
    }

    /// The dates of the revocation lists in force.
    pub fn revocation_lists(&self) -> Vec<ListDates> {
        self.0.common.views.load().config.lists().to_vec()
    }

    /// When the certificates expire that the router presents and trusts, if the settings name them.
    /// At most [`CERTIFICATES_MAX`](crate::tls::CERTIFICATES_MAX), sorted by expiry.
    pub fn certificates(&self) -> Arc<[CertificateDates]> {
        self.0.common.views.load().config.certificates.clone()
    }

    /// Each listener's name, and the name of its policy.
    pub fn listeners(&self) -> Vec<(Arc<str>, Text)> {
        let config = self.0.common.views.config();
        let settings = &config.settings;
        let policy = |id| settings.policy.auth(id).name.clone();
        let listeners = settings.listeners.iter();
        listeners
            .map(|listener| (listener.name.clone(), policy(listener.policy)))
            .collect()
    }

    /// The current requests and connections of each cell, sorted by id.
    pub fn cell_loads(&self) -> Vec<CellLoad> {
        self.0.common.bulkheads.loads()
    }

    /// How identity envelopes are sealed. `None` without `[envelope]`.
    pub fn envelope(&self) -> Option<EnvelopeStatus> {
        let view = self.0.common.views.load();
        let registry = view.snapshot.registry.as_deref();
        let now = self.0.common.clock.now();
        (view.config.sealer.as_ref()).map(|sealer| EnvelopeStatus::new(sealer, registry, now))
    }

    /// The page of public keys that every listener serves.
    pub(crate) fn envelope_keys(&self, method: &Method, headers: &HeaderMap) -> Page {
        let now = self.0.common.clock.now();
        let view = self.0.common.views.load();
        page(view.config.sealer.as_ref(), method, headers, now)
    }

    /// Waits until all listeners are open (when a registry is loaded, or the time limit for that is
    /// over) or until the router drains.
    ///
    /// # Errors
    /// The router can't listen on an address. It serves nothing then; [`drain`](Self::drain) it.
    pub async fn opened(&self) -> Result<(), StartError> {
        let common = &self.0.common;
        tokio::select! {
            biased;
            opened = common.opening.opened() => opened,
            () = common.drain.begun() => Ok(()),
        }
    }

    /// Whether all listeners are open.
    pub fn is_open(&self) -> bool {
        self.0.common.opening.is_open()
    }

    /// The status that `/readyz` shows.
    pub fn status(&self) -> Status {
        let common = &self.0.common;
        let (snapshot, now) = (self.snapshot(), common.clock.now());
        let ready = common.latch.check(&snapshot, now.mono);
        Status::new(&snapshot, now, ready, self.is_draining())
            .with_open(self.is_open())
            .with_listeners(&snapshot.policy, &self.listeners())
            .with_revocation_lists(now.unix, &self.revocation_lists())
            .with_certificates(now.unix, &self.certificates())
            .with_envelope(self.envelope())
            .with_mismatches(&common.mismatches.of(&snapshot))
    }

    /// Waits until a registry is loaded and some credential can be verified.
    pub async fn ready(&self) {
        let clock = &self.0.common.clock;
        let views = &self.0.common.views;
        let ready = |view: &View| is_ready(&view.snapshot, clock.mono()).then_some(());
        views.until(ready).await;
    }

    /// Reads certificates, keys, bundles and envelope keys again, and puts them in force if all are
    /// good. Connections stay open, and no request is dropped except those of clients whose
    /// certificates are revoked or no longer trusted. Also fetches the registry.
    ///
    /// # Errors
    /// What is wrong. The old settings stay in force.
    pub async fn reload(&self) -> Result<(), ReloadError> {
        let settings = self.0.common.views.config().settings.clone();
        self.apply(settings).await
    }

    /// As [`reload`](Self::reload), with new settings: policies, issuers, timeouts, limits,
    /// certificates. The listeners' addresses and the registry's source can't change while a router
    /// runs.
    ///
    /// # Errors
    /// What is wrong. The old settings stay in force.
    pub async fn apply(&self, settings: RouterSettings) -> Result<(), ReloadError> {
        self.apply_with(settings, &Changed::default(), || ()).await
    }

    /// As [`apply`](Self::apply). Reports the reload with `changed`. Calls `also` when the settings
    /// are in force, before it reports that.
    pub(crate) async fn apply_with(
        &self,
        settings: RouterSettings,
        changed: &Changed,
        also: impl FnOnce() + Send,
    ) -> Result<(), ReloadError> {
        let _one_at_a_time = self.0.reloading.lock().await;
        let result = self.replace(settings).await;
        let now = self.0.common.clock.now();
        match result {
            Ok(warnings) => {
                also();
                self.0.sink.emit(now, &Event::Reloaded { changed });
                warn(&self.0.common, &self.0.sink, &warnings);
                Ok(())
            }
            Err(refused) => {
                let error = refused.to_string();
                let event = Event::ReloadRefused { error: &error };
                self.0.sink.emit(now, &event);
                Err(refused)
            }
        }
    }

    async fn replace(&self, settings: RouterSettings) -> Result<Vec<Finding>, ReloadError> {
        let common = &self.0.common;
        let before = common.views.config();
        same_for_good(&before.settings, &settings)?;
        let (env, provider, now) = (&common.env, &common.provider, common.clock.now());
        let mut examined = examine(env, provider, &settings, now, Some(&before)).await;
        let registry = common.views.snapshot().registry.clone();
        examined.fit(env, registry.as_deref(), FILE, now).await;
        let Usable {
            active: config,
            fetch,
            keys,
            warnings,
        } = examined.usable()?;
        let (done, in_force) = oneshot::channel();
        let configure = Configure {
            config: Arc::new(config),
            fetch: Arc::new(fetch),
            keys,
            done,
        };
        let drained = |_| ReloadError::new("policy", "the router has drained");
        let commands = &self.0.commands;
        let sent = commands.send(Command::Configure(Box::new(configure)));
        sent.await.map_err(|_| drained(()))?;
        in_force.await.map_err(|_| drained(()))?;
        let _ = commands.send(Command::Refresh).await;
        Ok(warnings)
    }

    /// Accepts no more connections, lets open requests finish, and cuts the remaining connections
    /// after `deadline`. Returns when no connection is left. A second call waits for the same
    /// drain.
    pub async fn drain(&self, deadline: Duration) -> Drained {
        let common = &self.0.common;
        let first = common.drain.begin();
        let emit = |event| self.0.sink.emit(common.clock.now(), &event);
        if first {
            emit(Event::Draining { deadline });
        }
        let emptied = timeout(deadline, common.drain.emptied()).await;
        let abandoned = common.drain.stop();
        if emptied.is_err() {
            common.drain.emptied().await;
        }
        if first {
            emit(Event::Drained { abandoned });
            let _ = self.0.commands.send(Command::Stop).await;
        }
        Drained { abandoned }
    }

    /// Whether [`drain`](Self::drain) was called.
    pub fn is_draining(&self) -> bool {
        self.0.common.drain.is_draining()
    }
}

/// Reports settings in force that will refuse requests, and policies that authenticate nobody, so
/// that nobody forgets a mode that was set for a test.
fn warn<E: Env>(common: &RouterState<E>, sink: &impl Sink, warnings: &[Finding]) {
    for finding in warnings {
        sink.emit(common.clock.now(), &Event::ConfigWarning { finding });
    }
    let config = common.views.config();
    let auths = config.settings.policy.auths().iter();
    for auth in auths.filter(|auth| auth.mode == Mode::Disabled) {
        let policy = &auth.name;
        sink.emit(common.clock.now(), &Event::Insecure { policy });
    }
}

/// Refuses changes that a running router can't make: listeners' addresses, the registry's source
/// and the state directory. Otherwise clients would find out that an address is missing.
fn same_for_good(before: &RouterSettings, after: &RouterSettings) -> Result<(), ReloadError> {
    let bound = |settings: &RouterSettings| -> Vec<_> {
        let listeners = settings.listeners.iter();
        listeners
            .map(|listener| (listener.name.clone(), listener.bind))
            .collect()
    };
    if bound(before) != bound(after) {
        let problem = "names and addresses of listeners can only change at a restart";
        return Err(ReloadError::new("listener", problem));
    }
    if before.sources.registry.location != after.sources.registry.location {
        let problem = "the source of the registry can only change at a restart";
        return Err(ReloadError::new("registry", problem));
    }
    if before.sources.state != after.sources.state {
        let problem = "the folder can only change at a restart";
        return Err(ReloadError::new("state.directory", problem));
    }
    Ok(())
}

/// How a drain ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Drained {
    /// Connections that were cut at the deadline.
    pub abandoned: usize,
}

/// Why a router can't start.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StartError {
    /// An address can't be bound.
    Bind {
        /// The listener's name.
        listener: Arc<str>,
        /// The address and the error.
        error: BindError,
    },
    /// A certificate, key, bundle or another file that the settings name can't be used.
    Settings(ReloadError),
    /// This worker was dropped before it ran.
    WorkerLost(usize),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { listener, error } if error.kind == ErrorKind::AddrInUse => write!(
                f,
                "listener {listener}: {error}. For a hand-over from one router to the next, set \
                 runtime.share_addresses = true for both"
            ),
            Self::Bind { listener, error } => write!(f, "listener {listener}: {error}"),
            Self::Settings(error) => error.fmt(f),
            Self::WorkerLost(index) => write!(f, "worker {index} did not start"),
        }
    }
}

impl std::error::Error for StartError {}

/// Why settings, or the files that they name, can't be put in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReloadError {
    /// All errors and warnings, each with its setting.
    pub findings: Vec<Finding>,
}

impl ReloadError {
    fn new(setting: impl Into<String>, problem: impl fmt::Display) -> Self {
        let mut findings = Findings::default();
        findings.error(setting, problem, "");
        Self {
            findings: findings.into_vec(),
        }
    }
}

/// One line for each finding.
impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, finding) in self.findings.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            finding.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ReloadError {}
