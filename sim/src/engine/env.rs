//! The seam's implementation for a simulated host.

use std::fmt::Display;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cellway_core::Unix;
use cellway_mtls::env::{Env, Sharing};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use super::EPOCH;
use super::net::{SimClaim, SimListener, Stream};
use crate::random::Random;
use crate::store::SimStore;
use crate::tls;
use crate::trace::Trace;

/// What a host keeps through its crashes.
#[derive(Debug)]
pub(super) struct Host {
    name: String,
    seed: u64,
    starts: AtomicU32,
    trace: Trace,
    pub(super) store: SimStore,
    pub(super) clock: HostClock,
}

impl Host {
    pub(super) fn new(name: &str, seed: u64, trace: Trace) -> Self {
        Self {
            name: name.to_owned(),
            seed,
            starts: AtomicU32::new(0),
            trace,
            store: SimStore::new(),
            clock: HostClock::default(),
        }
    }

    pub(super) fn record(&self, event: impl Display) {
        self.trace.push(elapsed(), &self.name, event);
    }
}

/// Simulated time since the start of the run, as the host that runs now sees it.
pub(crate) fn elapsed() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

/// One life of one host: what the router, the cells and all else run on.
#[derive(Clone, Debug)]
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
        super::ipv4(turmoil::lookup(self.name()))
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

    /// Simulated time since the start of the run; unlike [`Env::unix_now`] never skewed.
    pub fn elapsed(&self) -> Duration {
        elapsed()
    }

    /// A stream of random bytes of this life of the host, apart from all others.
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
        let tcp = turmoil::net::TcpStream::connect((host, port)).await?;
        Ok(Stream::new(
            tcp,
            self.host.clone(),
            format!("{host}:{port}"),
        ))
    }

    /// Every host has one address, so any address but loopback's means all. It runs one process, so
    /// nothing else can share it.
    async fn claim(&self, address: SocketAddr, _: Sharing) -> io::Result<SimClaim> {
        let ip = match address.ip() {
            ip if ip.is_loopback() => ip,
            _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
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
        tokio::spawn(task);
    }

    /// Inline: a simulated host has all the time in the world, and a thread's would be its own.
    async fn heavy<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        work()
    }

    fn store(&self) -> &SimStore {
        &self.host.store
    }
}

/// A host's wall clock. It runs with simulated time and can be set wrong.
#[derive(Clone, Debug, Default)]
pub struct HostClock {
    skew_millis: Arc<AtomicI64>,
}

impl HostClock {
    /// Sets how far the clock is ahead (positive) or behind (negative) from now on.
    pub fn set_skew_millis(&self, skew: i64) {
        self.skew_millis.store(skew, Ordering::Relaxed);
    }

    /// What the clock shows.
    pub fn now(&self) -> Unix {
        let now = turmoil::since_epoch().unwrap_or(EPOCH);
        let skew = self.skew_millis.load(Ordering::Relaxed);
        let offset = Duration::from_millis(skew.unsigned_abs());
        Unix::from_epoch(match skew {
            0.. => now.saturating_add(offset),
            _ => now.saturating_sub(offset),
        })
    }
}

impl TimeProvider for HostClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.now().since_epoch()))
    }
}
