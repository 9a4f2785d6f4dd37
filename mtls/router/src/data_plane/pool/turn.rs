//! The turn of a request that waits for a stream on an endpoint's HTTP/2 connections.

use std::pin::pin;
use std::sync::Arc;

use cellway_env::Env;
use tokio::time::{Instant, sleep_until};

use super::connect::ConnectError;
use super::endpoint::EndpointPool;
use super::lease::Asks;
use super::load::Stream;
use super::queue::Claim;
use super::streams::{Reserved, Waits};
use crate::active_config::ActiveConfig;
use crate::lock::lock_uncontended;
use crate::shares::Unadmitted;

impl EndpointPool {
    /// Waits for a stream, in turn with other tenants. `None`: there is no connection any more. `full` is why
    /// the request has got none so far.
    ///
    /// # Errors
    /// There is none within `queue_timeout`, or no more requests may wait.
    pub(super) async fn wait_for_stream<E: Env>(
        self: &Arc<Self>,
        env: &E,
        active: &Arc<ActiveConfig>,
        asks: Asks<'_>,
        full: Unadmitted,
    ) -> Result<Option<Stream>, ConnectError> {
        let limits = &active.settings.upstream.limits;
        if limits.queue_max == 0 {
            return Err(ConnectError::no_stream(full));
        }
        let _wanted = self.bulkhead.wants_stream();
        let until = Instant::now() + limits.queue_timeout;
        let stakes = asks.permit.stakes(limits.shares);
        let claim = Claim {
            stakes: &stakes,
            priority: asks.priority,
            capped: None,
        };
        loop {
            let entered = self.streams.enter(limits.queue_max, &claim);
            let mut waits = entered.map_err(|_| ConnectError::no_stream(full))?;
            let reserved = self.granted(env, active, &mut waits, until).await;
            match self.stream_on_best(reserved.ok_or_else(|| ConnectError::no_stream(full))?) {
                Granted::Stream(stream) => return Ok(Some(stream)),
                Granted::NoConnection => return Ok(None),
                // The cell has lowered its limit meanwhile.
                Granted::NoRoom => {}
            }
        }
    }

    /// Waits for this request's turn. Whichever waiting request notices that there may be more room looks
    /// for all.
    async fn granted<E: Env>(
        self: &Arc<Self>,
        env: &E,
        active: &Arc<ActiveConfig>,
        waits: &mut Waits<'_>,
        until: Instant,
    ) -> Option<Reserved> {
        let mut timer = pin!(sleep_until(until));
        loop {
            let mut room = pin!(self.streams.room().notified());
            // Enabled before the look, so that nothing that changes in between is missed.
            room.as_mut().enable();
            if self.makes_room(active.epoch) {
                self.attempt(env, active);
            }
            tokio::select! {
                biased;
                reserved = waits.granted() => return reserved,
                () = room => {}
                // The place may have come at the last moment.
                () = timer.as_mut() => return waits.ends(),
            }
        }
    }

    fn stream_on_best(&self, reserved: Reserved) -> Granted {
        let best = lock_uncontended(&self.state).shared.best();
        match best {
            None => Granted::NoConnection,
            Some(best) if best.load.has_room() => Granted::Stream(Stream::on(best.load, reserved)),
            Some(_) => Granted::NoRoom,
        }
    }
}

/// What a request with a place gets.
enum Granted {
    Stream(Stream),
    NoConnection,
    NoRoom,
}
