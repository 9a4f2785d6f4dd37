//! Where events go.

use cellway_core::Now;

use super::Event;

/// Receives events. Every task has a clone.
pub trait Sink: Clone + Send + Sync + 'static {
    /// Receives an event that happened at `now`. It is called on the request path and must not
    /// block.
    fn emit(&self, now: Now, event: &Event<'_>);

    /// Creates the sink for one worker. A sink that counts gives each worker its own counters.
    #[must_use]
    fn shard(&self, worker: usize) -> Self {
        let _ = worker;
        self.clone()
    }
}

/// Drops every event.
impl Sink for () {
    fn emit(&self, _: Now, _: &Event<'_>) {}
}

/// Passes each event to both sinks.
impl<A: Sink, B: Sink> Sink for (A, B) {
    fn emit(&self, now: Now, event: &Event<'_>) {
        self.0.emit(now, event);
        self.1.emit(now, event);
    }

    fn shard(&self, worker: usize) -> Self {
        (self.0.shard(worker), self.1.shard(worker))
    }
}
