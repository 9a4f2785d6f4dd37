//! The production environment: tokio's network, the system's clock, entropy and files.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the one place where the real clock, tasks and threads are reached"
)]

mod access;
mod connect;
mod store;
mod trust;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cellway_core::Unix;
use rustls::crypto::SecureRandom;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

pub use self::connect::{Resolve, Resolving};
pub use self::store::FileStore;
use super::{Claim, Env, Listener, Sharing, Unsent};

/// How many connections the kernel holds for a listener before it is accepted from.
const BACKLOG: i32 = 1024;

/// How many bytes that the system has not sent yet it holds for a connection. Otherwise it holds
/// megabytes, and takes more only when a third of them is gone: a client that reads slowly, but fast
/// enough, would look like one that has stopped.
#[cfg(target_os = "linux")]
const UNSENT_MAX: u32 = 128 * 1024;

const NOT_IP: &str = "is not an IP address";

/// The machine that the process runs on. Use it inside a tokio runtime.
#[derive(Clone, Debug)]
pub struct TokioEnv {
    random: &'static dyn SecureRandom,
    resolver: Arc<dyn Resolve>,
    store: FileStore,
}

impl TokioEnv {
    /// The present machine.
    pub fn new() -> Self {
        Self {
            random: rustls::crypto::aws_lc_rs::default_provider().secure_random,
            resolver: Arc::new(connect::System),
            store: FileStore::default(),
        }
    }

    /// The same with another resolver than the system's.
    #[must_use]
    pub fn with_resolver(self, resolver: impl Resolve) -> Self {
        Self {
            resolver: Arc::new(resolver),
            ..self
        }
    }
}

impl Default for TokioEnv {
    fn default() -> Self {
        Self::new()
    }
}

impl Env for TokioEnv {
    type Stream = TcpStream;
    type Claim = TokioClaim;
    type Listener = TokioListener;
    type Store = FileStore;

    async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        connect::connect(&*self.resolver, host, port).await
    }

    /// Without a limit of its own, Linux keeps the bytes of a peer that reads nothing for minutes.
    fn leave(stream: &TcpStream, unsent: Unsent) {
        // An error means that the connection has ended already.
        let _ = match unsent {
            Unsent::Discarded => stream.set_zero_linger(),
            #[cfg(target_os = "linux")]
            Unsent::SentWithin(time) => SockRef::from(stream).set_tcp_user_timeout(Some(time)),
            #[cfg(not(target_os = "linux"))]
            Unsent::SentWithin(_) => Ok(()),
        };
    }

    async fn claim(&self, address: SocketAddr, sharing: Sharing) -> io::Result<TokioClaim> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        // Otherwise a restart would have to wait for connections that the previous process closed.
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(sharing == Sharing::Shared)?;
        socket.set_nonblocking(true)?;
        set_inherited(&socket)?;
        socket.bind(&address.into())?;
        let kind = Kind::Bound(sharing);
        Ok(TokioClaim { socket, kind })
    }

    fn adopt(&self, socket: OwnedFd) -> io::Result<TokioClaim> {
        let socket = Socket::from(socket);
        let listens = socket.r#type()? == Type::STREAM && is_listener(&socket)?;
        if !listens || socket.local_addr()?.as_socket().is_none() {
            let problem = "is not a listening TCP socket";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        // The process that made it may have set none of these.
        socket.set_cloexec(true)?;
        socket.set_nonblocking(true)?;
        set_inherited(&socket)?;
        let kind = Kind::Adopted;
        Ok(TokioClaim { socket, kind })
    }

    fn unix_now(&self) -> Unix {
        // A clock before 1970 isn't set. Nothing is valid then.
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Unix::from_epoch(since)
    }

    fn fill(&self, buffer: &mut [u8]) {
        self.random
            .fill(buffer)
            .expect("aws-lc's generator doesn't fail once the process runs");
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // Boxed, because tokio moves a task a dozen times before and after it runs it, and those of
        // HTTP/2 have 2 KiB and more.
        tokio::spawn(Box::pin(task));
    }

    async fn heavy<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        match tokio::task::spawn_blocking(work).await {
            Ok(value) => value,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime shuts down, and the caller with it.
            Err(_) => std::future::pending().await,
        }
    }

    fn store(&self) -> &FileStore {
        &self.store
    }
}

/// Sets what accepted connections inherit on Linux. Where they don't, `accept` sets the first again.
fn set_inherited(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(UNSENT_MAX)?;
    Ok(())
}

/// Whether the socket listens. Other systems than Linux can't say.
fn is_listener(socket: &Socket) -> io::Result<bool> {
    #[cfg(target_os = "linux")]
    return socket.is_listener();
    #[cfg(not(target_os = "linux"))]
    return socket.local_addr().map(|_| true);
}

/// A bound TCP socket.
#[derive(Debug)]
pub struct TokioClaim {
    socket: Socket,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Bound by this process.
    Bound(Sharing),
    /// From another process. It listens already.
    Adopted,
}

impl Claim for TokioClaim {
    type Listener = TokioListener;

    async fn listen(self) -> io::Result<TokioListener> {
        // A successful bind isn't enough: two sockets with SO_REUSEADDR may bind one address, but
        // the system lets only one of them listen. So this call decides between two processes.
        if self.kind != Kind::Adopted {
            self.socket.listen(BACKLOG)?;
        }
        if self.kind == Kind::Bound(Sharing::First) {
            // This is set only now, so that no other socket with SO_REUSEPORT could be there first.
            // The system checks the option when another socket binds, and puts all sockets with it
            // into one group.
            self.socket.set_reuse_port(true)?;
        }
        TcpListener::from_std(self.socket.into()).map(TokioListener)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        let address = self.socket.local_addr()?;
        (address.as_socket()).ok_or_else(|| io::Error::other(NOT_IP))
    }
}

/// A listening TCP socket.
#[derive(Debug)]
pub struct TokioListener(TcpListener);

impl Listener for TokioListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.0.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, peer))
    }

    /// Asks the system, because tokio only knows of connections that its last look at the system's
    /// events has told.
    fn accept_queued(&mut self) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        let (socket, peer) = match SockRef::from(&self.0).accept() {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        let peer = (peer.as_socket()).ok_or_else(|| io::Error::other(NOT_IP))?;
        let stream = TcpStream::from_std(socket.into())?;
        Ok(Some((stream, peer)))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn duplicate(&self) -> io::Result<OwnedFd> {
        self.0.as_fd().try_clone_to_owned()
    }
}

#[cfg(test)]
mod tests;
