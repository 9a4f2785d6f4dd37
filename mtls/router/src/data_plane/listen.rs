//! Accepting connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cellway_env::{Env, Listener};

use crate::data_plane::connection;
use crate::data_plane::shares::{Full, Resource};
use crate::data_plane::worker::WorkerState;
use crate::drain::Counted;
use crate::observe::event::{Event, Sink};

/// How long to wait after an accept that failed for want of something, such as descriptors:
/// trying again at once would only burn the CPU that could free them.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Accepts on one socket until the router drains.
pub(crate) async fn accept<E: Env, S: Sink>(
    worker: Arc<WorkerState<E, S>>,
    listener: usize,
    name: Arc<str>,
    mut socket: E::Listener,
) {
    let drain = &worker.common.drain;
    let changed = drain.changed().notified();
    tokio::pin!(changed);
    changed.as_mut().enable();
    while !drain.is_draining() {
        tokio::select! {
            biased;
            () = changed.as_mut() => {
                changed.set(drain.changed().notified());
                changed.as_mut().enable();
            }
            accepted = socket.accept() => match accepted {
                Ok((stream, peer)) => admit(&worker, listener, &name, stream, peer),
                Err(error) if of_one_connection(&error) => {}
                Err(error) => {
                    let event = Event::AcceptFailed { listener: &name, error: &error };
                    worker.emit(&event);
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            },
        }
    }
}

/// The client was gone before it was accepted: that says nothing about the next one.
fn of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

fn admit<E: Env, S: Sink>(
    worker: &Arc<WorkerState<E, S>>,
    listener: usize,
    name: &Arc<str>,
    stream: E::Stream,
    peer: SocketAddr,
) {
    let view = worker.common.views.load();
    let settings = view.config.listener(listener);
    let mut counted = match Counted::new(&worker.common, listener, settings, peer.ip()) {
        Ok(counted) => counted,
        Err(full) => return refused(worker, listener, name, peer, full),
    };
    worker.emit(&Event::ConnectionAccepted {
        listener: name,
        peer,
    });
    let (worker, name) = (worker.clone(), name.clone());
    let env = worker.common.env.clone();
    env.spawn(async move {
        let why = connection::serve(&worker, listener, &name, stream, peer, &mut counted).await;
        if let Some(why) = why {
            worker.emit(&Event::ConnectionClosed {
                listener: &name,
                why,
            });
        }
        drop(counted);
    });
}

/// Reports a connection that was refused at a limit. The caller closes it.
pub(crate) fn refused<E: Env, S: Sink>(
    worker: &WorkerState<E, S>,
    listener: usize,
    name: &str,
    peer: SocketAddr,
    full: Full,
) {
    worker.emit(&Event::ConnectionRefused {
        listener: name,
        peer,
    });
    let (Full::Share(share), Some(state)) = (full, worker.common.listeners.get(listener)) else {
        return;
    };
    let now = worker.common.clock.now();
    let event = Event::ShareRefused {
        listener: name,
        resource: Resource::ListenerConnections,
        share,
        peer: Some(peer),
        cell: None,
        tenant: None,
        news: state.connections.is_news(now.mono),
    };
    worker.sink.emit(now, &event);
}
