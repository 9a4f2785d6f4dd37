//! The engine: time, network and hosts. The only module that knows turmoil.
//!
//! A run is one thread on which every host has a tokio runtime of its own with a paused clock.
//! [`Engine::step`] moves the world by one tick: messages that are due reach their hosts, then
//! each host runs for that long in simulated time. Everything that could differ between two runs
//! is pinned: turmoil's generator is seeded, the wall clock starts at [`EPOCH`], and
//! [`isolated`] gives the thread its own clock and entropy (see `entropy`).
//!
//! What turmoil doesn't model, and what we do about it:
//! - It doesn't retransmit, so a lost segment would block a stream for good. Loss of connectivity is
//!   therefore *hold and release*. TCP users see the same as in a real outage: silence, then either the
//!   rest or a timeout. Nothing is ever dropped.
//! - A panic in a spawned task is swallowed by tokio. A panic hook records it, and the next
//!   [`Engine::step`] fails.
//! - A write is one segment however long; [`Stream`] cuts it, as a socket buffer would.
//! - A stream can't be reset, and everything that was written arrives. So
//!   [`leave`](cellway_env::Env::leave) settles nothing: a stream that is cut ends in order.

mod env;
mod host;
mod net;
mod panics;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

pub use env::SimEnv;
pub use host::HostClock;
pub(crate) use host::{elapsed, is_running};
pub use net::{SimListener, Stream};

use crate::entropy;
use crate::store::SimStore;
use crate::trace::Trace;
use host::Host;

/// When every simulation starts: 2026-01-01T00:00:00Z, since the Unix epoch.
pub const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// How many segments a stream or a listener's backlog holds. turmoil panics when a backlog
/// overflows, so this is well above the clients that a scenario may have.
const TCP_SEGMENTS_MAX: usize = 1024;

/// Settings of an engine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Decides every random choice.
    pub seed: u64,
    /// How far [`Engine::step`] moves; also the resolution of the network. Whole milliseconds.
    pub tick: Duration,
    /// The shortest time that a segment travels.
    pub latency_min: Duration,
    /// The longest time that a segment travels. Most are much faster.
    pub latency_max: Duration,
}

/// Why a run can't continue.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RunError {
    /// Something panicked; the message names the place.
    Panic(String),
    /// A host's program returned, which it must not.
    Ended(String),
}

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Panic(what) => write!(f, "panic: {what}"),
            Self::Ended(what) => write!(f, "a host's program ended: {what}"),
        }
    }
}

impl std::error::Error for RunError {}

/// A simulated world.
pub struct Engine {
    sim: turmoil::Sim<'static>,
    seed: u64,
    trace: Trace,
    clocks: BTreeMap<String, HostClock>,
}

impl Engine {
    /// An empty world. Call it inside [`isolated`].
    pub fn new(settings: &Settings, trace: Trace) -> Self {
        let mut builder = turmoil::Builder::new();
        builder
            .rng_seed(settings.seed)
            .epoch(UNIX_EPOCH + EPOCH)
            .tick_duration(settings.tick)
            .min_message_latency(settings.latency_min)
            .max_message_latency(settings.latency_max)
            .tcp_capacity(TCP_SEGMENTS_MAX)
            .fail_rate(0.0);
        Self {
            sim: builder.build(),
            seed: settings.seed,
            trace,
            clocks: BTreeMap::new(),
        }
    }

    /// Adds a host that runs `program`, again from the start after each crash. Its name is how
    /// others connect to it. Returns the host's disk, for faults.
    ///
    /// The program must not return.
    pub fn host<F, Run>(&mut self, name: &str, program: F) -> SimStore
    where
        F: Fn(SimEnv) -> Run + 'static,
        Run: Future<Output = ()> + 'static,
    {
        let host = Arc::new(Host::new(name, self.seed, self.trace.clone()));
        let store = host.store.clone();
        self.clocks.insert(name.to_owned(), host.clock.clone());
        let program = Arc::new(program);
        self.sim.host(name, move || {
            let (env, program) = (SimEnv::start(&host), program.clone());
            async move {
                let name = env.name().to_owned();
                program(env).await;
                Err(name.into())
            }
        });
        store
    }

    /// The wall clock of a host.
    pub fn clock(&self, host: &str) -> Option<&HostClock> {
        self.clocks.get(host)
    }

    /// The address of a host.
    pub fn address(&self, host: &str) -> Ipv4Addr {
        ipv4(self.sim.lookup(host))
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.sim.elapsed()
    }

    /// Moves the world by one tick.
    ///
    /// # Errors
    /// [`RunError`] if anything panicked or a host's program ended.
    pub fn step(&mut self) -> Result<(), RunError> {
        entropy::set_elapsed(self.sim.elapsed());
        let stepped = self.sim.step();
        // First, because a program that panicked has also ended.
        if let Some(panic) = panics::take() {
            return Err(RunError::Panic(panic));
        }
        stepped
            .map_err(|e| RunError::Ended(e.to_string()))
            .map(drop)
    }

    /// Stops a host at once. Its peers see their connections closed; new ones hang until it is
    /// restarted. Its disk stays.
    pub fn crash(&mut self, host: &str) {
        self.sim.crash(host);
    }

    /// Starts a crashed host's program again.
    pub fn restart(&mut self, host: &str) {
        self.sim.bounce(host);
    }

    /// Holds back everything between two hosts until [`Engine::release`].
    pub fn hold(&mut self, a: &str, b: &str) {
        self.sim.hold(a, b);
    }

    /// Delivers what was held between two hosts, in order, and ends the hold.
    pub fn release(&mut self, a: &str, b: &str) {
        self.sim.release(a, b);
    }

    /// Makes segments between two hosts travel between `min` and `max` from now on.
    pub fn set_latency(&mut self, a: &str, b: &str, min: Duration, max: Duration) {
        // The first call sets both bounds, the second only the upper.
        self.sim.set_link_latency(a, b, min);
        self.sim.set_link_max_message_latency(a, b, max);
    }
}

/// Hosts have only IPv4 addresses.
fn ipv4(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => unreachable!("no host of a simulation has an IPv6 address"),
    }
}

/// Runs `work` and catches a panic, so that the thread goes on.
///
/// # Errors
/// [`RunError::Panic`] if it panics.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, RunError> {
    // The report is all that still uses the state after a panic.
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    done.map_err(|_| RunError::Panic(panics::take().unwrap_or_else(|| "in the world".to_owned())))
}

/// Runs `world` on a thread of its own, whose clock and entropy are simulated.
///
/// A fresh thread, because std draws a thread's hash seed once, when it is first needed.
///
/// # Panics
/// If `world` panics.
pub fn isolated<T: Send + 'static>(seed: u64, world: impl FnOnce() -> T + Send + 'static) -> T {
    panics::install_hook();
    let run = move || {
        let _guard = entropy::simulate(seed, EPOCH);
        world()
    };
    let thread = std::thread::Builder::new().name("simulation".to_owned());
    let thread = thread.spawn(run).expect("the system has a thread for us");
    match thread.join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
