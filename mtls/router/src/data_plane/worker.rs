//! One worker: its own listeners, pool and token cache, on one thread.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cellway_core::identify::Memo;
use cellway_env::{Claim, Env, Listener, Sharing};
use http::HeaderValue;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::data_plane::authz::KeyWaiters;
use crate::data_plane::listen;
use crate::data_plane::pool::Pools;
use crate::data_plane::proxy::DateCache;
use crate::data_plane::shares::Bound;
use crate::data_plane::streams::{self, Streams};
use crate::observe::event::{Event, Sink};
use crate::opening::BindError;
use crate::router::StartError;
use crate::router_state::RouterState;

/// How often unused connections to cells are looked at.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(5);

/// A share of a router that runs on one thread, or on one runtime with others.
#[derive(Debug)]
pub struct Worker<E: Env, S> {
    index: usize,
    /// The number of workers.
    workers: usize,
    common: Arc<RouterState<E>>,
    sink: S,
    /// Gets the result of binding the worker's addresses.
    bound: oneshot::Sender<Result<(), StartError>>,
}

impl<E: Env, S: Sink> Worker<E, S> {
    pub(crate) fn new(
        index: usize,
        workers: usize,
        common: &Arc<RouterState<E>>,
        sink: S,
    ) -> (Self, oneshot::Receiver<Result<(), StartError>>) {
        let (bound, told) = oneshot::channel();
        let worker = Self {
            index,
            workers,
            common: common.clone(),
            sink,
            bound,
        };
        (worker, told)
    }

