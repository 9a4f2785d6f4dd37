//! Keeps the snapshot current: drives core's state machines, fetches from the sources, keeps
//! last-known-good copies, and replaces the configuration.

pub(crate) mod apply;
pub mod check;
pub(crate) mod checked;
pub(crate) mod driver;
pub(crate) mod exporter;
pub(crate) mod last_known_good;
pub(crate) mod outputs;
mod prober;
pub mod reload;
pub(crate) mod sources;
