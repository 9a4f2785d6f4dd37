//! Reports events with the time at which they happen.

use cellway_core::Now;
use cellway_env::{Clock, Env};

use super::event::{Event, Sink};

/// A sink, and the clock of its events.
#[derive(Clone, Debug)]
pub(crate) struct Reporter<E, S> {
    clock: Clock<E>,
    sink: S,
}

impl<E: Env, S: Sink> Reporter<E, S> {
    pub(crate) fn new(clock: Clock<E>, sink: S) -> Self {
        Self { clock, sink }
    }

    pub(crate) fn clock(&self) -> &Clock<E> {
        &self.clock
    }

    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    /// Reports something that happens now.
    pub(crate) fn emit(&self, event: &Event<'_>) {
        self.emit_at(self.now(), event);
    }

    /// Reports something that happened at `now`, for callers that need the time for more.
    pub(crate) fn emit_at(&self, now: Now, event: &Event<'_>) {
        self.sink.emit(now, event);
    }
}
