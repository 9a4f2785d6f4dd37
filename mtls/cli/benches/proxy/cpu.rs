//! CPU time per request.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use cellway_testbed::Protocol;
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use super::load::Load;
use super::work::Work;
use super::world::World;

/// Before it counts: connections are made and each tenant's token has been verified.
const WARM_UP: Duration = Duration::from_secs(2);
/// How long it counts.
const MEASURED: Duration = Duration::from_secs(4);
/// The longest that one kind of work may take, whatever hangs.
const WORK_MAX: Duration = Duration::from_secs(30);

/// Measures all kinds of work and prints a table.
pub(crate) fn run(runtime: &Runtime) {
    if !Path::new("/proc/self/stat").exists() {
        println!("proxy: skipped: this system has no /proc to read a process's CPU time from");
        return;
    }
    let world = World::start(&[]);
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

/// CPU time that a process has used.
#[derive(Clone, Copy)]
struct Cpu {
    user: Duration,
    system: Duration,
}

impl Cpu {
    /// Of the process with this id (proc(5), `/proc/PID/stat`, fields 14 and 15).
    fn of(process: u32) -> Self {
        let path = format!("/proc/{process}/stat");
        let stat = std::fs::read_to_string(path).expect("the router runs");
        // The second field is the program's name in parentheses, and may hold anything.
        let (_, rest) = stat.rsplit_once(')').expect("a name");
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // In hundredths of a second, on every Linux that programs see.
        let time =
            |field: usize| Duration::from_millis(10 * fields[field].parse::<u64>().expect("ticks"));
        Self {
            user: time(11),
            system: time(12),
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            user: self.user - before.user,
            system: self.system - before.system,
        }
    }
}
