//! The binary's allocator. A program that embeds the router keeps its own. The reasons are in
//! `docs/decisions/allocator.md`.

use std::hint::black_box;
use std::time::Duration;

use mimalloc::MiMalloc;
use tokio::time::{MissedTickBehavior, interval};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// How often freed memory is given back at least.
const EVERY: Duration = Duration::from_secs(2);
/// So much that it is a block of its own.
const BLOCK: usize = 1024 * 1024;

/// Lets the allocator give freed memory back while nothing happens. It keeps it for a second, and looks
/// after that only when it frees another large block, which an idle router does not do: it would hold
/// the memory that it took to read a large registry until the next requests come.
pub(crate) async fn gives_back() {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // Nobody writes to it, so it costs no memory.
        drop(black_box(Vec::<u8>::with_capacity(BLOCK)));
    }
}
