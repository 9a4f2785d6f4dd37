//! CPU time per request.

use std::fmt;
use std::time::{Duration, Instant};

use cellway_testbed::Protocol;
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use super::load::Load;
use super::process::Cpu;
use super::work::Work;
use super::world::{TENANTS, World};

/// Before it counts: connections are made and each tenant's token has been verified.
const WARM_UP: Duration = Duration::from_secs(2);
/// How long it counts.
const MEASURED: Duration = Duration::from_secs(4);
/// The longest that one kind of work may take, whatever hangs.
const WORK_MAX: Duration = Duration::from_secs(30);

/// Measures all kinds of work and prints a table.
pub(crate) fn run(runtime: &Runtime) {
    let mut world = World::start(&[], TENANTS);
    println!(
        "\n{:<55} {:>10} {:>16} {:>12} {:>6}",
        "router with one worker", "CPU µs/req", "(user + system)", "requests/s", "core"
    );
    for work in Work::ALL {
        let measured = runtime.block_on(async {
            timeout(WORK_MAX, measure(&world, work))
                .await
                .expect("the router answers in time")
        });
        println!("{work} {measured}");
    }
    // In order, so that an instrumented router writes its profile.
    world.end();
}

/// The connections that work is done on, and the requests in flight on each.
fn connections(work: Work) -> (usize, usize) {
    match (work.reconnects, work.protocol) {
        (true, _) => (16, 1),
        (false, Protocol::Http1) => (64, 1),
        (false, Protocol::Http2) => (8, 16),
    }
}

async fn measure(world: &World, work: Work) -> Measured {
    let (connections, streams) = connections(work);
    let load = Load::start(world, work, connections, streams).await;
    sleep(WARM_UP).await;
    let (from, before, requests) = (Instant::now(), Cpu::of(world.router()), load.answers());
    sleep(MEASURED).await;
    let requests = load.answers() - requests;
    let cpu = Cpu::of(world.router()).since(before);
    let lasted = from.elapsed();
    load.stop().await;
    assert!(requests > 0, "the router answered nothing");
    Measured {
        requests,
        cpu,
        lasted,
    }
}

/// What one kind of work came to.
struct Measured {
    requests: u64,
    cpu: Cpu,
    lasted: Duration,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / self.requests as f64;
        let (user, system) = (each(self.cpu.user), each(self.cpu.system));
        let rate = self.requests as f64 / self.lasted.as_secs_f64();
        let busy = (self.cpu.user + self.cpu.system).as_secs_f64() / self.lasted.as_secs_f64();
        let parts = format!("({user:.1} + {system:.1})");
        write!(
            f,
            "{:>10.1} {parts:>16} {rate:>12.0} {:>4.0} %",
            user + system,
            busy * 100.0
        )
    }
}
