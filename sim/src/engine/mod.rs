//! The engines: time, network and hosts. The only module that knows turmoil.
//!
//! A run is one thread. [`Engine::step`] moves the world by one tick. There are two engines, see [`Kind`]:
//! with turmoil, every host has a tokio runtime of its own with a paused clock, and runs for one tick
//! after the messages that are due have reached it. The other one, `events`, has one runtime for all
//! hosts, which jumps from event to event.
//!
//! Everything that could differ between two runs is pinned: the network's generator is seeded, the wall
//! clock starts at [`EPOCH`], and [`isolated`] gives the thread its own clock and entropy (see `entropy`).
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
mod events;
mod host;
mod names;
mod net;
mod panics;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde::Deserialize;

pub use env::SimEnv;
pub use host::HostClock;
pub(crate) use host::{elapsed, is_running};
pub use names::NameTrouble;
pub use net::{SimListener, Stream};

use crate::entropy;
use crate::store::SimStore;
use crate::trace::Trace;
use events::Events;
use host::{Host, Network};
use names::Names;

/// When every simulation starts: 2026-01-01T00:00:00Z, since the Unix epoch.
pub const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// How many segments a stream or a listener's backlog holds. turmoil panics when a backlog
/// overflows, so this is well above the clients that a scenario may have.
const TCP_SEGMENTS_MAX: usize = 1024;

/// Which engine runs a world. The same scenario is fair in both, but a seed gives each another run.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// turmoil: the hosts of a world run one after the other, tick by tick.
    #[default]
    Turmoil,
    /// One runtime that jumps from event to event: several times quicker. Its network also knows resets,
    /// segments that are cut and joined, and links that are held in one direction.
    Events,
}

/// Settings of an engine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which one.
    pub kind: Kind,
    /// Decides every random choice.
    pub seed: u64,
    /// How far [`Engine::step`] moves; also the resolution of the network. Whole milliseconds.
    pub tick: Duration,
    /// The shortest time that a segment travels.
    pub latency_min: Duration,
    /// The longest time that a segment travels. Most are much faster.
    pub latency_max: Duration,
    /// Whether some writes travel, and some reads get, only a part of what they could. With
    /// [`Kind::Events`] only.
    pub cuts_segments: bool,
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

/// turmoil has no such thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotInTurmoil;

impl std::fmt::Display for NotInTurmoil {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("turmoil's links have no directions and no stalls; use the engine `events`")
    }
}

impl std::error::Error for NotInTurmoil {}

/// A simulated world.
pub struct Engine {
    world: World,
    seed: u64,
    trace: Trace,
    clocks: BTreeMap<String, HostClock>,
    names: Names,
}

