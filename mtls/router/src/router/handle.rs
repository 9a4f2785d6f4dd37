//! A running router.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use cellway_core::health::EndpointHealth;
use cellway_core::registry::EndpointId;
use cellway_core::{Snapshot, Text};
use cellway_env::{Clock, Env};
use http::{HeaderMap, Method};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::config::Config;
use crate::control_plane::apply::Applier;
use crate::control_plane::driver::Command;
use crate::control_plane::reload::Reloader;
use crate::data_plane::readiness::RouterReadiness;
use crate::data_plane::router_state::RouterState;
use crate::envelope::{EnvelopeStatus, Page, page};
use crate::error::{ReloadError, StartError};
use crate::health_service::Readiness;
use crate::observe::Reporter;
use crate::observe::admin::{Admin, Overview};
use crate::observe::debug::{AskedCells, CellsOnPage, EndpointsPage, Facts, SnapshotPage};
use crate::observe::event::{Event, Sink};
use crate::observe::metrics::{self, CellLoad, Metrics};
use crate::observe::ready::{Mismatches, Status, is_ready};
use crate::settings::{DrainTimes, RouterSettings};
use crate::tls::{AdminServer, CertificateDates, ListDates};
use crate::view::View;

/// How long a page waits for the control task. Its steps take microseconds, so a longer wait means
/// that it doesn't run.
const CONTROL_WAIT: Duration = Duration::from_secs(2);

/// How long the end of a drain waits for the last spans to be sent.
const FLUSH_WAIT: Duration = Duration::from_secs(2);

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
    state: RouterState,
    reporter: Reporter<E, S>,
    applier: Arc<Applier<E, S>>,
    commands: mpsc::Sender<Command>,
    addresses: Vec<(Arc<str>, SocketAddr)>,
    /// Where policy and registry don't fit together, for `/readyz`.
    mismatches: Mismatches,
}

impl<E: Env, S: Sink> Handle<E, S> {
    pub(super) fn new(
        state: RouterState,
        reporter: Reporter<E, S>,
        applier: Arc<Applier<E, S>>,
        commands: mpsc::Sender<Command>,
    ) -> Self {
        let config = state.views.config();
        let bound = config.settings.listeners.iter();
        let addresses = bound
            .zip(state.admission.listeners())
            .filter_map(|(listener, state)| Some((listener.name.clone(), *state.address.get()?)))
            .collect();
        Self(Arc::new(Running {
            state,
            reporter,
            applier,
            commands,
            addresses,
            mismatches: Mismatches::default(),
        }))
    }

    /// The listeners' names and the addresses they are bound to, in the order of the settings.
    pub fn addresses(&self) -> &[(Arc<str>, SocketAddr)] {
        &self.0.addresses
    }

    /// Copies of all listening sockets, each with the name of its listener, to pass them to
    /// another process. The sockets stay open while that process has them, even when this router
    /// drains. Empty once it closes its listeners.
    ///
    /// # Errors
    /// The process has too many open files.
    pub fn sockets(&self) -> io::Result<Vec<(Arc<str>, OwnedFd)>> {
        self.0.state.sockets.copies()
    }

