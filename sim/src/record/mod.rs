//! What happened in a run, for people: each request with every step of its way, and what changed at routers
//! and in the world. Stories and pages are made from it, so none of them has to read the trace.

mod change;
mod news;
mod recorder;
mod request;

use std::time::Duration;

pub use self::change::{Change, Changed, Trouble};
pub(crate) use self::recorder::{Detail, Recorder};
pub use self::request::{Happened, Request, Step};

/// A time as in the trace.
pub(crate) fn seconds(since_start: Duration) -> String {
    format!("{:.3}s", since_start.as_secs_f64())
}

#[cfg(test)]
mod tests;
