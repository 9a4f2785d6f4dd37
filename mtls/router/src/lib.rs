//! The Cellway router, to embed: listeners, TLS, the proxy path, sources.
//!
//! [`Router`] is the way in. It is generic over the world ([`Env`](cellway_env::Env)) and over who hears
//! what happens ([`Sink`](event::Sink)), so that a service embeds it, the binary runs it on every
//! core and the simulator runs it on virtual time, all with the same code.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]
#![warn(missing_docs)]

pub mod admin;
mod aging;
pub mod build;
pub mod check;
pub mod config;
mod connection;
mod driver;
pub mod envelope;
pub mod event;
pub mod explain;
mod ext_authz;
mod http1;
mod judge;
pub mod keep;
mod listen;
mod live;
pub mod log;
pub mod metrics;
pub mod network;
mod one_use;
mod opening;
mod pool;
mod proxy;
pub mod ready;
pub mod reload;
mod router;
pub mod settings;
mod shared;
pub mod shares;
pub mod sources;
mod streams;
#[cfg(test)]
mod testing;
pub mod tls;
mod worker;

pub use driver::{Command, Driver, Driving};
pub use opening::BindError;
pub use pool::{CellLoad, RETRIES_RESERVE};
pub use proxy::RESENDS_MAX;
pub use router::{Drained, Handle, ReloadError, Router, RouterBuilder, StartError};
pub use shared::{Inbox, Shared, ToControl};
pub use streams::STREAMS_CLOSED_WITHIN;
pub use worker::Worker;
