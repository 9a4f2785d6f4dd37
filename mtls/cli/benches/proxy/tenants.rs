//! What a registry with many tenants costs.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::time::sleep;

use super::instructions;
use super::load::Client;
use super::process::{Memory, mib};
use super::work::Work;
use super::world::{TENANTS, World};

/// Tenants in the registry.
const SIZES: [usize; 2] = [TENANTS, 1_000_000];
/// After this time and so many requests, the allocator has given back what the load of the registry
/// needed.
const SETTLED: Duration = Duration::from_secs(2);
const REQUESTS: usize = 20_000;

/// Starts a router with each registry and prints a line for it.
pub(crate) fn run(runtime: &Runtime) {
    let token = Work::ALL.into_iter().find(|work| work.name == "W4-mtls");
    let work = token.expect("it has this name");
    println!(
        "\n{:>9} {:>14} {:>14} {:>22} {:>14} {:>22}",
        "tenants",
        "document, MiB",
        "first answer",
        "peak - document, MiB",
        "resident, MiB",
        "instructions/request"
    );
    for tenants in SIZES {
        let measured = runtime.block_on(measure(work, tenants));
        let count = runtime.block_on(instructions::of(work, tenants));
        let count = count.map_or("no valgrind".to_owned(), |count| count.to_string());
        println!("{tenants:>9} {measured} {count:>22}");
    }
}

async fn measure(work: Work, tenants: usize) -> String {
    let mut world = World::prepare(tenants);
    let document = world.registry_bytes();
    let began = Instant::now();
    world.serve(&[]);
    let mut client = Client::connect(&world, work, 0, 1).await.remove(0);
    client.exchange().await;
    let answered = began.elapsed();
    let peak = Memory::of(world.router()).peak;
    sleep(SETTLED).await;
    for _ in 0..REQUESTS {
        client.exchange().await;
    }
    let resident = Memory::of(world.router()).resident;
    format!(
        "{:>14.1} {:>11.0} ms {:>22.1} {:>14.1}",
        mib(document),
        answered.as_secs_f64() * 1e3,
        mib(peak.saturating_sub(document)),
        mib(resident)
    )
}
