//! The Cellway router, to embed: listeners, TLS, the proxy path, sources.
//!
//! Start with [`Router`]. It is generic over the environment ([`Env`](cellway_env::Env)) and the
//! receiver of events ([`Sink`](event::Sink)). So a service can embed it, the binary runs it on
//! every core, and the simulator runs it on virtual time, all with the same code.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]
#![warn(missing_docs)]

mod active_config;
mod aging;
pub mod build;
pub mod check;
pub mod config;
pub mod control_plane;
mod data_plane;
mod drain;
pub mod envelope;
pub mod explain;
mod lock;
pub mod network;
pub mod observe;
mod opening;
mod router;
mod router_state;
pub mod settings;
#[cfg(test)]
mod testing;
pub mod tls;
mod view;

pub use control_plane::{last_known_good, reload, sources};
pub use data_plane::pool::{CellLoad, RETRIES_RESERVE};
pub use data_plane::proxy::RESENDS_MAX;
pub use data_plane::shares;
pub use data_plane::streams::STREAMS_CLOSED_WITHIN;
pub use data_plane::worker::Worker;
pub use observe::{admin, event, log, metrics, ready};
pub use opening::BindError;
pub use router::{Drained, Handle, ReloadError, Router, RouterBuilder, StartError};