    /// The current snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.state.views.snapshot()
    }

    /// The clocks of this router's events and snapshots.
    pub fn clock(&self) -> &Clock<E> {
        self.0.reporter.clock()
    }

    /// The dates of the revocation lists in force.
    pub fn revocation_lists(&self) -> Vec<ListDates> {
        self.0.state.views.load().config.lists().to_vec()
    }

    /// When the certificates expire that the router presents and trusts, if the settings name them.
    /// At most [`CERTIFICATES_MAX`](crate::tls::CERTIFICATES_MAX), sorted by expiry.
    pub fn certificates(&self) -> Arc<[CertificateDates]> {
        self.0.state.views.load().config.certificates.clone()
    }

    /// Each listener's name, and the name of its policy.
    pub fn listeners(&self) -> Vec<(Arc<str>, Text)> {
        let config = self.0.state.views.config();
        let settings = &config.settings;
        let policy = |id| settings.policy.auth(id).name.clone();
        let listeners = settings.listeners.iter();
        listeners
            .map(|listener| (listener.name.clone(), policy(listener.policy)))
            .collect()
    }

    /// The current requests and connections of each cell, sorted by id.
    pub fn cell_loads(&self) -> Vec<CellLoad> {
        self.0.state.bulkheads.loads()
    }

    /// How identity envelopes are sealed. `None` without `[envelope]`.
    pub fn envelope(&self) -> Option<EnvelopeStatus> {
        let view = self.0.state.views.load();
        let registry = view.snapshot.registry.as_deref();
        let now = self.0.reporter.now();
        (view.config.sealer.as_ref()).map(|sealer| EnvelopeStatus::new(sealer, registry, now))
    }

    /// Opens the listeners of a router that [takes over](super::RouterBuilder::takes_over). Others
    /// open by themselves.
    pub fn open(&self) {
        self.0.state.opening.allow();
    }

    /// Waits until all listeners are open (when a registry is loaded, the time limit for that is over,
    /// or [`open`](Self::open) was called) or until the router drains.
    ///
    /// # Errors
    /// The router can't listen on an address. It serves nothing then; [`drain`](Self::drain) it.
    pub async fn opened(&self) -> Result<(), StartError> {
        let state = &self.0.state;
        tokio::select! {
            biased;
            opened = state.opening.opened() => opened,
            () = state.drain.begun() => Ok(()),
        }
    }

    /// Whether all listeners are open.
    pub fn is_open(&self) -> bool {
        self.0.state.opening.is_open()
    }

    /// The status that `/readyz` shows.
    pub fn status(&self) -> Status {
        let (view, now) = (self.0.state.views.current(), self.0.reporter.now());
        let (config, snapshot) = (&view.config, &view.snapshot);
        let ready = self.0.state.latch.check(snapshot, now.mono);
        let sealer = config.sealer.as_ref();
        let registry = snapshot.registry.as_deref();
        Status::new(snapshot, now, ready, self.0.state.drain.makes_unready())
            .with_open(self.is_open())
            .with_listeners(&config.settings)
            .with_revocation_lists(now.unix, config.lists())
            .with_certificates(now.unix, &config.certificates)
            .with_envelope(sealer.map(|sealer| EnvelopeStatus::new(sealer, registry, now)))
            .with_mismatches(&self.0.mismatches.of(snapshot))
            .with_refused(&self.0.applier.refused())
    }

    /// Waits until a registry is loaded and some credential can be verified.
    pub async fn ready(&self) {
        let clock = self.0.reporter.clock();
        let views = &self.0.state.views;
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
        let settings = self.0.state.views.config().settings.clone();
        self.apply(settings).await
    }

    /// As [`reload`](Self::reload), with new settings: policies, issuers, timeouts, limits,
    /// certificates. The listeners' addresses and the registry's source can't change while a router
    /// runs.
    ///
    /// # Errors
    /// What is wrong. The old settings stay in force.
    pub async fn apply(&self, settings: RouterSettings) -> Result<(), ReloadError> {
        self.0.applier.apply_detached(settings).await
    }

    /// Drains: the status changes to `draining` at once, and the router still takes connections for
    /// `delay`. Then it accepts no more, tells open connections to end, lets requests in flight
    /// finish, and cuts the remaining connections after `deadline`. Returns when no connection is
    /// left. A second call waits for the same drain, for its own times at most.
    ///
    /// A `Duration` is a deadline without a delay.
    pub async fn drain(&self, times: impl Into<DrainTimes>) -> Drained {
        let (state, times) = (&self.0.state, times.into());
        let DrainTimes {
            delay, deadline, ..
        } = times;
        let emit = |event| self.0.reporter.emit(&event);
        let first = state.drain.announce();
        if first {
            emit(Event::Draining { delay, deadline });
        }
        // Nobody connects to closed listeners.
        if self.is_open() && !delay.is_zero() {
            let _ = timeout(delay, state.drain.begun()).await;
        }
        if state.close_listeners(times) {
            emit(Event::ListenersClosed);
        }
        let emptied = timeout(deadline, state.drain.emptied()).await;
        let abandoned = state.drain.stop();
        if emptied.is_err() {
            state.drain.emptied().await;
        }
        if first {
            let trace = state.views.config().settings.trace.clone();
            state.spans.close();
            if trace.is_some_and(|trace| trace.otlp.is_some()) {
                let _ = timeout(FLUSH_WAIT, state.spans.flushed()).await;
            }
            emit(Event::Drained { abandoned });
            let _ = self.0.commands.send(Command::Stop).await;
        }
        Drained { abandoned }
    }

    /// Notes that another process serves the same [sockets](Self::sockets). The status doesn't change
    /// in a drain from now on, because the service is still there.
    pub fn replaced(&self) {
        self.0.state.drain.replace();
    }

    /// Whether [`drain`](Self::drain) was called.
    pub fn is_draining(&self) -> bool {
        self.0.state.drain.is_announced()
    }
}

