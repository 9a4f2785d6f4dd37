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

use super::host::Host;

/// The most bytes that one segment carries: as much as one TLS record.
const SEGMENT_BYTES_MAX: usize = 16 * 1024;

/// A connection. The trace has the length and hash of everything that it sends, so two runs whose bytes
/// differ anywhere have different traces.
pub struct Stream {
    tcp: turmoil::net::TcpStream,
    host: Arc<Host>,
    /// `host:port` of the peer, as connected to or accepted from.
    peer: String,
}

impl Stream {
    pub(super) fn new(tcp: turmoil::net::TcpStream, host: Arc<Host>, peer: String) -> Self {
        Self { tcp, host, peer }
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
        if let Poll::Ready(Ok(len)) = written {
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
        match turmoil::in_simulation() {
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
        let tcp = turmoil::net::TcpListener::bind(self.address).await?;
        Ok(SimListener::new(tcp, self.host))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// A bound socket of a simulated host.
pub struct SimListener {
    tcp: turmoil::net::TcpListener,
    host: Arc<Host>,
}

impl SimListener {
    pub(super) fn new(tcp: turmoil::net::TcpListener, host: Arc<Host>) -> Self {
        Self { tcp, host }
    }
}

impl Listener for SimListener {
    type Stream = Stream;

    async fn accept(&mut self) -> io::Result<(Stream, SocketAddr)> {
        let (tcp, peer) = self.tcp.accept().await?;
        let name = turmoil::reverse_lookup(peer.ip()).unwrap_or_else(|| peer.ip().to_string());
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
        self.tcp.local_addr()
    }
}
