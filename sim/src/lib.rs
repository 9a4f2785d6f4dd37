//! Cellway's simulator: the real router, h2 and rustls in a simulated network with simulated time,
//! faults and invariants. One seed gives one run, byte for byte.
//!
//! A [`Scenario`] is a TOML file: a world, a workload, faults, and what must hold. [`Scenario::load`]
//! reads and checks it, [`Scenario::run`] runs it with a seed, and the [`Report`] says what happened and
//! whether it passed. `docs/scenarios.md` describes the file, `docs/invariants.md` what every run must
//! keep. `examples/own_scenario.rs` runs a scenario from a test.
#![deny(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod determinism;
pub mod engine;
mod entropy;
mod expected;
pub mod explore;
pub mod fact;
mod failure;
pub mod invariants;
mod observer;
pub mod points;
mod random;
pub mod record;
pub mod rehearse;
mod replay;
pub mod report;
mod runner;
pub mod scenario;
mod store;
mod tls;
mod trace;
mod world;

/// What your own code gets in a [`Simulation`].
pub mod own {
    pub use cellway_testbed::{IdentityProvider, OwnService};

    pub use crate::world::{Client, Host, Reply};
}

pub use failure::{Faults, Violation};
pub use random::Random;
pub use record::Request;
pub use replay::quoted;
pub use report::Report;
pub use runner::Simulation;
pub use scenario::Scenario;
pub use store::SimStore;
pub use tls::ed25519_pkcs8;
pub use trace::{Difference, Trace};
