//! Accepts connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cellway_env::{Env, Listener};

use crate::data_plane::admission::{self, Counted};
use crate::data_plane::connection;
use crate::data_plane::drain::Drain;
use crate::data_plane::ext_authz;
use crate::data_plane::proxy;
use crate::data_plane::worker_state::WorkerState;
use crate::observe::event::{Closed, Event, Sink};
use crate::settings::Serves;

/// How long to wait after an accept failed because something ran out, such as file descriptors.
/// Trying again at once would only waste CPU time that could free them.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// The most connections that a socket takes from its queue when it closes: the longest queue that
/// Linux allows by default (`net.core.somaxconn`). Without a limit, clients that connect all the
/// time could keep the socket open.
const LAST_ACCEPTED_MAX: usize = 4096;

/// Accepts on one socket until the router drains. Then takes what is left in the socket's queue,
/// and closes the socket.
pub(crate) async fn accept<E: Env, S: Sink>(
    worker: Arc<WorkerState<E, S>>,
    listener: usize,
    name: Arc<str>,
    mut socket: E::Listener,
) {
    let _open = Open::new(worker.drain.clone());
    let drain = &worker.drain;
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
                    worker.reporter.emit(&event);
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            },
        }
    }
    accept_queued(&worker, listener, &name, &mut socket);
}

/// Accepts the connections that wait in the socket's queue. Their clients are already connected, and
/// the system resets them when the socket closes.
fn accept_queued<E: Env, S: Sink>(
    worker: &Arc<WorkerState<E, S>>,
    listener: usize,
    name: &Arc<str>,
    socket: &mut E::Listener,
) {
    for _ in 0..LAST_ACCEPTED_MAX {
        match socket.accept_queued() {
            Ok(Some((stream, peer))) => admit(worker, listener, name, stream, peer),
            Ok(None) => return,
            Err(error) if of_one_connection(&error) => {}
            Err(error) => {
                let event = Event::AcceptFailed {
                    listener: name,
                    error: &error,
                };
                return worker.reporter.emit(&event);
            }
        }
    }
}

/// An open socket. A drain isn't over while there is one.
struct Open(Arc<Drain>);

impl Open {
    fn new(drain: Arc<Drain>) -> Self {
        drain.connection_begins();
        Self(drain)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connection_ends();
    }
}

/// Whether only this connection failed, because the client was gone before it was accepted. The
/// next one may work.
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
    let view = worker.views.load();
    let settings = view.config.listener(listener);
    let mut counted = match Counted::new(&worker.admission, listener, settings, peer.ip()) {
        Ok(counted) => counted,
        Err(full) => {
            let state = &worker.admission.listeners()[listener];
            return admission::refused(&worker.reporter, state, name, peer, full);
        }
    };
    worker.reporter.emit(&Event::ConnectionAccepted {
        listener: name,
        peer,
    });
    let (state, name) = (worker.clone(), name.clone());
    worker.env.spawn(async move {
        let why = serve(&state, listener, &name, stream, peer, &mut counted).await;
        if let Some(why) = why {
            state.reporter.emit(&Event::ConnectionClosed {
                listener: &name,
                why,
            });
        }
        drop(counted);
    });
}

/// Serves a connection to its end. `None` if the TLS handshake failed, which is reported as a separate
/// event.
async fn serve<E: Env, S: Sink>(
    worker: &Arc<WorkerState<E, S>>,
    listener: usize,
    name: &Arc<str>,
    stream: E::Stream,
    peer: SocketAddr,
    counted: &mut Counted,
) -> Option<Closed> {
    let opened = connection::open(worker, listener, name, stream, peer, counted).await;
    let opened = match opened {
        Ok(opened) => opened,
        Err(why) => return why,
    };
    Some(match opened.serves() {
        Serves::Proxy => opened.run(proxy::serve).await,
        Serves::ExtAuthz(_) => opened.run(ext_authz::serve).await,
    })
}
