//! What Cellway needs from the machine that it runs on: network, wall clock, entropy, tasks and
//! storage.
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

mod clock;
pub mod fetch;
pub mod tokio;
mod words;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use ::tokio::io::{AsyncRead, AsyncWrite};
use bytes::Bytes;
use cellway_core::Unix;

pub use self::clock::Clock;
pub use self::words::{handshake_failure, tls_error};

/// What a router needs from the machine that it runs on.
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

    /// Connects to `host:port`. The environment resolves the name. It also detects a dead peer: the
    /// stream then fails within about a minute.
    fn connect(
        &self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Settles what becomes of the bytes that a stream's peer hasn't got yet. The caller is about to drop
    /// the stream. Where no system sends them after that, there is nothing to settle.
    fn leave(stream: &Self::Stream, unsent: Unsent) {
        let _ = (stream, unsent);
    }

    /// Binds an address. The system refuses connections to it until [`Claim::listen`].
    ///
    /// # Errors
    /// `AddrInUse` if another socket listens there that doesn't share the address.
    fn claim(
        &self,
        address: SocketAddr,
        sharing: Sharing,
    ) -> impl Future<Output = io::Result<Self::Claim>> + Send;

    /// A socket that listens already, from another process.
    ///
    /// # Errors
    /// `InvalidInput` if it isn't a listening TCP socket; `Unsupported` if this environment has no
    /// sockets of the system.
    fn adopt(&self, socket: OwnedFd) -> io::Result<Self::Claim> {
        drop(socket);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Binds an address and listens on it, alone or `shared` with other sockets that do the same.
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

    /// Runs `task` until it or the host ends.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);

    /// Runs work that takes milliseconds of CPU time, if possible away from the request path.
    fn heavy<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send;

    /// The host's storage.
    fn store(&self) -> &Self::Store;
}

/// What becomes of the bytes that were written to a stream and that its peer hasn't got when the stream
/// is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsent {
    /// They are discarded, and the peer sees a reset.
    Discarded,
    /// The system still sends them, until the peer has taken none of them for this long.
    SentWithin(Duration),
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
    /// The listener that the claim becomes.
    type Listener;

    /// Starts to listen. Call it on the runtime that serves the listener's connections.
    ///
    /// # Errors
    /// `AddrInUse` if another process was first.
    fn listen(self) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// The address. If port 0 was asked for, it has the port that the system chose.
    ///
    /// # Errors
    /// The system's error.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// A bound socket.
pub trait Listener: Send + 'static {
    /// The streams that it accepts.
    type Stream;

    /// Waits for the next connection.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    /// Accepts a connection that already waits in the system's queue. `None` if the queue is empty.
    ///
    /// # Errors
    /// As for [`accept`](Self::accept).
    fn accept_queued(&mut self) -> io::Result<Option<(Self::Stream, SocketAddr)>>;

    /// The address it is bound to. If port 0 was asked for, it has the port that the system chose.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// A copy of the socket, to pass it to another process. The socket is open until all copies are
    /// dropped.
    ///
    /// # Errors
    /// The process has too many open files; `Unsupported` if this isn't a socket of the system.
    fn duplicate(&self) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The file operations that the router needs. Paths are as they are in the configuration.
///
/// In the simulator this is where disks fill up and writes are torn.
pub trait Store: Clone + Send + Sync + 'static {
    /// Reads a whole file of at most `limit` bytes.
    ///
    /// # Errors
    /// `NotFound` if there is none, `FileTooLarge` above the limit, `PermissionDenied` if the file
    /// isn't as private as asked for.
    fn read(
        &self,
        path: &str,
        limit: usize,
        private: Privacy,
    ) -> impl Future<Output = io::Result<Bytes>> + Send;

    /// Replaces a file atomically: a reader, or this host after a crash, sees either the old or the
    /// new content. Creates missing folders with mode 0700, and the file with 0600.
    fn replace(&self, path: &str, content: Bytes) -> impl Future<Output = io::Result<()>> + Send;

    /// Identifies the present content of a file cheaply, to notice changes.
    fn stat(&self, path: &str) -> impl Future<Output = io::Result<Stat>> + Send;

    /// What other users may do with a file, at the end of all links.
    ///
    /// # Errors
    /// As for [`stat`](Self::stat).
    fn exposure(&self, path: &str) -> impl Future<Output = io::Result<Exposure>> + Send {
        let _ = path;
        std::future::ready(Ok(Exposure::default()))
    }

    /// Whether [`replace`](Self::replace) may write this file. Nothing is written.
    ///
    /// # Errors
    /// `PermissionDenied` or `ReadOnlyFilesystem`, with the folder that can't be written.
    fn can_replace(&self, path: &str) -> impl Future<Output = io::Result<()>> + Send {
        let _ = path;
        std::future::ready(Ok(()))
    }
}

/// What users other than a file's owner may do with it, as its mode says. A store without modes has no
/// other users.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Exposure {
    /// Every user may read it.
    pub read_by_all: bool,
    /// Its group or every user may write it.
    pub written_by_others: bool,
    /// The mode's permission bits.
    pub mode: u32,
}

/// Whether a file's mode is checked before its content is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Privacy {
    /// Any readable file will do: configuration, certificates, registries.
    Any,
    /// The router's own state. Refused if it is a link, if somebody else owns it, or if others
    /// could have written it.
    Own,
    /// Refused if other users could write or replace it. The path may lead through symbolic links,
    /// as in a Kubernetes volume: the file at the end and the folders on the way are checked.
    Trusted,
    /// A secret: as `Trusted`, and also refused if other users could read it.
    Secret,
}

/// A file's identity at one moment. If two values are equal, the file was very likely not written
/// in between.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stat {
    /// When it was last modified, since the Unix epoch.
    pub modified: Duration,
    /// Its length in bytes.
    pub len: u64,
    /// Its inode, or another number that changes when the file is replaced.
    pub inode: u64,
}
