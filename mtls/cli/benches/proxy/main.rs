//! What a request costs the router: the real binary, in a process of its own with one worker, while
//! clients in this process load it over loopback and cells in this process answer.
//!
//! `cargo bench -p cellway --bench proxy` prints CPU time per request (user and system, of the whole
//! process). It holds up on a machine that does other things besides, where requests per second
//! don't. But a router that is seldom busy wakes up for each request alone, so compare figures of runs
//! in which it used about as much of its core.
//!
//! With `-- --instructions`, it counts the instructions of a request instead, which don't depend on
//! what else runs, and fails if there are more than the committed number allows. With `-- --idle`, it
//! measures the memory of idle connections, and with `-- --tenants` what a large registry costs. See
//! `benches/README.md`.
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark runs in real time, on tokio alone"
)]

mod cpu;
mod idle;
mod instructions;
mod load;
mod process;
mod tenants;
mod work;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    // `cargo test --benches` runs this too, without the flag. There is nothing to test.
    if !has("--bench") {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    if has("--instructions") {
        return instructions::run(&runtime, has("--record"));
    }
    if !std::path::Path::new("/proc/self/stat").exists() {
        println!(
            "proxy: skipped: this system has no /proc to read a process's CPU time and memory from"
        );
        return ExitCode::SUCCESS;
    }
    if has("--idle") {
        idle::run(&runtime);
    } else if has("--tenants") {
        tenants::run(&runtime);
    } else {
        cpu::run(&runtime);
    }
    ExitCode::SUCCESS
}
