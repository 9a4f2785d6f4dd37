//! Whether the router serves, for the gRPC health service.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cellway_env::{Clock, Env};
use tokio::time::sleep;

use crate::data_plane::drain::Drain;
use crate::data_plane::opening::Opening;
use crate::data_plane::router_state::RouterState;
use crate::health_service::Readiness;
use crate::observe::ready::{self, ReadyLatch};
use crate::view::ViewCell;

/// How often a watch looks again although it wasn't woken: keys and tenants' status expire by the
/// clock.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The readiness of one router.
pub(crate) struct RouterReadiness<E> {
    views: Arc<ViewCell>,
    drain: Arc<Drain>,
    opening: Arc<Opening>,
    latch: Arc<ReadyLatch>,
    clock: Clock<E>,
}

impl<E: Env> RouterReadiness<E> {
    pub(crate) fn new(router: &RouterState, clock: Clock<E>) -> Self {
        Self {
            views: router.views.clone(),
            drain: router.drain.clone(),
            opening: router.opening.clone(),
            latch: router.latch.clone(),
            clock,
        }
    }
}

impl<E> fmt::Debug for RouterReadiness<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterReadiness").finish_non_exhaustive()
    }
}

impl<E: Env> Readiness for RouterReadiness<E> {
    fn is_ready(&self) -> bool {
        let (view, now) = (self.views.load(), self.clock.mono());
        let was_ready = self.latch.check(&view.snapshot, now);
        let draining = self.drain.makes_unready();
        self.opening.is_open() && ready::serves(&view.snapshot, now, was_ready, draining)
    }

    fn is_leaving(&self) -> bool {
        self.drain.is_draining()
    }

    fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let (views, drain) = (self.views.clone(), self.drain.clone());
        Box::pin(async move {
            tokio::select! {
                biased;
                () = drain.stepped() => {}
                () = views.published() => {}
                () = sleep(LOOK_INTERVAL) => {}
            }
        })
    }
}
