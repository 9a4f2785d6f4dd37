//! Cellway's simulator: the real router, hyper and rustls in a world made of simulated time and
//! network, with faults, invariants and a trace that one seed determines byte for byte.
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod determinism;
pub mod engine;
mod entropy;
pub mod fact;
pub mod invariants;
mod observer;
mod random;
pub mod report;
pub mod scenario;
mod store;
mod tls;
mod trace;
mod world;

pub use random::Random;
pub use report::Report;
pub use scenario::Scenario;
pub use store::SimStore;
pub use tls::ed25519_pkcs8;
pub use trace::{Difference, Trace};
