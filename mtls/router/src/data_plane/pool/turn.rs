//! The turn of a request that waits for a stream on an endpoint's HTTP/2 connections.

use std::pin::pin;
use std::sync::Arc;

use cellway_env::Env;
use tokio::time::{Instant, sleep_until};

use super::connect::ConnectError;
use super::endpoint::{EndpointPool, Look};
use super::lease::Asks;
use super::load::Stream;
use super::queue::Claim;
use super::streams::{Reserved, Waits};
use crate::active_config::ActiveConfig;
use crate::lock::lock_uncontended;
use crate::shares::Unadmitted;

impl EndpointPool {
    /// Waits for a stream, in turn with other tenants. `None`: there is no connection any more. `full` is why
    /// the request has got none so far. The first wait sets `until` when the last one ends.
    ///
    /// # Errors
    /// There is none within `queue_timeout`, or no more requests may wait.
    pub(super) async fn wait_for_stream<E: Env>(
        self: &Arc<Self>,
        env: &E,
        active: &Arc<ActiveConfig>,
        asks: Asks<'_>,
        (full, until): (Unadmitted, &mut Option<Instant>),
    ) -> Result<Option<Stream>, ConnectError> {
        let limits = &active.settings.upstream.limits;
        if limits.queue_max == 0 {
            return Err(ConnectError::no_stream(full));
        }
        let _wanted = self.bulkhead.wants_stream();
        let until = *until.get_or_insert_with(|| Instant::now() + limits.queue_timeout);
        let stakes = asks.permit.stakes(limits.shares);
        let claim = Claim {
            stakes: &stakes,
            priority: asks.priority,
            capped: None,
        };
        loop {
            let entered = self.streams.enter(limits.queue_max, &claim);
            let mut waits = entered.map_err(|_| ConnectError::no_stream(full))?;
            let reserved = match self.turn(env, active, &mut waits, until).await {
                Turn::Has(reserved) => reserved,
                Turn::Over => return Err(ConnectError::no_stream(full)),
                Turn::NoConnection => {
                    drop(waits);
                    self.streams.wake_next();
                    return Ok(None);
                }
            };
            match lock_uncontended(&self.state).best() {
                None => return Ok(None),
                Some(best) if best.load.has_room() => {
                    return Ok(Some(Stream::on(best.load, reserved)));
                }
                // The cell has lowered its limit meanwhile.
                Some(_) => {}
            }
        }
    }

    /// Waits for this request's turn. Whichever waiting request notices that there may be more room looks
    /// for all.
    async fn turn<E: Env>(
        self: &Arc<Self>,
        env: &E,
        active: &Arc<ActiveConfig>,
        waits: &mut Waits<'_>,
        until: Instant,
    ) -> Turn {
        let mut timer = pin!(sleep_until(until));
        loop {
            let mut room = pin!(self.streams.room().notified());
            // Enabled before the look, so that nothing that changes in between is missed.
            room.as_mut().enable();
            match self.look(active.epoch) {
                Look::Full => {}
                Look::Attempt => self.attempt(env, active),
                Look::NoConnection => return Turn::NoConnection,
            }
            let reserved = tokio::select! {
                biased;
                reserved = waits.granted() => reserved,
                () = room => continue,
                // The place may have come at the last moment.
                () = timer.as_mut() => waits.ends(),
            };
            return reserved.map_or(Turn::Over, Turn::Has);
        }
    }
}

/// How a request's turn ends.
enum Turn {
    Has(Reserved),
    /// The time is over.
    Over,
    NoConnection,
}
