//! A machine with a network in memory, for tests with tokio's paused clock. That clock jumps ahead
//! whenever all tasks wait. With real sockets it would jump too early.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cellway_core::Unix;
use cellway_env::tokio::{FileStore, TokioEnv};
use cellway_env::{Claim, Env, Listener, Sharing};
use cellway_router::settings::RouterSettings;
use cellway_router::{Handle, Router};
use cellway_testbed::{Client, Protocol, Target, TlsProvider};
use tokio::io::{DuplexStream, duplex};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::world::{EventLog, provider};

/// How many bytes one side may send before the other reads.
pub(crate) const BUFFER: usize = 64 * 1024;

type Accepting = UnboundedSender<DuplexStream>;

/// The machine. Every name resolves to it.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    machine: TokioEnv,
    ports: Arc<Mutex<BTreeMap<u16, Accepting>>>,
    refusing: Arc<Mutex<BTreeSet<u16>>>,
    /// How long connecting to these ports takes.
    far: Arc<Mutex<BTreeMap<u16, Duration>>>,
    /// Whether connecting panics.
    broken: Arc<AtomicBool>,
    heavy: Arc<Heavy>,
}

/// Heavy work that a test can hold back.
#[derive(Debug, Default)]
struct Heavy {
    held: AtomicBool,
    waits: Notify,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self {
            machine: TokioEnv::new(),
            ports: Arc::default(),
            refusing: Arc::default(),
            far: Arc::default(),
            broken: Arc::default(),
            heavy: Arc::default(),
        }
    }

    /// From now on heavy work never begins.
    pub(crate) fn hold_heavy_work(&self) {
        self.heavy.held.store(true, Ordering::Relaxed);
    }

    /// Waits until heavy work is held back.
    pub(crate) async fn heavy_work_is_held(&self) {
        self.heavy.waits.notified().await;
    }

    /// Refuses new connections to this port from now on, or accepts them again.
    pub(crate) fn refuse(&self, port: u16, refused: bool) {
        let mut refusing = self.refusing.lock().unwrap();
        match refused {
            true => refusing.insert(port),
            false => refusing.remove(&port),
        };
    }

    /// From now on it takes this long to connect to this port.
    pub(crate) fn connects_slowly(&self, port: u16, time: Duration) {
        self.far.lock().unwrap().insert(port, time);
    }

    /// From now on every attempt to connect panics, or none does any more.
    pub(crate) fn breaks(&self, broken: bool) {
        self.broken.store(broken, Ordering::Relaxed);
    }

    /// Listens on a free port.
    pub(crate) async fn listen(&self) -> (MemoryListener, u16) {
        let any = "127.0.0.1:0".parse().unwrap();
        let listener = self.bind(any, false).await.unwrap();
        let port = listener.address.port();
        (listener, port)
    }
}

/// Connections wait in the listener's queue from the start.
impl Claim for MemoryListener {
    type Listener = Self;

    async fn listen(self) -> io::Result<Self> {
        Ok(self)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl Env for Memory {
    type Stream = DuplexStream;
    type Claim = MemoryListener;
    type Listener = MemoryListener;
    type Store = FileStore;

    async fn connect(&self, _: &str, port: u16) -> io::Result<DuplexStream> {
        let time = self.far.lock().unwrap().get(&port).copied();
        if let Some(time) = time {
            tokio::time::sleep(time).await;
        }
        assert!(!self.broken.load(Ordering::Relaxed), "the test breaks it");
        let (near, far) = duplex(BUFFER);
        if self.refusing.lock().unwrap().contains(&port) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let ports = self.ports.lock().unwrap();
        let accepting = ports.get(&port).ok_or(io::ErrorKind::ConnectionRefused)?;
        let sent = accepting.send(far);
        sent.map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(near)
    }

    async fn claim(&self, mut address: SocketAddr, _: Sharing) -> io::Result<MemoryListener> {
        let mut ports = self.ports.lock().unwrap();
        if address.port() == 0 {
            address.set_port(1 + ports.keys().next_back().unwrap_or(&0));
        }
        let (accepting, incoming) = unbounded_channel();
        ports.insert(address.port(), accepting);
        Ok(MemoryListener { address, incoming })
    }

    fn unix_now(&self) -> Unix {
        self.machine.unix_now()
    }

    fn fill(&self, buffer: &mut [u8]) {
        self.machine.fill(buffer);
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.machine.spawn(task);
    }

    async fn heavy<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        if self.heavy.held.load(Ordering::Relaxed) {
            self.heavy.waits.notify_one();
            std::future::pending::<()>().await;
        }
        work()
    }

    fn store(&self) -> &FileStore {
        self.machine.store()
    }
}

/// A router on such a machine.
pub(crate) struct World {
    /// The router lives as long as the runtime.
    pub handle: ManuallyDrop<Handle<Memory, EventLog>>,
    pub events: EventLog,
    target: Target,
    env: Memory,
}

impl World {
    /// A client that waits this long for an answer.
    pub(crate) fn client(&self, patience: Duration) -> Client<Memory> {
        Client::new(self.env.clone(), self.target.clone(), patience)
    }

    /// Connects to the router.
    pub(crate) async fn connect(&self) -> DuplexStream {
        let Target { host, port, .. } = &self.target;
        self.env.connect(host, *port).await.unwrap()
    }
}

pub(crate) async fn start(env: &Memory, settings: RouterSettings) -> World {
    start_with(env, settings, 1).await
}

/// A router with this many workers. All connections go to the last one.
pub(crate) async fn start_with(env: &Memory, settings: RouterSettings, workers: usize) -> World {
    let TlsProvider { crypto, time } = provider();
    let events = EventLog::default();
    let router = Router::builder(env.clone(), settings, crypto, time, events.clone());
    let handle = router.workers(workers).start().await.unwrap();
    handle.ready().await;
    let target = Target {
        host: "localhost".to_owned(),
        port: handle.addresses()[0].1.port(),
        tls: None,
        protocol: Protocol::Http2,
    };
    let env = env.clone();
    World {
        handle: ManuallyDrop::new(handle),
        events,
        target,
        env,
    }
}

/// Receives the connections to one port.
#[derive(Debug)]
pub(crate) struct MemoryListener {
    address: SocketAddr,
    incoming: UnboundedReceiver<DuplexStream>,
}

impl Listener for MemoryListener {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, SocketAddr)> {
        match self.incoming.recv().await {
            Some(stream) => Ok((stream, self.address)),
            None => std::future::pending().await,
        }
    }

    fn accept_queued(&mut self) -> io::Result<Option<(DuplexStream, SocketAddr)>> {
        let queued = self.incoming.try_recv().ok();
        Ok(queued.map(|stream| (stream, self.address)))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
