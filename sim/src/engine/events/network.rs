//! Hosts, their listeners and connections, and what is on its way between them.

use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};

use super::connection::{Connection, ConnectionId, Opening, Side};
use super::flight::{Flight, Segment};
use super::links::{Latency, Links, Way};
use crate::engine::Settings;
use crate::random::Random;

/// The first address of a world's network.
const NETWORK: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 0);
/// The ports of clients: what IANA calls the dynamic ports.
const FIRST_DYNAMIC_PORT: u16 = 49_152;
/// How many connections wait for a listener. More have to ask again.
const BACKLOG_MAX: usize = 1024;
/// How long a client waits for an answer before it asks for a connection a second time. Each further
/// wait is twice as long, up to the last.
const OPEN_AGAIN_FIRST: Duration = Duration::from_secs(1);
const OPEN_AGAIN_LAST: Duration = Duration::from_secs(32);

/// A world's network. Clones are the same one.
#[derive(Clone)]
pub(in crate::engine) struct Net(Arc<Mutex<Network>>);

pub(super) struct Network {
    random: Random,
    cuts_segments: bool,
    links: Links,
    hosts: BTreeMap<Ipv4Addr, HostNet>,
    names: BTreeMap<String, Ipv4Addr>,
    connections: BTreeMap<ConnectionId, Connection>,
    opened: u64,
    in_flight: BinaryHeap<Flight>,
    sent: u64,
    /// Wakes [`Deliveries`] when something is due sooner than it knows.
    courier: Option<Waker>,
}

struct HostNet {
    name: String,
    is_up: bool,
    listeners: BTreeMap<Port, Backlog>,
    next_port: u16,
}

/// A port that is listened on, for loopback alone or for everybody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Port {
    pub(super) loopback: bool,
    pub(super) number: u16,
}

#[derive(Default)]
struct Backlog {
    waiting: VecDeque<ConnectionId>,
    acceptor: Option<Waker>,
}

