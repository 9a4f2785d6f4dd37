//! What a request costs the router: CPU time of the real binary, in a process of its own with one
//! worker, while clients in this process load it over loopback and cells in this process answer.
//!
//! The figure to compare is CPU time per request (user and system, of the whole process). It holds
//! up on a machine that does other things besides, where requests per second don't; but a router
//! that is seldom busy wakes up for each request alone, so compare figures of runs in which it
//! used about as much of its core.
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark runs in real time, on tokio alone"
)]

mod load;
mod world;

use std::path::Path;
use std::time::Duration;

use cellway_testbed::Protocol;
use load::Load;
use world::{Listener, World};

/// Before it counts: connections are made and each tenant's token has been verified.
const WARM_UP: Duration = Duration::from_secs(2);
/// As long as it counts.
const MEASURED: Duration = Duration::from_secs(4);
/// The longest that one shape may take, whatever hangs.
const SHAPE_MAX: Duration = Duration::from_secs(30);

/// Bytes of an answer.
const ANSWER_LEN: usize = 256;

/// One kind of work. The cells' side follows from the listener: plain HTTP/1.1 behind the plain
/// one, HTTP/2 with mutual TLS behind the other.
struct Shape {
    name: &'static str,
    listener: Listener,
    protocol: Protocol,
    connections: usize,
    /// Requests in flight on each connection.
    streams: usize,
}

const SHAPES: [Shape; 3] = [
    Shape {
        name: "plain h1, cells plain h1",
        listener: Listener::Plain,
        protocol: Protocol::Http1,
        connections: 64,
        streams: 1,
    },
    Shape {
        name: "mTLS h1, RS256 of 1000 tenants, cells mTLS h2",
        listener: Listener::Mutual,
        protocol: Protocol::Http1,
        connections: 64,
        streams: 1,
    },
    Shape {
        name: "mTLS h2, RS256 of 1000 tenants, cells mTLS h2",
        listener: Listener::Mutual,
        protocol: Protocol::Http2,
        connections: 8,
        streams: 16,
    },
];

fn main() {
    // `cargo test --benches` runs this too, without the flag; there is nothing to test.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    if !Path::new("/proc/self/stat").exists() {
        println!("proxy: skipped: this system has no /proc to read a process's CPU time from");
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let world = World::start();
    println!(
        "\n{:<48} {:>10} {:>16} {:>12} {:>6}",
        "router with one worker", "CPU µs/req", "(user + system)", "requests/s", "core"
    );
    for shape in &SHAPES {
        let measured = runtime.block_on(async {
            tokio::time::timeout(SHAPE_MAX, measure(&world, shape))
                .await
                .expect("the router answers in time")
        });
        println!("{:<48} {measured}", shape.name);
    }
}

/// What one shape came to.
struct Measured {
    requests: u64,
    cpu: Cpu,
    lasted: Duration,
}

async fn measure(world: &World, shape: &Shape) -> Measured {
    let load = Load::start(world, shape).await;
    tokio::time::sleep(WARM_UP).await;
    let (from, before, requests) = (
        std::time::Instant::now(),
        Cpu::of(world.router()),
        load.answers(),
    );
    tokio::time::sleep(MEASURED).await;
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

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
