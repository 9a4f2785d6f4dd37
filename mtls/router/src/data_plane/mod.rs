//! The path of a request: listeners, connections, what is decided of each request, and its way to a
//! cell. It reads the configuration and the snapshot in force, and waits for nothing but keys.

pub(crate) mod authz;
pub(crate) mod connection;
pub(crate) mod ext_authz;
pub(crate) mod http1;
pub(crate) mod listen;
pub(crate) mod pool;
pub(crate) mod proxy;
pub(crate) mod replay_cache;
pub mod shares;
pub(crate) mod streams;
pub(crate) mod worker;
