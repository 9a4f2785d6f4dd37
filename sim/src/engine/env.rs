//! The seam's implementation for a simulated host.

use std::fmt::Display;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cellway_core::Unix;
use cellway_env::{Env, Sharing, Unsent};
use rustls::crypto::CryptoProvider;

use super::host::{Host, HostClock, Network, elapsed};
use super::net::{SimClaim, SimListener, Stream, Tcp};
use crate::random::Random;
use crate::store::SimStore;
use crate::tls;

/// The environment of a host from one start to the next crash. Routers, cells and everything else run
/// on it.
#[derive(Clone)]
pub struct SimEnv {
    host: Arc<Host>,
    incarnation: u32,
    random: Arc<Mutex<Random>>,
    provider: Arc<CryptoProvider>,
}

impl SimEnv {
    /// The environment of the host's next life.
    pub(super) fn start(host: &Arc<Host>) -> Self {
        let incarnation = host.starts.fetch_add(1, Ordering::Relaxed);
        let random = |purpose| Random::new(host.seed, &host.name, incarnation, purpose);
        Self {
            incarnation,
            random: Arc::new(Mutex::new(random("env"))),
            provider: tls::provider(random("tls")),
            host: host.clone(),
        }
    }

    /// The host's name.
    pub fn name(&self) -> &str {
        &self.host.name
    }

    /// The host's address.
    pub fn address(&self) -> Ipv4Addr {
        self.host.address()
    }

    /// How many times the host was started before.
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// The TLS provider of this life of the host.
    pub fn provider(&self) -> Arc<CryptoProvider> {
        self.provider.clone()
    }

    /// The host's wall clock, for rustls.
    pub fn clock(&self) -> HostClock {
        self.host.clock.clone()
    }

    /// Simulated time since the start of the run. Unlike [`Env::unix_now`] it is never skewed.
    pub fn elapsed(&self) -> Duration {
        elapsed()
    }

    /// A stream of random bytes for one purpose, independent of all other streams.
    pub fn random(&self, purpose: &str) -> Random {
        Random::new(self.host.seed, &self.host.name, self.incarnation, purpose)
    }

    /// Adds a line to the trace in this host's name.
    pub fn record(&self, event: impl Display) {
        self.host.record(event);
    }
}

impl Env for SimEnv {
    type Stream = Stream;
    type Claim = SimClaim;
    type Listener = SimListener;
    type Store = SimStore;

    async fn connect(&self, host: &str, port: u16) -> io::Result<Stream> {
        self.host.names.resolve(host).await?;
        let tcp = Tcp::connect(&self.host, (host, port)).await?;
        let peer = format!("{host}:{port}");
        Ok(Stream::new(tcp, self.host.clone(), peer))
    }

    fn leave(stream: &Stream, unsent: Unsent) {
        if unsent == Unsent::Discarded {
            stream.discard();
        }
    }

    /// Every host has one address, so every address except loopback means all addresses. A host runs
    /// one process, so nothing else can share its addresses.
    async fn claim(&self, address: SocketAddr, _: Sharing) -> io::Result<SimClaim> {
        let ip = match address.ip().is_loopback() {
            true => address.ip(),
            false => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        let address = SocketAddr::new(ip, address.port());
        Ok(SimClaim::new(address, self.host.clone()))
    }

    fn unix_now(&self) -> Unix {
        self.host.clock.now()
    }

    fn fill(&self, buffer: &mut [u8]) {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        random.fill(buffer);
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        #[expect(clippy::disallowed_methods, reason = "this is Env::spawn")]
        match &self.host.network {
            Network::Turmoil => drop(tokio::spawn(task)),
            // Its hosts share a runtime, and a crash ends the tasks of one.
            Network::Events(_) => drop(tokio::task::spawn_local(task)),
        }
    }

    /// Runs inline: work takes no simulated time, and another thread would not be deterministic.
    async fn heavy<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        work()
    }

    fn store(&self) -> &SimStore {
        &self.host.store
    }
}
