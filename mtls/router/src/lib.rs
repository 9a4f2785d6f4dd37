//! The Cellway router, to embed: listeners, TLS, the proxy path, sources.
//!
//! Start with [`Router`]. It is generic over the environment ([`Env`](cellway_env::Env)) and the
//! receiver of events ([`Sink`](event::Sink)). So a service can embed it, the binary runs it on
//! every core, and the simulator runs it on virtual time, all with the same code.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod active_config;
mod aging;
pub mod build;
pub mod config;
mod control_plane;
mod data_plane;
pub mod envelope;
mod error;
pub mod explain;
mod finding;
mod health_service;
mod lock;
pub mod network;
mod observe;
mod rfc3339;
mod router;
pub mod settings;
pub mod shares;
#[cfg(test)]
mod testing;
pub mod tls;
mod to_cell;
mod view;
mod wire;

pub use control_plane::{check, reload};
pub use data_plane::pool::{BREAKER_HEARD, RETRIES_RESERVE};
pub use data_plane::proxy::RESENDS_MAX;
pub use data_plane::streams::STREAMS_CLOSED_WITHIN;
pub use data_plane::worker::Worker;
pub use error::{BindError, ReloadError, StartError};
pub use observe::metrics::CellLoad;
pub use observe::{admin, event, log, metrics, ready};
pub use router::{Drained, Handle, Router, RouterBuilder};
