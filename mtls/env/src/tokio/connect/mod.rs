//! Connecting to a name that may have several addresses, of which some may not answer
//! (Happy Eyeballs, RFC 8305).
//!
//! Each address gets a head start of [`HEAD_START`] on the next. A failure starts the next at once,
//! and the first connection that succeeds ends all other attempts. The caller sets the timeout of
//! the whole.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, Sleep, sleep};

/// How long an address is tried alone (RFC 8305, section 8: Connection Attempt Delay).
const HEAD_START: Duration = Duration::from_millis(250);
/// Most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 16;

/// TCP keepalive: after this much silence the kernel probes the peer, at this interval and at most
/// this often without an answer. Unlike with HTTP/2 pings, no application sees or counts the
/// probes.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;
/// How long sent data may stay unacknowledged. The kernel's own limit is about 15 minutes, and
/// keepalive doesn't cover this case.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(60);

/// A lookup of a name's addresses.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// Resolves names.
pub trait Resolve: fmt::Debug + Send + Sync + 'static {
    /// All addresses of a host, with this port, best first. If the host is an address, the result
    /// is that address.
    ///
    /// # Errors
    /// The name can't be resolved.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a>;
}

/// The system's resolver. It doesn't say how long an answer is valid, so it is asked for every
/// connection.
#[derive(Debug)]
pub(super) struct System;

impl Resolve for System {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a> {
        Box::pin(async move { Ok(lookup_host((host, port)).await?.collect()) })
    }
}

pub(super) async fn connect(
    resolver: &dyn Resolve,
    host: &str,
    port: u16,
) -> io::Result<TcpStream> {
    // A URL has an IPv6 address in brackets, which resolvers don't accept.
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let addresses = alternating(resolver.resolve(host, port).await?);
    let stream = Race::new(addresses).await?;
    stream.set_nodelay(true)?;
    find_dead_peers(&stream)?;
    Ok(stream)
}

/// Addresses of the two families in turn, beginning with that of the first (RFC 8305, section 4):
/// if one family doesn't work, that costs only one head start.
fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let v6_first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        (addresses.into_iter()).partition(|address| address.is_ipv6() == v6_first);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::new();
    while turns.len() < ADDRESSES_MAX {
        let before = turns.len();
        turns.extend(first.next());
        turns.extend(second.next());
        if turns.len() == before {
            break;
        }
    }
    turns.truncate(ADDRESSES_MAX);
    turns
}

type Attempt = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// Parallel attempts to connect. The first that succeeds wins.
struct Race {
    left: std::vec::IntoIter<SocketAddr>,
    /// In the order of their start.
    running: Vec<Attempt>,
    /// When the next attempt starts while others are still running.
    head_start: Pin<Box<Sleep>>,
    /// The error of the first attempt that failed.
    failure: Option<io::Error>,
}

impl Race {
    fn new(addresses: Vec<SocketAddr>) -> Self {
        Self {
            left: addresses.into_iter(),
            running: Vec::new(),
            head_start: Box::pin(sleep(Duration::ZERO)),
            failure: None,
        }
    }

    /// The winner as the error, if there is one; otherwise how many attempts have failed.
    fn poll_running(&mut self, cx: &mut Context<'_>) -> Result<usize, TcpStream> {
        let before = self.running.len();
        let mut winner = None;
        let failure = &mut self.failure;
        self.running
            .retain_mut(|attempt| match attempt.as_mut().poll(cx) {
                Poll::Pending => true,
                Poll::Ready(Ok(stream)) => {
                    winner.get_or_insert(stream);
                    false
                }
                Poll::Ready(Err(error)) => {
                    failure.get_or_insert(error);
                    false
                }
            });
        winner.map_or(Ok(before - self.running.len()), Err)
    }
}

impl Future for Race {
    type Output = io::Result<TcpStream>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        let this = self.get_mut();
        loop {
            let failed = match this.poll_running(cx) {
                Err(winner) => return Poll::Ready(Ok(winner)),
                Ok(failed) => failed,
            };
            let due = failed > 0
                || this.running.is_empty()
                || this.head_start.as_mut().poll(cx).is_ready();
            if let Some(address) = due.then(|| this.left.next()).flatten() {
                this.running.push(Box::pin(TcpStream::connect(address)));
                this.head_start.as_mut().reset(Instant::now() + HEAD_START);
                // Polled once more, so that both attempt and timer wake us.
                continue;
            }
            if !this.running.is_empty() {
                return Poll::Pending;
            }
            let failure = this.failure.take();
            return Poll::Ready(Err(failure.unwrap_or_else(|| {
                io::Error::new(io::ErrorKind::NotFound, "the name has no address")
            })));
        }
    }
}

/// Makes the kernel end the connection if the peer vanishes silently.
fn find_dead_peers(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    Ok(())
}

#[cfg(test)]
mod tests;