impl Net {
    pub(super) fn new(settings: &Settings) -> Self {
        let usual = Latency {
            min: settings.latency_min,
            max: settings.latency_max,
        };
        Self(Arc::new(Mutex::new(Network {
            random: Random::new(settings.seed, "network", 0, "latency"),
            cuts_segments: settings.cuts_segments,
            links: Links::new(usual),
            hosts: BTreeMap::new(),
            names: BTreeMap::new(),
            connections: BTreeMap::new(),
            opened: 0,
            in_flight: BinaryHeap::new(),
            sent: 0,
            courier: None,
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Network> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add_host(&self, name: &str) {
        let mut net = self.lock();
        let number = u32::try_from(net.hosts.len()).expect("a world has few hosts") + 1;
        let address = Ipv4Addr::from(u32::from(NETWORK) + number);
        let host = HostNet {
            name: name.to_owned(),
            is_up: false,
            listeners: BTreeMap::new(),
            next_port: FIRST_DYNAMIC_PORT,
        };
        net.hosts.insert(address, host);
        net.names.insert(name.to_owned(), address);
    }

    pub(in crate::engine) fn address(&self, host: &str) -> Option<Ipv4Addr> {
        self.lock().names.get(host).copied()
    }

    /// The name of the host with an address.
    pub(in crate::engine) fn name(&self, address: IpAddr) -> Option<String> {
        let IpAddr::V4(address) = address else {
            return None;
        };
        let net = self.lock();
        net.hosts.get(&address).map(|host| host.name.clone())
    }

    /// A host that is down answers nobody.
    pub(super) fn set_up(&self, host: &str, up: bool) {
        let mut net = self.lock();
        let address = net.names.get(host).copied();
        if let Some(host) = address.and_then(|address| net.hosts.get_mut(&address)) {
            host.is_up = up;
        }
    }

    /// Both ways between two hosts, or `None` if one doesn't exist.
    fn ways(&self, a: &str, b: &str) -> Option<[Way; 2]> {
        let (a, b) = (self.address(a)?, self.address(b)?);
        Some([Way { from: a, to: b }, Way { from: b, to: a }])
    }

    pub(in crate::engine) fn hold(&self, a: &str, b: &str) {
        for way in self.ways(a, b).into_iter().flatten() {
            self.lock().links.hold(way);
        }
    }

    pub(in crate::engine) fn release(&self, a: &str, b: &str) {
        for way in self.ways(a, b).into_iter().flatten() {
            self.lock().release(way);
        }
    }

    /// Holds what goes from one host to another, but not what comes back.
    pub(in crate::engine) fn hold_one_way(&self, from: &str, to: &str) {
        if let Some([way, _]) = self.ways(from, to) {
            self.lock().links.hold(way);
        }
    }

    /// Ends [`hold_one_way`](Self::hold_one_way).
    pub(in crate::engine) fn release_one_way(&self, from: &str, to: &str) {
        if let Some([way, _]) = self.ways(from, to) {
            self.lock().release(way);
        }
    }

    pub(in crate::engine) fn set_stalls(&self, a: &str, b: &str, later: Option<Duration>) {
        for way in self.ways(a, b).into_iter().flatten() {
            self.lock().links.set_stalls(way, later);
        }
    }

    pub(in crate::engine) fn set_latency(&self, a: &str, b: &str, min: Duration, max: Duration) {
        for way in self.ways(a, b).into_iter().flatten() {
            self.lock().links.set_latency(way, Latency { min, max });
        }
    }
}

impl Network {
    /// A listener begins.
    pub(super) fn listen(&mut self, host: Ipv4Addr, port: Port) -> io::Result<()> {
        let host = self.host(host)?;
        if host.listeners.contains_key(&port) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        host.listeners.insert(port, Backlog::default());
        Ok(())
    }

    /// A listener ends. Connections that nobody accepted are reset.
    pub(super) fn close(&mut self, host: Ipv4Addr, port: Port) {
        let Ok(host) = self.host(host) else { return };
        let waiting = host.listeners.remove(&port).unwrap_or_default().waiting;
        for id in waiting {
            self.leave(id, Side::Server, true);
        }
    }

    /// The next connection of a listener, and the address of its client.
    pub(super) fn accept(
        &mut self,
        host: Ipv4Addr,
        port: Port,
        cx: &Context<'_>,
    ) -> io::Result<Option<(ConnectionId, SocketAddr)>> {
        let listeners = &mut self.host(host)?.listeners;
        let backlog = listeners
            .get_mut(&port)
            .ok_or(io::ErrorKind::NotConnected)?;
        let Some(id) = backlog.waiting.pop_front() else {
            backlog.acceptor = Some(cx.waker().clone());
            return Ok(None);
        };
        let connection = self.connections.get(&id);
        let connection = connection.expect("it lives until its server leaves");
        Ok(Some((id, connection.end(Side::Client).address)))
    }

    /// Asks for a connection. Its state says later whether there is one.
    pub(super) fn open(&mut self, from: Ipv4Addr, to: SocketAddr) -> io::Result<ConnectionId> {
        let host = self.host(from)?;
        let port = host.next_port;
        host.next_port = port.checked_add(1).unwrap_or(FIRST_DYNAMIC_PORT);
        let client = SocketAddr::from((from, port));
        self.opened += 1;
        let id = ConnectionId(self.opened);
        let connection = Connection::new(client, to, Instant::now());
        self.connections.insert(id, connection);
        self.send(id, Side::Server, Segment::Open { tries: 0 });
        Ok(id)
    }

    /// The address of a name, or an address itself.
    pub(super) fn resolve(&self, from: Ipv4Addr, host: &str) -> io::Result<Ipv4Addr> {
        match (self.names.get(host), host.parse::<Ipv4Addr>()) {
            (Some(address), _) => Ok(*address),
            (None, Ok(address)) if address.is_loopback() => Ok(from),
            (None, Ok(address)) => Ok(address),
            (None, Err(_)) if host == "localhost" => Ok(from),
            (None, Err(_)) => {
                let why = format!("there is no host {host:?}");
                Err(io::Error::new(io::ErrorKind::NotFound, why))
            }
        }
    }

    pub(super) fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.get_mut(&id)
    }

    /// How much of a write becomes a segment. Where segments are cut, some are: TCP promises nothing about
    /// where one write ends and the next begins.
    pub(super) fn segment_len(&mut self, len: usize) -> usize {
        match self.cuts_segments && len > 1 && self.random.below(4) == 0 {
            true => 1 + self.random.below(len as u64 - 1) as usize,
            false => len,
        }
    }

    pub(super) fn send_data(&mut self, id: ConnectionId, from: Side, bytes: Bytes) {
        self.send(id, from.other(), Segment::Data(bytes));
    }

    /// This end writes no more.
    pub(super) fn shut(&mut self, id: ConnectionId, side: Side) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if !std::mem::replace(&mut connection.end_mut(side).shut, true) {
            self.send(id, side.other(), Segment::End);
        }
    }

    /// A socket is dropped. As with TCP, the peer sees a reset if bytes have come that nobody has read;
    /// `discards` asks for one in any case.
    pub(super) fn leave(&mut self, id: ConnectionId, side: Side, discards: bool) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let end = connection.end(side);
        let resets = !end.is_reset() && (discards || end.has_unread());
        let ends = !end.is_reset() && !end.shut;
        connection.leave(side);
        if resets {
            self.send(id, side.other(), Segment::Reset);
        } else if ends {
            self.send(id, side.other(), Segment::End);
        }
        self.forget_if_over(id);
    }

    fn forget_if_over(&mut self, id: ConnectionId) {
        if self.connections.get(&id).is_some_and(Connection::is_over) {
            self.connections.remove(&id);
        }
    }

    fn host(&mut self, address: Ipv4Addr) -> io::Result<&mut HostNet> {
        let host = self.hosts.get_mut(&address);
        host.ok_or_else(|| io::ErrorKind::HostUnreachable.into())
    }

    fn send(&mut self, id: ConnectionId, to: Side, segment: Segment) {
        self.send_after(id, to, segment, Duration::ZERO);
    }

    fn send_after(&mut self, id: ConnectionId, to: Side, segment: Segment, wait: Duration) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let travels = self.links.latency(way(connection, to), &mut self.random);
        let end = connection.end_mut(to);
        let due = (Instant::now() + wait + travels).max(end.latest_due);
        end.latest_due = due;
        self.sent += 1;
        let is_first = self.in_flight.peek().is_none_or(|first| due < first.due);
        self.in_flight.push(Flight {
            due,
            number: self.sent,
            connection: id,
            to,
            segment,
        });
        if is_first && let Some(courier) = self.courier.take() {
            courier.wake();
        }
    }

    /// What was held arrives now.
    fn release(&mut self, way: Way) {
        for flight in self.links.release(way) {
            self.arrive(flight);
        }
    }

    /// Delivers what is due. Returns when the next segment is.
    fn deliver(&mut self, now: Instant) -> Option<Instant> {
        loop {
            match self.in_flight.peek().map(|first| first.due) {
                Some(due) if due <= now => {}
                next => return next,
            }
            let flight = self.in_flight.pop()?;
            let Some(connection) = self.connections.get(&flight.connection) else {
                continue;
            };
            let way = way(connection, flight.to);
            if let Some(flight) = self.links.pass(way, flight) {
                self.arrive(flight);
            }
        }
    }

    fn arrive(&mut self, flight: Flight) {
        let (id, to) = (flight.connection, flight.to);
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        match flight.segment {
            Segment::Open { tries } => self.open_arrives(id, tries),
            Segment::Opened => opening(connection, Opening::Done),
            Segment::Refused => opening(connection, Opening::Refused),
            Segment::Data(bytes) => {
                if !connection.arrive(to, bytes) {
                    self.send(id, to.other(), Segment::Reset);
                }
            }
            Segment::End => connection.end_arrives(to),
            Segment::Reset => connection.reset_arrives(to),
        }
    }

    /// A client asks for a connection. A host that is down, or whose backlog is full, doesn't answer, and
    /// the client's system asks again.
    fn open_arrives(&mut self, id: ConnectionId, tries: u32) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        if connection.end(Side::Client).left {
            self.connections.remove(&id);
            return;
        }
        let way = way(connection, Side::Server);
        let address = connection.end(Side::Server).address;
        let again = OPEN_AGAIN_FIRST.saturating_mul(2_u32.saturating_pow(tries));
        let again = again.min(OPEN_AGAIN_LAST);
        let tries = tries.saturating_add(1);
        let Some(host) = self.hosts.get_mut(&way.to).filter(|host| host.is_up) else {
            return self.send_after(id, Side::Server, Segment::Open { tries }, again);
        };
        let Some(backlog) = host.backlog(way.from == way.to, address) else {
            return self.send(id, Side::Client, Segment::Refused);
        };
        if backlog.waiting.len() >= BACKLOG_MAX {
            return self.send_after(id, Side::Server, Segment::Open { tries }, again);
        }
        backlog.waiting.push_back(id);
        if let Some(acceptor) = backlog.acceptor.take() {
            acceptor.wake();
        }
        self.send(id, Side::Client, Segment::Opened);
    }
}

