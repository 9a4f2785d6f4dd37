//! The admin and the health listener.

use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use cellway_env::Env;
use cellway_env::tokio::TokioEnv;
use cellway_router::Handle;
use cellway_router::admin::Admin;
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
            let admin = match sockets.admin.take() {
                Some(socket) => Admin::adopt(env.clone(), socket)
                    .await
                    .map_err(refused(ADMIN)),
                None => Admin::bind(env.clone(), address)
                    .await
                    .map_err(refused(ADMIN)),
            };
            bound.push((ADMIN, admin?));
        }
        if let Some(address) = config.health {
            let health = match sockets.health.take() {
                Some(socket) => {
                    let adopted = Admin::adopt_health(env.clone(), socket).await;
                    adopted.map_err(refused(HEALTH))
                }
                None => {
                    let bound = Admin::bind_health(env.clone(), address).await;
                    bound.map_err(refused(HEALTH))
                }
            };
            bound.push((HEALTH, health?));
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

fn refused<E: std::fmt::Display>(name: &str) -> impl Fn(E) -> Exit {
    move |error| failed(format!("{name}.bind: {error}"))
}
