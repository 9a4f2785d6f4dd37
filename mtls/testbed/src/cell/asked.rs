//! What a request asks of an echo cell by its path.

use std::time::Duration;

/// How often a stream sends a line.
pub(super) const TICK_INTERVAL: Duration = Duration::from_millis(250);
pub(super) const TICKS_A_SECOND: u32 = 4;
/// The longest stream.
const STREAM_SECS_MAX: u32 = 3600;

/// How long a stream is asked for: `/stream/30`.
pub(super) fn stream_secs(path: &str) -> Option<u32> {
    let secs = path.strip_prefix("/stream/")?.parse().ok()?;
    Some(STREAM_SECS_MAX.min(secs))
}

/// The most bytes of an answer.
const BYTES_MAX: usize = 16 << 20;

/// How many bytes are asked for: `/bytes/1000`.
pub(super) fn bytes_asked(path: &str) -> Option<usize> {
    let bytes = path.strip_prefix("/bytes/")?.parse().ok()?;
    Some(BYTES_MAX.min(bytes))
}

/// Whether a cell with [`CellFault::Hang`](crate::CellFault::Hang) never answers this path.
pub(super) fn hangs(path: &str) -> bool {
    path.starts_with("/hang")
}

/// Whether a cell with [`CellFault::AnswerEarly`](crate::CellFault::AnswerEarly) answers this path before it
/// has read the body.
pub(super) fn is_upload(path: &str) -> bool {
    path.starts_with("/upload")
}