impl HostNet {
    /// The listener for an address of this host.
    fn backlog(&mut self, from_itself: bool, address: SocketAddr) -> Option<&mut Backlog> {
        let number = address.port();
        let port = |loopback| Port { loopback, number };
        let port = match from_itself && self.listeners.contains_key(&port(true)) {
            true => port(true),
            false => port(false),
        };
        self.listeners.get_mut(&port)
    }
}

fn opening(connection: &mut Connection, opening: Opening) {
    connection.opening = opening;
    connection.end_mut(Side::Client).wake();
}

/// The way to one side of a connection.
fn way(connection: &Connection, to: Side) -> Way {
    let ip = |side| match connection.end(side).address.ip() {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(_) => unreachable!("no host of a simulation has an IPv6 address"),
    };
    Way {
        from: ip(to.other()),
        to: ip(to),
    }
}

/// Delivers segments when they are due.
pub(super) struct Deliveries {
    net: Net,
    /// Made when it is first needed, because a timer belongs to a runtime.
    due: Option<Pin<Box<Sleep>>>,
}

impl Deliveries {
    pub(super) fn new(net: Net) -> Self {
        Self { net, due: None }
    }

    /// Delivers what is due, and wakes the task of `cx` when more is.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        loop {
            let mut net = self.net.lock();
            let next = net.deliver(Instant::now());
            net.courier = Some(cx.waker().clone());
            drop(net);
            let Some(next) = next else { return };
            let due = self.due.get_or_insert_with(|| Box::pin(sleep_until(next)));
            if due.deadline() != next || due.is_elapsed() {
                due.as_mut().reset(next);
            }
            if due.as_mut().poll(cx).is_pending() {
                return;
            }
        }
    }
}
