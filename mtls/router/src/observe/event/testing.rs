//! Events for unit tests, to change by struct update.

use std::time::Duration;

use super::{Owner, Responded};

/// A cell's answer, of which nothing else is known.
pub(crate) fn responded() -> Responded<'static> {
    Responded {
        listener: "public",
        peer: ([192, 0, 2, 1], 9).into(),
        request_id: "1",
        status: Some(200),
        owner: Owner::Cell,
        reason: None,
        detail: None,
        told: false,
        cell: None,
        failover: None,
        latency: Duration::ZERO,
        duration: Duration::ZERO,
        bytes: 0,
        complete: true,
        exchange: None,
    }
}