enum World {
    Turmoil(Box<turmoil::Sim<'static>>),
    Events(Box<Events>),
}

impl World {
    fn new(settings: &Settings) -> Self {
        if settings.kind == Kind::Events {
            return Self::Events(Box::new(Events::new(settings)));
        }
        let mut builder = turmoil::Builder::new();
        builder
            .rng_seed(settings.seed)
            .epoch(UNIX_EPOCH + EPOCH)
            .tick_duration(settings.tick)
            .min_message_latency(settings.latency_min)
            .max_message_latency(settings.latency_max)
            .tcp_capacity(TCP_SEGMENTS_MAX)
            .fail_rate(0.0);
        Self::Turmoil(Box::new(builder.build()))
    }
}

impl Engine {
    /// An empty world. Call it inside [`isolated`].
    pub fn new(settings: &Settings, trace: Trace) -> Self {
        Self {
            world: World::new(settings),
            seed: settings.seed,
            trace,
            clocks: BTreeMap::new(),
            names: Names::default(),
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
        let network = match &self.world {
            World::Turmoil(_) => Network::Turmoil,
            World::Events(events) => Network::Events(events.net().clone()),
        };
        let host = Host::new(
            name,
            self.seed,
            self.trace.clone(),
            network,
            self.names.clone(),
        );
        let host = Arc::new(host);
        let store = host.store.clone();
        self.clocks.insert(name.to_owned(), host.clock.clone());
        let program = Arc::new(program);
        let start = move || (SimEnv::start(&host), program.clone());
        match &mut self.world {
            World::Turmoil(sim) => sim.host(name, move || {
                let (env, program) = start();
                async move {
                    let name = env.name().to_owned();
                    program(env).await;
                    Err(name.into())
                }
            }),
            World::Events(events) => events.host(name, move || {
                let (env, program) = start();
                async move { program(env).await }
            }),
        }
        store
    }

    /// The wall clock of a host.
    pub fn clock(&self, host: &str) -> Option<&HostClock> {
        self.clocks.get(host)
    }

    /// The address of a host.
    pub fn address(&self, host: &str) -> Ipv4Addr {
        match &self.world {
            World::Turmoil(sim) => ipv4(sim.lookup(host)),
            World::Events(events) => events.address(host),
        }
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        match &self.world {
            World::Turmoil(sim) => sim.elapsed(),
            World::Events(events) => events.elapsed(),
        }
    }

    /// Moves the world by one tick.
    ///
    /// # Errors
    /// [`RunError`] if anything panicked or a host's program ended.
    pub fn step(&mut self) -> Result<(), RunError> {
        entropy::set_elapsed(self.elapsed());
        let stepped = match &mut self.world {
            World::Turmoil(sim) => {
                let stepped = sim.step();
                stepped
                    .map(drop)
                    .map_err(|error| RunError::Ended(error.to_string()))
            }
            World::Events(events) => events.step(),
        };
        // First, because a program that panicked has also ended.
        match panics::take() {
            Some(panic) => Err(RunError::Panic(panic)),
            None => stepped,
        }
    }

    /// Stops a host at once. Its peers see their connections closed; new ones hang until it is
    /// restarted. Its disk stays.
    pub fn crash(&mut self, host: &str) {
        match &mut self.world {
            World::Turmoil(sim) => sim.crash(host),
            World::Events(events) => events.crash(host),
        }
    }

    /// Starts a crashed host's program again.
    pub fn restart(&mut self, host: &str) {
        match &mut self.world {
            World::Turmoil(sim) => sim.bounce(host),
            World::Events(events) => events.restart(host),
        }
    }

    /// Holds back everything between two hosts until [`Engine::release`].
    pub fn hold(&mut self, a: &str, b: &str) {
        match &mut self.world {
            World::Turmoil(sim) => sim.hold(a, b),
            World::Events(events) => events.net().hold(a, b),
        }
    }

    /// Delivers what was held between two hosts, in order, and ends the hold.
    pub fn release(&mut self, a: &str, b: &str) {
        match &mut self.world {
            World::Turmoil(sim) => sim.release(a, b),
            World::Events(events) => events.net().release(a, b),
        }
    }

    /// Holds back what goes from one host to another, but not what comes back, until
    /// [`Engine::release_one_way`].
    ///
    /// # Errors
    /// [`NotInTurmoil`] for turmoil.
    pub fn hold_one_way(&mut self, from: &str, to: &str) -> Result<(), NotInTurmoil> {
        self.events()?.hold_one_way(from, to);
        Ok(())
    }

    /// Delivers what [`Engine::hold_one_way`] held, in order, and ends it.
    ///
    /// # Errors
    /// [`NotInTurmoil`] for turmoil.
    pub fn release_one_way(&mut self, from: &str, to: &str) -> Result<(), NotInTurmoil> {
        self.events()?.release_one_way(from, to);
        Ok(())
    }

    /// Makes one of twenty segments between two hosts come this much later, with all that follows it on its
    /// connection; or none.
    ///
    /// # Errors
    /// [`NotInTurmoil`] for turmoil.
    pub fn set_stalls(
        &mut self,
        a: &str,
        b: &str,
        later: Option<Duration>,
    ) -> Result<(), NotInTurmoil> {
        self.events()?.set_stalls(a, b, later);
        Ok(())
    }

    /// Makes the name of a host resolve late or not at all, for all new connections to it; or as usual.
    pub fn set_name(&mut self, host: &str, trouble: Option<NameTrouble>) {
        self.names.set(host, trouble);
    }

    fn events(&self) -> Result<&events::Net, NotInTurmoil> {
        match &self.world {
            World::Turmoil(_) => Err(NotInTurmoil),
            World::Events(events) => Ok(events.net()),
        }
    }

    /// Makes segments between two hosts travel between `min` and `max` from now on.
    pub fn set_latency(&mut self, a: &str, b: &str, min: Duration, max: Duration) {
        match &mut self.world {
            World::Turmoil(sim) => {
                // The first call sets both bounds, the second only the upper.
                sim.set_link_latency(a, b, min);
                sim.set_link_max_message_latency(a, b, max);
            }
            World::Events(events) => events.net().set_latency(a, b, min, max),
        }
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
