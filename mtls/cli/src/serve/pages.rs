//! The admin and the health listener.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use cellway_env::Env;
use cellway_env::tokio::TokioEnv;
use cellway_router::Handle;
use cellway_router::admin::{Admin, Audience};
use cellway_router::config::Config;
use cellway_router::event::{Event, Sink};
use cellway_router::metrics::Metrics;
use tokio::sync::Notify;

use super::super::{Exit, failed};
use super::Sinks;
use super::sockets::{ADMIN, HEALTH, Sockets};

type Bound = (&'static str, Admin<TokioEnv>);

/// The listeners of the router's own pages.
pub(super) struct Pages {
    /// Those that don't serve yet.
    bound: Vec<Bound>,
    /// Copies of the sockets, for the next process.
    copies: Vec<(&'static str, OwnedFd)>,
    closed: Arc<Notify>,
}

impl Pages {
    /// Binds their addresses, or takes the sockets of another process.
    pub(super) async fn bind(
        env: &TokioEnv,
        config: &Config,
        sockets: &mut Sockets,
    ) -> Result<Self, Exit> {
        let mut bound = Vec::new();
        if let Some(address) = config.admin {
            let audience = Audience::of_admin(&config.router);
            let socket = sockets.admin.take();
            bound.push((ADMIN, open(env, ADMIN, address, socket, audience).await?));
        }
        if let Some(address) = config.health {
            let (socket, audience) = (sockets.health.take(), Audience::Everybody);
            bound.push((HEALTH, open(env, HEALTH, address, socket, audience).await?));
        }
        let copy = |(name, admin): &Bound| Ok((*name, admin.socket()?));
        let copies: io::Result<_> = bound.iter().map(copy).collect();
        Ok(Self {
            copies: copies.map_err(|error| failed(format!("can't copy a socket: {error}")))?,
            bound,
            closed: Arc::default(),
        })
    }

    /// Serves them until they are [closed](Self::close). A router that takes over serves them when
    /// it is ready, because the other process answers meanwhile.
    pub(super) fn serve(
        &mut self,
        env: &TokioEnv,
        handle: &Handle<TokioEnv, Sinks>,
        (metrics, sink): (&Metrics, &Sinks),
        takes_over: bool,
    ) {
        for (listener, pages) in self.bound.drain(..) {
            let address = pages.address();
            let listening = Event::Listening { listener, address };
            sink.emit(handle.clock().now(), &listening);
            let (subject, metrics) = (handle.clone(), metrics.clone());
            let closed = Arc::clone(&self.closed);
            env.spawn(async move {
                let closed = closed.notified();
                if takes_over && subject.opened().await.is_err() {
                    return;
                }
                tokio::select! {
                    biased;
                    () = closed => {}
                    never = pages.serve(subject, metrics) => {
                        let never: Infallible = never;
                        match never {}
                    }
                }
            });
        }
    }

    /// Copies of the sockets with their names.
    pub(super) fn sockets(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        let copy = |(name, socket): &(&str, OwnedFd)| Ok(((*name).to_owned(), socket.try_clone()?));
        self.copies.iter().map(copy).collect()
    }

    /// Leaves the sockets to the next process.
    pub(super) fn close(&self) {
        self.closed.notify_waiters();
    }
}

/// Binds the address, or takes the socket of another process if there is one.
async fn open(
    env: &TokioEnv,
    name: &str,
    address: SocketAddr,
    socket: Option<OwnedFd>,
    audience: Audience,
) -> Result<Admin<TokioEnv>, Exit> {
    let refused = |error: String| failed(format!("{name}.bind: {error}"));
    let env = env.clone();
    match socket {
        Some(socket) => {
            let adopted = Admin::adopt(env, socket, audience).await;
            adopted.map_err(|error| refused(error.to_string()))
        }
        None => {
            let bound = Admin::bind(env, address, audience).await;
            bound.map_err(|error| refused(error.to_string()))
        }
    }
}
