//! Streams and listeners of simulated hosts.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use aws_lc_rs::digest::{SHA256, digest};
use cellway_env::{Claim, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::events;
use super::host::{Host, Network, is_running};

/// The most bytes that one segment carries: as much as one TLS record.
const SEGMENT_BYTES_MAX: usize = 16 * 1024;

/// A connection. The trace has the length and hash of everything that it sends, so two runs whose bytes
/// differ anywhere have different traces.
pub struct Stream {
    tcp: Tcp,
    host: Arc<Host>,
    /// `host:port` of the peer, as connected to or accepted from.
    peer: String,
}

impl Stream {
    pub(super) fn new(tcp: Tcp, host: Arc<Host>, peer: String) -> Self {
        Self { tcp, host, peer }
    }

    /// The peer sees a reset when this is dropped, in an engine whose connections have resets.
    pub(super) fn discard(&self) {
        if let Tcp::Events(tcp) = &self.tcp {
            tcp.discard();
        }
    }
}

/// A connected socket of either engine.
pub(super) enum Tcp {
    Turmoil(turmoil::net::TcpStream),
    Events(events::TcpStream),
}

impl Tcp {
    pub(super) async fn connect(host: &Host, to: (&str, u16)) -> io::Result<Self> {
        match &host.network {
            Network::Turmoil => {
                let tcp = turmoil::net::TcpStream::connect(to).await;
                tcp.map(Self::Turmoil)
            }
            Network::Events(net) => {
                let tcp = events::TcpStream::connect(net, host.address(), to).await;
                tcp.map(Self::Events)
            }
        }
    }
}

impl AsyncRead for Tcp {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Turmoil(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Events(tcp) => Pin::new(tcp).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Turmoil(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Events(tcp) => Pin::new(tcp).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Turmoil(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Events(tcp) => Pin::new(tcp).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Turmoil(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Events(tcp) => Pin::new(tcp).poll_shutdown(cx),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let bytes = &bytes[..bytes.len().min(SEGMENT_BYTES_MAX)];
        let written = Pin::new(&mut self.tcp).poll_write(cx, bytes);
        if let Poll::Ready(Ok(len)) = written
            && self.host.is_traced()
        {
            let hash = digest(&SHA256, &bytes[..len]);
            let hash = u64::from_be_bytes(std::array::from_fn(|i| hash.as_ref()[i]));
            let line = format_args!("sends {len} bytes to {} ({hash:016x})", self.peer);
            self.host.record(line);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What is dropped after the run still closes its connections, and turmoil would panic.
        match is_running() {
            true => Pin::new(&mut self.tcp).poll_shutdown(cx),
            false => Poll::Ready(Ok(())),
        }
    }
}

/// An address of a simulated host. turmoil has no socket that is bound but doesn't listen, so it
/// binds when it listens, and a port for 0 is chosen only then.
pub struct SimClaim {
    address: SocketAddr,
    host: Arc<Host>,
}

impl SimClaim {
    pub(super) fn new(address: SocketAddr, host: Arc<Host>) -> Self {
        Self { address, host }
    }
}

impl Claim for SimClaim {
    type Listener = SimListener;

    async fn listen(self) -> io::Result<SimListener> {
        let tcp = match &self.host.network {
            Network::Turmoil => {
                TcpListener::Turmoil(turmoil::net::TcpListener::bind(self.address).await?)
            }
            Network::Events(net) => {
                let host = self.host.address();
                TcpListener::Events(events::TcpListener::bind(net, host, self.address)?)
            }
        };
        let host = self.host;
        Ok(SimListener { tcp, host })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// A bound socket of a simulated host.
pub struct SimListener {
    tcp: TcpListener,
    host: Arc<Host>,
}

enum TcpListener {
    Turmoil(turmoil::net::TcpListener),
    Events(events::TcpListener),
}

impl TcpListener {
    async fn accept(&self) -> io::Result<(Tcp, SocketAddr)> {
        match self {
            Self::Turmoil(listener) => {
                let (tcp, peer) = listener.accept().await?;
                Ok((Tcp::Turmoil(tcp), peer))
            }
            Self::Events(listener) => {
                let (tcp, peer) = listener.accept().await?;
                Ok((Tcp::Events(tcp), peer))
            }
        }
    }
}

impl Listener for SimListener {
    type Stream = Stream;

    async fn accept(&mut self) -> io::Result<(Stream, SocketAddr)> {
        let (tcp, peer) = self.tcp.accept().await?;
        let name = self.host.name_of(peer.ip());
        let name = format!("{name}:{}", peer.port());
        Ok((Stream::new(tcp, self.host.clone(), name), peer))
    }

    fn accept_queued(&mut self) -> io::Result<Option<(Stream, SocketAddr)>> {
        match pin!(self.accept()).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(accepted) => accepted.map(Some),
            Poll::Pending => Ok(None),
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.tcp {
            TcpListener::Turmoil(listener) => listener.local_addr(),
            TcpListener::Events(listener) => Ok(listener.local_addr()),
        }
    }
}
