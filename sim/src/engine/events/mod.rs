//! The second engine: one runtime for all hosts, whose paused clock jumps from event to event.
//!
//! turmoil enters every host's runtime at every tick, whether or not it has anything to do. Here the
//! hosts share one tokio runtime: a host is polled only when one of its tasks was woken, and while
//! nobody has anything to do, tokio moves the clock to the next timer. Each host has a
//! [`LocalSet`](tokio::task::LocalSet), so a crash drops all of its tasks at once.
//!
//! The network ([`network`]) is ours. It knows what turmoil doesn't: a direction of a link can be held
//! alone, a connection can be reset, and segments are split and joined as TCP may do it.

mod connection;
mod flight;
mod links;
mod network;
mod program;
mod socket;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::net::Ipv4Addr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep_until};

pub(super) use self::network::Net;
pub(super) use self::socket::{TcpListener, TcpStream};
use super::{RunError, Settings};
use crate::entropy;
use network::Deliveries;
use program::{Program, Programs};

thread_local! {
    /// When the world that runs on this thread began. `None` while no part of it runs.
    static STARTED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Simulated time since the start, if an engine of this kind runs on this thread now.
pub(super) fn elapsed() -> Option<Duration> {
    STARTED.get().map(|started| started.elapsed())
}

/// Whether what runs now is a part of a world of this kind.
pub(super) fn is_running() -> bool {
    STARTED.get().is_some()
}

/// Marks what happens until it is dropped as a part of the world.
struct Inside;

impl Inside {
    fn new(started: Instant) -> Self {
        STARTED.set(Some(started));
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        STARTED.set(None);
    }
}

/// A simulated world.
pub(super) struct Events {
    // Dropped first: what hosts drop may use the runtime.
    programs: BTreeMap<String, Programs>,
    running: FuturesUnordered<Program>,
    deliveries: Deliveries,
    net: Net,
    started: Instant,
    elapsed: Duration,
    tick: Duration,
    runtime: Runtime,
}

impl Events {
    pub(super) fn new(settings: &Settings) -> Self {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime without IO needs nothing of the system");
        let started = {
            let _entered = runtime.enter();
            Instant::now()
        };
        let net = Net::new(settings);
        Self {
            programs: BTreeMap::new(),
            running: FuturesUnordered::new(),
            deliveries: Deliveries::new(net.clone()),
            net,
            started,
            elapsed: Duration::ZERO,
            tick: settings.tick,
            runtime,
        }
    }

    pub(super) fn net(&self) -> &Net {
        &self.net
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Adds a host that runs what `program` makes, again after each crash.
    pub(super) fn host<F, Run>(&mut self, name: &str, program: F)
    where
        F: Fn() -> Run + 'static,
        Run: Future<Output = ()> + 'static,
    {
        self.net.add_host(name);
        let programs = Programs::new(name, program);
        self.running.push(programs.program());
        self.programs.insert(name.to_owned(), programs);
        self.restart(name);
    }

    pub(super) fn address(&self, host: &str) -> Ipv4Addr {
        let address = self.net.address(host);
        address.expect("the caller names a host of this world")
    }

    /// Moves the world by one tick.
    pub(super) fn step(&mut self) -> Result<(), RunError> {
        let _inside = Inside::new(self.started);
        let until = self.started + self.elapsed + self.tick;
        let (running, deliveries) = (&mut self.running, &mut self.deliveries);
        let ended = self.runtime.block_on(async move {
            let mut tick = pin!(sleep_until(until));
            poll_fn(|cx| {
                if let Poll::Ready(Some(ended)) = running.poll_next_unpin(cx) {
                    return Poll::Ready(Err(RunError::Ended(ended)));
                }
                deliveries.poll(cx);
                tick.as_mut().poll(cx).map(Ok)
            })
            .await
        });
        self.elapsed += self.tick;
        ended
    }

    pub(super) fn crash(&mut self, host: &str) {
        let _inside = Inside::new(self.started);
        let _entered = self.runtime.enter();
        if let Some(programs) = self.programs.get(host) {
            programs.stop();
            self.net.set_up(host, false);
        }
    }

    pub(super) fn restart(&mut self, host: &str) {
        let _inside = Inside::new(self.started);
        let _entered = self.runtime.enter();
        if let Some(programs) = self.programs.get(host) {
            programs.stop();
            self.net.set_up(host, true);
            programs.start();
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // What hosts still hold is dropped outside of the world, but timers need their runtime.
        let _entered = self.runtime.enter();
        self.programs.values().for_each(Programs::stop);
    }
}

/// Moves the clocks that libraries read directly to the present.
fn set_clocks() {
    if let Some(elapsed) = elapsed() {
        entropy::set_elapsed(elapsed);
    }
}

#[cfg(test)]
mod tests;
