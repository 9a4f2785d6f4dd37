//! Sockets of the network, with the methods of tokio's.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::{Connection, ConnectionId, Opening, Side};
use super::network::{Net, Port};

/// A connected socket.
pub(in crate::engine) struct TcpStream {
    net: Net,
    id: ConnectionId,
    side: Side,
    /// Dropping it resets the connection, whatever was written.
    discards: AtomicBool,
}

impl TcpStream {
    fn new(net: Net, id: ConnectionId, side: Side) -> Self {
        Self {
            net,
            id,
            side,
            discards: AtomicBool::new(false),
        }
    }

    /// Connects from a host to a port of a host, by name or address.
    pub(in crate::engine) async fn connect(
        net: &Net,
        from: Ipv4Addr,
        (host, port): (&str, u16),
    ) -> io::Result<Self> {
        let id = {
            let mut network = net.lock();
            let to = network.resolve(from, host)?;
            network.open(from, SocketAddr::from((to, port)))?
        };
        let stream = Self::new(net.clone(), id, Side::Client);
        poll_fn(|cx| {
            let opening = stream.with(|connection| {
                connection.end_mut(Side::Client).wait_to_read(cx);
                connection.opening
            });
            match opening {
                Some(Opening::Asked) => Poll::Pending,
                Some(Opening::Done) => Poll::Ready(io::Result::Ok(())),
                Some(Opening::Refused) | None => {
                    Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into()))
                }
            }
        })
        .await?;
        Ok(stream)
    }

    /// The peer sees a reset when this is dropped.
    pub(in crate::engine) fn discard(&self) {
        self.discards.store(true, Ordering::Relaxed);
    }

    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> T) -> Option<T> {
        self.net.lock().connection(self.id).map(work)
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut net = self.net.lock();
        let limit = net.segment_len(buf.remaining());
        match net.connection(self.id) {
            Some(connection) => connection.poll_read(self.side, limit, cx, buf),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut net = self.net.lock();
        let len = net.segment_len(bytes.len());
        let Some(connection) = net.connection(self.id) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        std::task::ready!(connection.poll_write(self.side, len, cx))?;
        net.send_data(self.id, self.side, Bytes::copy_from_slice(&bytes[..len]));
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.net.lock().shut(self.id, self.side);
        Poll::Ready(Ok(()))
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        // After the run there is nobody to tell.
        if super::is_running() {
            let discards = self.discards.load(Ordering::Relaxed);
            self.net.lock().leave(self.id, self.side, discards);
        }
    }
}

/// A listening socket.
pub(in crate::engine) struct TcpListener {
    net: Net,
    host: Ipv4Addr,
    address: SocketAddr,
}

impl TcpListener {
    /// Listens on an address of a host: on loopback alone, or on all addresses.
    pub(in crate::engine) fn bind(
        net: &Net,
        host: Ipv4Addr,
        address: SocketAddr,
    ) -> io::Result<Self> {
        net.lock().listen(host, port(address))?;
        Ok(Self {
            net: net.clone(),
            host,
            address,
        })
    }

    pub(in crate::engine) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        poll_fn(|cx| {
            let accepted = self.net.lock().accept(self.host, port(self.address), cx);
            match accepted {
                Ok(None) => Poll::Pending,
                Ok(Some((id, peer))) => {
                    let stream = TcpStream::new(self.net.clone(), id, Side::Server);
                    Poll::Ready(Ok((stream, peer)))
                }
                Err(error) => Poll::Ready(Err(error)),
            }
        })
        .await
    }

    pub(in crate::engine) fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        if super::is_running() {
            self.net.lock().close(self.host, port(self.address));
        }
    }
}

fn port(address: SocketAddr) -> Port {
    let loopback = matches!(address.ip(), IpAddr::V4(ip) if ip.is_loopback());
    let number = address.port();
    Port { loopback, number }
}
