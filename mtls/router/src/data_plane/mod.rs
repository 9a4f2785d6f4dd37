//! The path of a request: listeners, connections, authorization, and forwarding to a cell. It reads
//! the current view, and waits for control only to get keys.

mod activity;
mod admission;
mod authz;
mod body;
mod buckets;
mod client;
mod connection;
mod date;
pub(crate) mod drain;
mod explained;
mod ext_authz;
mod http1;
mod http2;
mod incoming;
mod interims;
mod listen;
pub(crate) mod opening;
mod origin;
mod outlasting;
pub(crate) mod pool;
pub(crate) mod proxy;
mod rates;
pub(crate) mod readiness;
mod record;
pub(crate) mod rehearsal;
mod replay_cache;
pub(crate) mod router_state;
pub(crate) mod sockets;
pub(crate) mod streams;
mod switch;
mod target;
mod turns;
mod well_formed;
pub(crate) mod worker;
mod worker_state;