impl<E: Env, S> Running<E, S> {
    /// What the control task knows of these endpoints. `None` if it doesn't answer.
    async fn health(&self, endpoints: Vec<EndpointId>) -> Option<Vec<EndpointHealth>> {
        let (answer, health) = oneshot::channel();
        let asked = async {
            let command = Command::Health(endpoints, answer);
            self.commands.send(command).await.ok()?;
            health.await.ok()
        };
        timeout(CONTROL_WAIT, asked).await.ok().flatten()
    }
}

/// How a drain ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Drained {
    /// Connections that were cut at the deadline.
    pub abandoned: usize,
}

impl<E: Env, S: Sink> Overview for Handle<E, S> {
    fn status(&self) -> Status {
        self.status()
    }

    fn readiness(&self) -> Arc<dyn Readiness> {
        let clock = self.clock().clone();
        Arc::new(RouterReadiness::new(&self.0.state, clock))
    }

    fn metrics(&self, metrics: &Metrics) -> String {
        let (view, now) = (self.0.state.views.current(), self.clock().now());
        let (config, snapshot) = (&view.config, &view.snapshot);
        let mut text = metrics.render(snapshot, now.mono, &self.cell_loads());
        text += &metrics::ages(snapshot, now.unix, config.lists());
        text += &metrics::ends(&config.certificates);
        text
    }

    fn facts(&self) -> Facts {
        let view = self.0.state.views.current();
        let config = (view.config.epoch, &view.config.settings);
        let refused = self.0.applier.refused();
        Facts::new(config, &view.snapshot, refused, self.clock().now())
    }

    fn snapshot(&self, tenant: Option<&str>) -> SnapshotPage {
        let view = self.0.state.views.current();
        let now = self.clock().now();
        let config = (view.config.epoch, &view.config.settings);
        let refused = self.0.applier.refused();
        SnapshotPage::new(config, &view.snapshot, refused, now, tenant)
    }

    async fn endpoints(&self, asked: &AskedCells) -> Option<EndpointsPage> {
        let Running {
            state, reporter, ..
        } = &*self.0;
        let snapshot = state.views.snapshot();
        let page = CellsOnPage::new(snapshot.registry.as_deref(), asked);
        let health = self.0.health(page.endpoints().map(|it| it.id).collect());
        let health = health.await?;
        Some(EndpointsPage::new(
            &snapshot,
            reporter.now(),
            &page,
            &health,
            |cell| state.bulkheads.load(&cell.id),
            |endpoint| state.bulkheads.endpoint(endpoint.id),
        ))
    }

    fn admin_server(&self) -> Option<AdminServer> {
        self.0.state.views.load().config.admin.clone()
    }

    fn tell(&self, event: &Event<'_>) {
        self.0.reporter.emit(event);
    }

    fn envelope_keys(&self, method: &Method, headers: &HeaderMap) -> Page {
        let now = self.0.reporter.now();
        let view = self.0.state.views.load();
        page(view.config.sealer.as_ref(), method, headers, now)
    }
}

impl<E: Env> Admin<E> {
    /// Serves without end.
    pub async fn serve<S: Sink>(self, router: Handle<E, S>, metrics: Metrics) -> Infallible {
        self.serve_pages(router, metrics).await
    }
}

impl<E: Env, S: Sink, V> Reloader<E, S, V> {
    /// Creates a reloader for the router behind `handle`, which was started from `config`, which was
    /// read from `file` with overrides from `variables`.
    pub fn new(handle: &Handle<E, S>, file: &str, variables: V, config: Config) -> Self {
        Self::over(handle.0.applier.clone(), file, variables, config)
    }
}