    /// Which one: 0 is the first.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Serves until the router has drained. Run it on the runtime that shall own its sockets; a
    /// listener that can't be bound ends it, and whoever starts the router hears of it.
    pub async fn run(self) {
        let (index, workers) = (self.index, self.workers);
        let state = Arc::new(WorkerState::new(self.common, self.sink));
        // The others bind once the first one listens, because then no other process can.
        let claimed = match index {
            0 => claim(&state.common, state.common.opening.sharing(0, workers)).await,
            _ => Ok(Vec::new()),
        };
        let (claims, bound) = match claimed {
            Ok(claims) => (claims, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        let failed = bound.is_err();
        // Nobody listens if the start was given up meanwhile; then there is no router either.
        if self.bound.send(bound).is_err() || failed {
            return;
        }
        let common = &state.common;
        tokio::select! {
            biased;
            () = common.drain.begun() => return,
            () = common.opening.turn(index, workers) => {}
        }
        match open(&state, claims, common.opening.sharing(index, workers)).await {
            Ok(()) => common.opening.listens(),
            Err(error) => return common.opening.failed(error),
        }
        tokio::select! {
            biased;
            () = state.upkeep() => {}
            () = streams::follow(&state) => {}
        }
    }
}

/// Binds the addresses of all listeners: those of the settings, or if these leave the port to the
/// system, those that the first worker got.
async fn claim<E: Env>(
    common: &RouterState<E>,
    sharing: Sharing,
) -> Result<Vec<E::Claim>, StartError> {
    let config = common.views.config();
    let mut claims = Vec::with_capacity(config.settings.listeners.len());
    for (listener, shared) in config.settings.listeners.iter().zip(&common.listeners) {
        let address = *shared.address.get().unwrap_or(&listener.bind);
        let claimed = match common.env.claim(address, sharing).await {
            Ok(claim) => claim.local_addr().map(|address| (claim, address)),
            Err(error) => Err(error),
        };
        let refused = |error| refused(&listener.name, address, &error);
        let (claim, address) = claimed.map_err(refused)?;
        let _ = shared.address.set(address);
        claims.push(claim);
    }
    Ok(claims)
}

fn refused(listener: &Arc<str>, address: SocketAddr, error: &io::Error) -> StartError {
    StartError::Bind {
        listener: listener.clone(),
        error: BindError::new(address, error),
    }
}

/// Listens on the addresses of all listeners and accepts. Binds them first if they aren't bound
/// yet.
async fn open<E: Env, S: Sink>(
    state: &Arc<WorkerState<E, S>>,
    mut claims: Vec<E::Claim>,
    sharing: Sharing,
) -> Result<(), StartError> {
    let common = &state.common;
    if claims.is_empty() {
        claims = claim(common, sharing).await?;
    }
    let config = common.views.config();
    let mut sockets = Vec::with_capacity(claims.len());
    for ((listener, shared), claim) in
        (config.settings.listeners.iter().zip(&common.listeners)).zip(claims)
    {
        let bound = *shared.address.get().unwrap_or(&listener.bind);
        let listening = match claim.listen().await {
            Ok(socket) => socket.local_addr().map(|address| (socket, address)),
            Err(error) => Err(error),
        };
        let refused = |error| refused(&listener.name, bound, &error);
        let (socket, address) = listening.map_err(refused)?;
        sockets.push((listener.name.clone(), socket, address));
    }
    for (index, (name, socket, address)) in sockets.into_iter().enumerate() {
        state.emit(&Event::Listening {
            listener: &name,
            address,
        });
        let accepting = listen::accept(state.clone(), index, name, socket);
        common.env.spawn(accepting);
    }
    Ok(())
}

/// The state that the tasks of one worker share. Its locks are never contended: see
/// [`lock_uncontended`](crate::lock::lock_uncontended).
#[derive(Debug)]
pub(crate) struct WorkerState<E: Env, S> {
    pub(crate) common: Arc<RouterState<E>>,
    pub(crate) sink: S,
    pub(crate) pools: Pools,
    pub(crate) memo: Mutex<Memo>,
    pub(crate) waiters: KeyWaiters,
    pub(crate) date: DateCache,
    pub(crate) streams: Arc<Streams>,
    /// Places for request bodies that are kept for sending them again.
    pub(crate) kept_bodies: Arc<Bound>,
    ids: Ids,
}

impl<E: Env, S: Sink> WorkerState<E, S> {
    fn new(common: Arc<RouterState<E>>, sink: S) -> Self {
        let mut seed = [0; 8];
        common.env.fill(&mut seed);
        let seed = u64::from_le_bytes(seed);
        common.holders.key(seed);
        let memo = Memo::new(Memo::CAPACITY_DEFAULT, seed);
        let ids = Ids::new(&common.env);
        Self {
            common,
            sink,
            pools: Pools::default(),
            memo: Mutex::new(memo),
            waiters: KeyWaiters::default(),
            date: DateCache::default(),
            streams: Arc::default(),
            kept_bodies: Arc::default(),
            ids,
        }
    }

    /// Tells the sink, with the present time.
    pub(crate) fn emit(&self, event: &Event<'_>) {
        self.sink.emit(self.common.clock.now(), event);
    }

    /// The next request's id, and a number that spreads requests over equal endpoints.
    pub(crate) fn next_id(&self) -> (HeaderValue, u64) {
        self.ids.next()
    }

    /// Lets unused connections go, until the router has drained.
    async fn upkeep(&self) {
        let drain = &self.common.drain;
        let mut changed = std::pin::pin!(drain.changed().notified());
        while !drain.is_stopped() {
            tokio::select! {
                biased;
                () = changed.as_mut() => changed.set(drain.changed().notified()),
                () = sleep(EXPIRE_INTERVAL) => {
                    let view = self.common.views.load();
                    let registry = view.snapshot.registry.as_deref();
                    let keep = view.config.settings.upstream.timeouts.keep;
                    self.pools.expire(Instant::now(), keep, registry);
                    if let Some(registry) = registry {
                        self.common.bulkheads.prune(registry);
                    }
                }
            }
        }
    }
}

/// Request ids: a random half that is the worker's, and a count.
#[derive(Debug)]
struct Ids {
    /// 16 hexadecimal digits.
    worker: [u8; 16],
    count: AtomicU64,
}

impl Ids {
    fn new(env: &impl Env) -> Self {
        let mut random = [0; 8];
        env.fill(&mut random);
        Self {
            worker: hex(u64::from_be_bytes(random)),
            count: AtomicU64::new(0),
        }
    }

    fn next(&self) -> (HeaderValue, u64) {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let mut id = [0; 32];
        id[..16].copy_from_slice(&self.worker);
        id[16..].copy_from_slice(&hex(count));
        let mut value = HeaderValue::from_bytes(&id).expect("hexadecimal digits");
        // It never comes again, so HTTP/2 shall not keep it in its table of headers.
        value.set_sensitive(true);
        (value, count)
    }
}

fn hex(value: u64) -> [u8; 16] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|i| DIGITS[(value >> (60 - 4 * i)) as usize & 0xf])
}

/// Runs hyper's tasks where the environment runs its own.
#[derive(Clone, Debug)]
pub(crate) struct Spawner<E>(pub(crate) E);

impl<E, F> hyper::rt::Executor<F> for Spawner<E>
where
    E: Env,
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}
