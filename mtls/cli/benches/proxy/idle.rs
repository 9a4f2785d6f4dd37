//! Memory of idle connections.

use std::time::Duration;

use cellway_testbed::Protocol;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::runtime::Runtime;
use tokio::time::sleep;

use super::load::Client;
use super::process::Memory;
use super::work::Work;
use super::world::{TENANTS, World};

/// How many connections are open.
const CONNECTIONS: usize = 10_000;
/// File descriptors besides those of the connections.
const DESCRIPTORS: u64 = 200;
/// Longer than the router waits until an idle connection gives back memory.
const IDLE: Duration = Duration::from_secs(15);

/// Measures connections of both versions, and prints a line for each. All connections have mutual TLS,
/// and have served one request.
pub(crate) fn run(runtime: &Runtime) {
    raise_limit();
    println!(
        "\n{:<55} {:>14} {:>18}",
        "idle connections", "resident, KiB", "KiB per connection"
    );
    for name in ["W3", "W5-mtls"] {
        let work = Work::ALL.into_iter().find(|work| work.name == name);
        let work = Work {
            listener: super::work::Listener::Mutual,
            ..work.expect("it has this name")
        };
        let (resident, each) = runtime.block_on(measure(work));
        let version = match work.protocol {
            Protocol::Http1 => "HTTP/1.1",
            Protocol::Http2 => "HTTP/2",
        };
        let what = format!("{CONNECTIONS} connections with {version} over mutual TLS");
        println!("{what:<55} {:>14} {each:>18.1}", resident / 1024);
    }
}

/// Returns the bytes that the router holds, and the KiB that each connection adds.
async fn measure(work: Work) -> (u64, f64) {
    let world = World::start(&[], TENANTS);
    // The connection to the cell, and all that the first request needs.
    let mut clients = Vec::with_capacity(CONNECTIONS + 1);
    clients.push(open(&world, work, 0).await);
    sleep(Duration::from_secs(1)).await;
    let before = Memory::of(world.router()).resident;
    for number in 1..=CONNECTIONS {
        clients.push(open(&world, work, number).await);
    }
    sleep(IDLE).await;
    let resident = Memory::of(world.router()).resident;
    let grown = resident.saturating_sub(before);
    (resident, grown as f64 / 1024.0 / CONNECTIONS as f64)
}

/// A client whose connection has served one request.
async fn open(world: &World, work: Work, number: usize) -> Client {
    let mut client = Client::connect(world, work, number, 1).await.remove(0);
    client.exchange().await;
    client
}

/// Lets this process, and the router that it starts, have a file descriptor for each connection.
fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    let needed = CONNECTIONS as u64 + DESCRIPTORS;
    if limit.maximum.is_some_and(|most| most < needed) {
        panic!("{CONNECTIONS} connections need {needed} file descriptors: raise `ulimit -Hn`");
    }
    if limit.current.is_some_and(|now| now < needed) {
        limit.current = Some(needed);
        setrlimit(Resource::Nofile, limit).expect("a limit below the maximum");
    }
}
