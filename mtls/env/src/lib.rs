//! What Cellway needs of the machine that it runs on: network, wall clock, entropy, tasks and storage.
//!
//! [`Env`] is the seam between Cellway and the world. Production runs on [tokio](tokio::TokioEnv);
//! the simulator has its own implementation, and both run every other line of the router and of the
//! testbed. The traits have associated types and no `dyn`, so that production pays nothing for them.
//! Timers aren't here: `tokio::time` already follows virtual time wherever the runtime's clock is
//! paused.
//!
//! The router, the testbed and services behind a router use this crate. It also has what they share
//! to [fetch] documents over TLS. It knows no configuration, no request and no cell.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]
#![warn(missing_docs, unreachable_pub)]
#![warn(clippy::wildcard_enum_match_arm)]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod clock;
pub mod fetch;
pub mod tokio;
mod words;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ::tokio::io::{AsyncRead, AsyncWrite};
use bytes::Bytes;
use cellway_core::Unix;

pub use self::clock::Clock;
pub use self::words::{handshake_failure, tls_error};

/// What a router needs of the machine that it runs on.
///
/// A value of this type is one host: in the simulator, several live in one process.
pub trait Env: Clone + Send + Sync + Unpin + 'static {
    /// A connected byte stream.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// An address that is bound but not listened on yet.
    type Claim: Claim<Listener = Self::Listener>;
    /// A bound socket that accepts streams.
    type Listener: Listener<Stream = Self::Stream>;
    /// Durable storage for last-known-good state, and the way files are read.
    type Store: Store;

    /// Connects to `host:port`. Takes the name, not an address: resolving it is the environment's.
    /// It also includes detecting a dead peer: the stream then fails within about a minute.
    fn connect(
        &self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Binds an address. The system refuses connections to it until [`Claim::listen`].
    ///
    /// # Errors
    /// `AddrInUse` if another socket listens there that doesn't share the address.
    fn claim(
        &self,
        address: SocketAddr,
        sharing: Sharing,
    ) -> impl Future<Output = io::Result<Self::Claim>> + Send;

    /// Binds an address and listens there: alone, or `shared` with others that do the same.
    ///
    /// # Errors
    /// `AddrInUse` if another socket listens there that doesn't share the address.
    fn bind(
        &self,
        address: SocketAddr,
        shared: bool,
    ) -> impl Future<Output = io::Result<Self::Listener>> + Send {
        let sharing = match shared {
            true => Sharing::Shared,
            false => Sharing::Alone,
        };
        async move { self.claim(address, sharing).await?.listen().await }
    }

    /// The wall clock.
    fn unix_now(&self) -> Unix;

    /// Fills `buffer` with random bytes, fit for identifiers and jitter. (TLS has its own source,
    /// inside the `CryptoProvider`.)
    fn fill(&self, buffer: &mut [u8]);

    /// Runs `task` until it ends or the host does.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);

    /// Runs work that takes milliseconds of CPU, away from the request path where that is possible.
    fn heavy<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send;

    /// The host's storage.
    fn store(&self) -> &Self::Store;
}

/// Who else may listen on an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// Nobody else.
    Alone,
    /// Nobody else until this socket listens. Then others may join it as [`Sharing::Shared`]. If
    /// two processes start at the same moment, only the first can listen.
    First,
    /// All sockets with this value (`SO_REUSEPORT`): the system spreads connections over them.
    Shared,
}

/// A bound address.
pub trait Claim: Send + 'static {
    /// The listener that it becomes.
    type Listener;

    /// Starts to listen. Call it on the runtime that serves the listener's connections.
    ///
    /// # Errors
    /// `AddrInUse` if another process was first.
    fn listen(self) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// The address (the port chosen, where 0 was asked for).
    ///
    /// # Errors
    /// What the system said.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// A bound socket.
pub trait Listener: Send + 'static {
    /// What it accepts.
    type Stream;

    /// Waits for the next connection.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    /// The address it is bound to (the port chosen, where 0 was asked for).
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// Files, as far as the router needs them. Paths are as the configuration writes them.
///
/// In the simulator this is where disks fill up and writes are torn.
pub trait Store: Clone + Send + Sync + 'static {
    /// Reads a whole file of at most `limit` bytes.
    ///
    /// # Errors
    /// `NotFound` where there is none, `FileTooLarge` above the limit, `PermissionDenied` where the
    /// file isn't as private as asked for.
    fn read(
        &self,
        path: &str,
        limit: usize,
        private: Privacy,
    ) -> impl Future<Output = io::Result<Bytes>> + Send;

    /// Replaces a file so that a reader, or this host after a crash, sees the old or the new
    /// content and nothing between. Creates missing folders with mode 0700, the file with 0600.
    fn replace(&self, path: &str, content: Bytes) -> impl Future<Output = io::Result<()>> + Send;

    /// What identifies the present content of a file, cheaply: for noticing that it changed.
    fn stat(&self, path: &str) -> impl Future<Output = io::Result<Stat>> + Send;
}

/// Whether a file's mode is checked before its content is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Privacy {
    /// Any readable file will do: configuration, certificates, registries.
    Any,
    /// The router's own state: refused where it is a link, somebody else's, or others could have
    /// written it.
    Own,
    /// Refused if other users could write or replace it. The path may lead through symbolic links,
    /// as in a Kubernetes volume: the file at the end and the folders on the way are checked.
    Trusted,
    /// A secret: as `Trusted`, and also refused if other users could read it.
    Secret,
}

/// A file's identity at one moment. Two equal values mean: very likely not written between.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stat {
    /// When it was last modified, since the Unix epoch.
    pub modified: Duration,
    /// Its length in bytes.
    pub len: u64,
    /// Its inode, or another number that changes when the file is replaced.
    pub inode: u64,
}
