//! One worker: its own listeners, pool and token cache, on one thread.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cellway_env::{Claim, Clock, Env, Listener};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::data_plane::listen;
use crate::data_plane::router_state::RouterState;
use crate::data_plane::streams;
use crate::data_plane::worker_state::WorkerState;
use crate::error::{BindError, StartError};
use crate::observe::event::{Event, Sink};
use crate::view::View;

/// How often unused connections to cells are checked.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(5);

/// One worker of a router. It runs on its own thread, or shares a runtime with others.
#[derive(Debug)]
pub struct Worker<E: Env, S> {
    index: usize,
    /// The number of workers.
    workers: usize,
    env: E,
    clock: Clock<E>,
    sink: S,
    router: RouterState,
    /// Receives the result of binding the worker's addresses.
    bound: oneshot::Sender<Result<(), StartError>>,
}

impl<E: Env, S: Sink> Worker<E, S> {
    pub(crate) fn new(
        (index, workers): (usize, usize),
        env: E,
        clock: Clock<E>,
        sink: S,
        router: RouterState,
    ) -> (Self, oneshot::Receiver<Result<(), StartError>>) {
        let (bound, told) = oneshot::channel();
        let worker = Self {
            index,
            workers,
            env,
            clock,
            sink,
            router,
            bound,
        };
        (worker, told)
    }

    /// The worker's number. 0 is the first.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Serves until the router has drained. Run it on the runtime that will own its sockets. If a
    /// listener can't be bound, this returns, and the router's start gets the error.
    pub async fn run(self) {
        let Self {
            index,
            workers,
            env,
            clock,
            sink,
            router,
            bound,
        } = self;
        let state = Arc::new(WorkerState::new(env, clock, sink, &router));
        let opening = &router.opening;
        // The others bind when the first one listens, because then no other process can bind the
        // address.
        let place = (index, workers);
        let claimed = match index {
            0 => claim(&state, &router, place).await,
            _ => Ok(Vec::new()),
        };
        let (claims, result) = match claimed {
            Ok(claims) => (claims, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        let failed = result.is_err();
        // If nobody receives this, the start was given up and there is no router.
        if bound.send(result).is_err() || failed {
            return;
        }
        tokio::select! {
            biased;
            () = router.drain.begun() => return,
            () = opening.turn(index, workers) => {}
        }
        match open(&state, &router, claims, place).await {
            Ok(()) => opening.listens(),
            Err(error) => return opening.failed(error),
        }
        tokio::select! {
            biased;
            () = upkeep(&state) => {}
            () = state.pools.yield_unused() => {}
            () = follow_reloads(&state), if index == 0 => {}
            () = follow_limits(&state), if index == 0 => {}
            () = streams::follow(&state.streams, &state.views, &state.reporter) => {}
        }
    }
}

/// Closes unused connections to cells, until the router has drained.
async fn upkeep<E: Env, S: Sink>(state: &WorkerState<E, S>) {
    let drain = &state.drain;
    let mut changed = std::pin::pin!(drain.changed().notified());
    while !drain.is_stopped() {
        tokio::select! {
            biased;
            () = changed.as_mut() => changed.set(drain.changed().notified()),
            () = sleep(EXPIRE_INTERVAL) => {
                let view = state.views.load();
                let registry = view.snapshot.registry.as_deref();
                let keep = view.config.settings.upstream.timeouts.keep;
                state.pools.expire(Instant::now(), keep, registry);
            }
        }
    }
}

/// Wakes the connections of all workers after each reload. Runs as long as it is polled.
async fn follow_reloads<E: Env, S: Sink>(state: &WorkerState<E, S>) {
    let mut seen = None;
    loop {
        let epoch = |view: &View| Some(view.config.epoch).filter(|epoch| Some(*epoch) != seen);
        seen = Some(state.views.until(epoch).await);
        state.drain.reloaded();
    }
}

/// Sets the limits of tenants and placements to those of each new registry. Runs as long as it is polled.
async fn follow_limits<E: Env, S: Sink>(state: &WorkerState<E, S>) {
    let mut seen = None;
    loop {
        let version = |view: &View| view.snapshot.registry.as_ref().map(|it| it.version());
        let is_new = |view: &View| version(view).filter(|version| Some(*version) != seen);
        seen = Some(state.views.until(is_new).await);
        let snapshot = state.views.snapshot();
        if let Some(registry) = &snapshot.registry {
            state.pools.caps().follow(registry);
        }
    }
}

/// A worker's claims, each with the index of its listener.
type Claims<E> = Vec<(usize, <E as Env>::Claim)>;

/// Claims the addresses of all listeners: the addresses in the settings, or those that the first
/// worker got if the system chooses the port. A listener with adopted sockets claims these instead.
async fn claim<E: Env, S: Sink>(
    state: &WorkerState<E, S>,
    router: &RouterState,
    place: (usize, usize),
) -> Result<Claims<E>, StartError> {
    let config = state.views.config();
    let sharing = router.opening.sharing(place.0, place.1);
    let mut claims = Vec::with_capacity(config.settings.listeners.len());
    let listeners = config.settings.listeners.iter();
    for (index, (listener, shared)) in listeners.zip(state.admission.listeners()).enumerate() {
        let address = *shared.address.get().unwrap_or(&listener.bind);
        let refused = |error| refused(&listener.name, address, &error);
        let adopted = router.sockets.adopt(&state.env, &listener.name, place);
        let mut own = adopted.map_err(refused)?;
        if own.is_empty() {
            let claimed = state.env.claim(address, sharing).await;
            own.push(claimed.map_err(refused)?);
        }
        for claim in own {
            let address = claim.local_addr().map_err(refused)?;
            let _ = shared.address.set(address);
            claims.push((index, claim));
        }
    }
    Ok(claims)
}

fn refused(listener: &Arc<str>, address: SocketAddr, error: &io::Error) -> StartError {
    StartError::Bind {
        listener: listener.clone(),
        error: BindError::new(address, error),
    }
}

/// Listens on the addresses of all listeners and accepts connections. Claims them first if they
/// aren't claimed yet.
async fn open<E: Env, S: Sink>(
    state: &Arc<WorkerState<E, S>>,
    router: &RouterState,
    mut claims: Claims<E>,
    place: (usize, usize),
) -> Result<(), StartError> {
    if claims.is_empty() {
        claims = claim(state, router, place).await?;
    }
    let config = state.views.config();
    let mut sockets = Vec::with_capacity(claims.len());
    for (index, claim) in claims {
        let listener = config.listener(index);
        let bound = state.admission.listeners()[index].address.get();
        let bound = *bound.unwrap_or(&listener.bind);
        let listening = match claim.listen().await {
            Ok(socket) => socket.local_addr().map(|address| (socket, address)),
            Err(error) => Err(error),
        };
        let refused = |error| refused(&listener.name, bound, &error);
        let (socket, address) = listening.map_err(refused)?;
        sockets.push((index, listener.name.clone(), socket, address));
    }
    for (index, name, socket, address) in sockets {
        state.reporter.emit(&Event::Listening {
            listener: &name,
            address,
        });
        // Without a copy, the next process binds the address itself.
        if let Ok(copy) = socket.duplicate() {
            router.sockets.opened(&name, copy);
        }
        let accepting = listen::accept(state.clone(), index, name, socket);
        state.env.spawn(accepting);
    }
    Ok(())
}
