//! Connects to an endpoint for all requests that wait.
//!
//! The attempt is a task of its own, bounded by the time limits for connecting. So it doesn't end with a
//! request whose client goes away or whose time is over, and the connection is there for the others.

use std::sync::Arc;
use std::time::Duration;

use cellway_core::Reason;
use cellway_env::Env;
use tokio::time::Instant;

use super::bulkhead::ConnectionPermit;
use super::connect::{ConnectError, Opened, Room, Versions, connect};
use super::endpoint::{EndpointPool, Protocol};
use crate::active_config::ActiveConfig;
use crate::lock::lock_uncontended;
use crate::shares::LimitRefused;

/// The largest part of the age by which connections are replaced early.
const AGE_SPREAD: f64 = 0.2;

/// A new connection.
pub(super) struct Made {
    pub(super) opened: Opened,
    /// When it should be replaced.
    pub(super) until: Instant,
    /// How many microseconds it took to open. A `Duration` would make every request's future larger.
    pub(super) opened_us: u32,
}

impl EndpointPool {
    /// Begins an attempt. [`next`](Self::next) has said that one has to begin.
    pub(super) fn attempt<E: Env>(self: &Arc<Self>, env: &E, active: &Arc<ActiveConfig>) {
        let mut attempt = Attempt {
            pool: Arc::clone(self),
            outcome: None,
        };
        let (env, active) = (env.clone(), Arc::clone(active));
        let host = env.clone();
        host.spawn(async move {
            let opened = attempt.pool.make(&env, &active).await;
            let kept = opened.map(|made| attempt.pool.keep_made(made, active.epoch));
            attempt.ends(kept);
        });
    }

    /// Opens a connection within the limits on the cell's connections.
    async fn make<E: Env>(
        self: &Arc<Self>,
        env: &E,
        active: &ActiveConfig,
    ) -> Result<Made, ConnectError> {
        let limits = &active.settings.upstream.limits;
        match self.bulkhead.connection(limits).await {
            None => Err(ConnectError::full(LimitRefused::All)),
            Some(permit) => self.connect(env, active, permit, Versions::Any).await,
        }
    }

    /// Opens a connection.
    pub(super) async fn connect<E: Env>(
        &self,
        env: &E,
        active: &ActiveConfig,
        permit: ConnectionPermit,
        versions: Versions,
    ) -> Result<Made, ConnectError> {
        let (began, permit) = (Instant::now(), permit.counted(&self.counts));
        let upstream = &active.settings.upstream;
        let tls = active.cell_tls.as_ref();
        let until = until(env, upstream.connection_age);
        let how = (until, versions);
        let room = self.room_at_first();
        let opened = connect(env, &self.endpoint, tls, upstream, how, (permit, room)).await?;
        let took = began.elapsed().as_micros();
        Ok(Made {
            opened,
            until,
            opened_us: u32::try_from(took).unwrap_or(u32::MAX).max(1),
        })
    }

    fn room_at_first(&self) -> Room {
        let streams = lock_uncontended(&self.state).shared.streams_at_first();
        let room = Arc::clone(self.streams.room());
        (u32::try_from(streams).unwrap_or(u32::MAX), room)
    }

    /// Keeps a connection for those that wait.
    fn keep_made(&self, made: Made, epoch: u64) {
        let Made {
            opened,
            until,
            opened_us,
        } = made;
        self.bulkhead.speaks(matches!(opened, Opened::H1(_)));
        match opened {
            Opened::H1(http1) => {
                lock_uncontended(&self.state).protocol = Protocol::Http1;
                self.keep_new(http1, opened_us, epoch);
            }
            Opened::H2(http2) => drop(self.share(http2, (until, opened_us), epoch)),
        }
    }
}

/// When a connection that is made now should be replaced: a random time before its age, so that
/// connections that were made together aren't replaced together.
fn until<E: Env>(env: &E, age: Duration) -> Instant {
    let mut random = [0; 2];
    env.fill(&mut random);
    let early =
        age.mul_f64(AGE_SPREAD * f64::from(u16::from_le_bytes(random)) / f64::from(u16::MAX));
    Instant::now() + age.saturating_sub(early)
}

/// An attempt. If its task ends without an outcome, it has failed.
struct Attempt {
    pool: Arc<EndpointPool>,
    outcome: Option<Result<(), ConnectError>>,
}

impl Attempt {
    fn ends(&mut self, outcome: Result<(), ConnectError>) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let broken_off =
            || ConnectError::new(Reason::CellUnreachable, "the attempt was broken off");
        let outcome = self.outcome.take();
        self.pool
            .settles(outcome.unwrap_or_else(|| Err(broken_off())));
    }
}
