//! WorldState that the hosts of a world and its faults share.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cellway_core::Unix;
use cellway_testbed::{
    ControlPlane, Credential, EchoCell, IdentityProvider, ServerTls, TestbedError, TlsProvider,
    Validity,
};
use tokio::sync::Notify;

use super::credentials::RequestCredentials;
use super::documents::Documents;
use super::pki::Pki;
use crate::engine::{EPOCH, SimEnv};
use crate::fact::{Fact, Life};
use crate::observer::Observer;
use crate::scenario::{Authority, CellProtocol};

/// The `aud` of tokens.
pub(super) const AUDIENCE: &str = "cellway";

/// A handle to the state of a world. Hosts and faults share it; clones are the same handle.
#[derive(Clone)]
pub(super) struct WorldHandle {
    pub(super) observer: Observer,
    seed: u64,
    state: Arc<Mutex<WorldState>>,
}

/// The state that faults change.
pub(super) struct WorldState {
    pub(super) pki: Pki,
    pub(super) documents: Documents,
    pub(super) control_plane: ControlPlane,
    /// By host.
    pub(super) identity_providers: BTreeMap<String, IdentityProvider>,
    /// By host.
    pub(super) cells: BTreeMap<String, CellHost>,
    /// The last accepted credentials of each cell's clients at each router, by router and cell.
    pub(super) spent: BTreeMap<(String, String), RequestCredentials>,
    /// The validity of cells' certificates that expire during the run, by cell.
    pub(super) expiring: BTreeMap<String, Validity>,
    /// Cells that serve with the certificate of another cell, and that cell.
    pub(super) impostors: BTreeMap<String, String>,
    /// The TLS of running testbed hosts, which is replaced with their certificates.
    serving: BTreeMap<String, Serving>,
    /// Tells the process of each router to drain.
    pub(super) drains: BTreeMap<String, Arc<Notify>>,
    /// The present incarnation of each router.
    pub(super) lives: BTreeMap<String, Life>,
    /// What the user's hosts share, by type.
    pub(super) shared: BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

/// One endpoint of a cell.
#[derive(Clone)]
pub(super) struct CellHost {
    pub(super) id: String,
    pub(super) protocol: CellProtocol,
    pub(super) echo: EchoCell,
    pub(super) door: Arc<Door>,
}

/// Whether a host accepts new connections. Open ones continue.
pub(super) struct Door {
    open: AtomicBool,
    moved: Notify,
}

impl Default for Door {
    fn default() -> Self {
        Self {
            open: AtomicBool::new(true),
            moved: Notify::new(),
        }
    }
}

impl Door {
    pub(super) fn set(&self, open: bool) {
        self.open.store(open, Ordering::Relaxed);
        // Only the host waits.
        self.moved.notify_one();
    }

    /// Waits until it is open, or until it is closed.
    pub(super) async fn until(&self, open: bool) {
        while self.open.load(Ordering::Relaxed) != open {
            self.moved.notified().await;
        }
    }
}

struct Serving {
    tls: ServerTls,
    provider: TlsProvider,
    of: Served,
}

/// Which certificate a host serves with.
#[derive(Clone)]
pub(super) enum Served {
    /// A certificate from the authority `servers`.
    Server,
    /// The certificate of this cell.
    Cell(String),
}

impl WorldHandle {
    pub(super) fn new(seed: u64, observer: Observer, pki: Pki, documents: Documents) -> Self {
        let control_plane = ControlPlane::new(documents.present().text);
        let state = WorldState {
            pki,
            documents,
            control_plane,
            identity_providers: BTreeMap::new(),
            cells: BTreeMap::new(),
            spent: BTreeMap::new(),
            expiring: BTreeMap::new(),
            impostors: BTreeMap::new(),
            serving: BTreeMap::new(),
            drains: BTreeMap::new(),
            lives: BTreeMap::new(),
            shared: BTreeMap::new(),
        };
        Self {
            observer,
            seed,
            state: Arc::new(Mutex::new(state)),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, WorldState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides every random choice of the run.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Tells the observer a fact that a host reports.
    pub(super) fn tell(&self, env: &SimEnv, fact: &Fact) {
        self.observer.tell(env.elapsed(), env.name(), fact);
    }

    /// Makes the TLS of a testbed host that starts, and remembers it for rotations.
    pub(super) fn serve_tls(&self, env: &SimEnv, of: Served) -> Result<ServerTls, TestbedError> {
        let provider = tls_provider(env);
        let mut state = self.lock();
        let config = state.server_config(env.name(), &provider, &of)?;
        let tls = ServerTls::new(config);
        let serving = Serving {
            tls: tls.clone(),
            provider,
            of,
        };
        state.serving.insert(env.name().to_owned(), serving);
        Ok(tls)
    }
}

impl WorldState {
    fn server_config(
        &mut self,
        host: &str,
        provider: &TlsProvider,
        of: &Served,
    ) -> Result<Arc<rustls::ServerConfig>, TestbedError> {
        match of {
            Served::Server => provider.server(&self.pki.server(host, None)?, None),
            Served::Cell(id) => {
                let validity = self.expiring.get(id).copied();
                let named = self.impostors.get(id).unwrap_or(id);
                let credential: Credential = self.pki.cell(named, validity)?;
                let routers = self.pki.roots(Authority::Cells)?;
                provider.server(&credential, Some(routers))
            }
        }
    }

    /// Gives all running testbed hosts new certificates and the present trust.
    pub(super) fn renew_serving(&mut self) -> Result<(), TestbedError> {
        let mut serving = std::mem::take(&mut self.serving);
        for (host, serving) in &mut serving {
            let config = self.server_config(host, &serving.provider, &serving.of)?;
            serving.tls.set(config);
        }
        self.serving = serving;
        Ok(())
    }
}

/// TLS with the host's own randomness and clock.
pub(super) fn tls_provider(env: &SimEnv) -> TlsProvider {
    TlsProvider {
        crypto: env.provider(),
        time: Arc::new(env.clock()),
    }
}

/// The true wall clock at this time since the start.
pub(super) fn unix_at(elapsed: Duration) -> Unix {
    Unix::from_epoch(EPOCH + elapsed)
}
