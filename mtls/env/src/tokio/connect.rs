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
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream as StdStream};

    use socket2::{Domain, Socket, Type};

    use super::*;

    /// The default connect timeout of a router.
    const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

    #[derive(Debug)]
    struct Fixed(Vec<SocketAddr>);

    impl Resolve for Fixed {
        fn resolve<'a>(&'a self, _: &'a str, _: u16) -> Resolving<'a> {
            let addresses = self.0.clone();
            Box::pin(async move { Ok(addresses) })
        }
    }

    fn loopback(last: u8, port: u16) -> SocketAddr {
        (Ipv4Addr::new(127, 0, 0, last), port).into()
    }

    fn listener(last: u8) -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind(loopback(last, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// An address that swallows packets: its backlog is full.
    struct BlackHole {
        address: SocketAddr,
        _held: (Socket, Vec<StdStream>),
    }

    fn black_hole(last: u8) -> BlackHole {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&loopback(last, 0).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut waiting = Vec::new();
        let patience = Duration::from_millis(200);
        while let Ok(stream) = StdStream::connect_timeout(&address, patience) {
            waiting.push(stream);
        }
        BlackHole {
            address,
            _held: (socket, waiting),
        }
    }

    async fn reached(addresses: &[SocketAddr]) -> io::Result<SocketAddr> {
        let resolver = Fixed(addresses.to_vec());
        let connecting = connect(&resolver, "cell.test", 1);
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(stream) => stream?.peer_addr(),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    #[tokio::test]
    async fn silent_addresses_keep_nobody_from_the_one_that_answers() {
        let (first, second) = (black_hole(2), black_hole(3));
        let (_listener, good) = listener(1);
        let addresses = [first.address, second.address, good];
        assert_eq!(reached(&addresses).await.unwrap(), good);
        let silent = reached(&addresses[..2]).await.unwrap_err();
        assert_eq!(silent.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn all_addresses_are_tried_and_the_first_failure_is_told() {
        let refusing = [4, 5].map(|last| listener(last).1);
        let (_listener, good) = listener(1);
        let addresses = [refusing[0], refusing[1], good];
        assert_eq!(reached(&addresses).await.unwrap(), good);
        let refused = reached(&refusing).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let nowhere = reached(&[]).await.unwrap_err();
        assert_eq!(nowhere.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn families_take_turns() {
        let parse = |text: &str| text.parse::<SocketAddr>().unwrap();
        let six = [1, 2, 3].map(|n| parse(&format!("[2001:db8::{n}]:1")));
        let four = [1, 2].map(|n| parse(&format!("192.0.2.{n}:1")));
        let given = [six.as_slice(), &four].concat();
        assert_eq!(
            alternating(given),
            [six[0], four[0], six[1], four[1], six[2]]
        );
        let given = [four.as_slice(), &six].concat();
        assert_eq!(
            alternating(given),
            [four[0], six[0], four[1], six[1], six[2]]
        );
        assert_eq!(alternating(vec![six[0]; 40]).len(), ADDRESSES_MAX);
    }

    #[tokio::test]
    async fn the_kernel_looks_for_dead_peers() {
        let (_listener, good) = listener(1);
        let stream = connect(&Fixed(vec![good]), "cell.test", 1).await.unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_IDLE);
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED_MAX));
    }
}
