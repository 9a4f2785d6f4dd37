//! What a client's connection is doing, so that one timer can watch it.
//!
//! Setting a timer for each request costs more than noting when it started. So the proxy path only
//! makes notes, and the connection's watch reads them when its single timer fires.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use crate::data_plane::interims::Interims;
use crate::settings::ClientTimeouts;

const FIRST_BYTE: u8 = 0;
const HEADER: u8 = 1;
const BUSY: u8 = 2;
const IDLE: u8 = 3;
/// HTTP/2 only: bytes came, but no request.
const OPENED: u8 = 4;

/// No write is blocked.
const FLOWS: u64 = u64::MAX;

/// The notes. One task writes and reads them. They are atomics only because its future must be
/// `Send`.
#[derive(Debug)]
pub(crate) struct Activity {
    origin: Instant,
    http2: bool,
    phase: AtomicU8,
    /// When the phase started, in nanoseconds since `origin`.
    since: AtomicU64,
    requests: AtomicU32,
    /// Since when the client reads no bytes, or `FLOWS`.
    blocked: AtomicU64,
    /// How much of the stall time the client has used up, in nanoseconds. Each byte that it reads
    /// gives time back, at `read_rate_min` bytes per second.
    used: AtomicU64,
    read_rate_min: u32,
    stalled: AtomicBool,
    cut: AtomicBool,
    /// Whether a request's body is still arriving.
    body_comes: AtomicBool,
    /// How often bytes have come. It wraps.
    reads: AtomicU32,
    /// Whether the client has reset the connection.
    reset: AtomicBool,
    /// Whether the connection ends in the middle of an answer, so that the client must see that.
    breaks_off: AtomicBool,
    /// Whether only the end of the connection ends the answer to the last request: HTTP/1.0.
    until_closed: AtomicBool,
    /// Whether the last request was answered before its body was read.
    unread: AtomicBool,
    /// The interim answers that wait for the client, over HTTP/1.1.
    interims: Interims,
}

/// The phase of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Nothing has come yet.
    FirstByte,
    /// A request's header has started and isn't complete (HTTP/1.1 only).
    Header,
    /// Requests are in flight.
    Busy,
    /// No requests are in flight.
    Idle,
}

impl Activity {
    pub(crate) fn new(origin: Instant, http2: bool, read_rate_min: u32) -> Self {
        Self {
            origin,
            http2,
            phase: AtomicU8::new(FIRST_BYTE),
            since: AtomicU64::new(nanos(origin.elapsed())),
            requests: AtomicU32::new(0),
            blocked: AtomicU64::new(FLOWS),
            used: AtomicU64::new(0),
            read_rate_min,
            stalled: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            body_comes: AtomicBool::new(false),
            reads: AtomicU32::new(0),
            reset: AtomicBool::new(false),
            breaks_off: AtomicBool::new(false),
            until_closed: AtomicBool::new(false),
            unread: AtomicBool::new(false),
            interims: Interims::default(),
        }
    }

    /// The interim answers that wait for the client.
    pub(crate) fn interims(&self) -> &Interims {
        &self.interims
    }

    /// Notes that bytes came.
    pub(crate) fn read(&self) {
        self.reads.store(self.reads().wrapping_add(1), Relaxed);
        match self.phase.load(Relaxed) {
            FIRST_BYTE if self.http2 => self.enter(OPENED),
            IDLE | OPENED if self.http2 => {}
            FIRST_BYTE | IDLE => self.enter(HEADER),
            _ => {}
        }
    }

    /// How often bytes have come. Only a change says something.
    pub(crate) fn reads(&self) -> u32 {
        self.reads.load(Relaxed)
    }

    /// Notes that a request's header is complete.
    pub(crate) fn request_begins(&self) {
        self.requests.fetch_add(1, Relaxed);
        self.phase.store(BUSY, Relaxed);
        if self.unread.load(Relaxed) {
            self.unread.store(false, Relaxed);
        }
    }

    /// Notes that a request's answer is written or given up.
    pub(crate) fn request_ends(&self, now: Instant) {
        if self.requests.fetch_sub(1, Relaxed) == 1 {
            self.enter_at(IDLE, now);
        }
    }

    pub(crate) fn write_blocked(&self) {
        if self.blocked.load(Relaxed) == FLOWS {
            self.blocked.store(nanos(self.origin.elapsed()), Relaxed);
        }
    }

    /// Notes that the client read this many bytes.
    pub(crate) fn write_moved(&self, bytes: usize) {
        let (blocked, used) = (self.blocked.load(Relaxed), self.used.load(Relaxed));
        if blocked == FLOWS && used == 0 {
            return;
        }
        let waited = match blocked {
            FLOWS => 0,
            since => nanos(self.origin.elapsed()).saturating_sub(since),
        };
        self.blocked.store(FLOWS, Relaxed);
        let bought = worth(bytes as u64, self.read_rate_min);
        let used = used.saturating_add(waited).saturating_sub(nanos(bought));
        self.used.store(used, Relaxed);
    }

    /// Notes that the connection is about to be cut because the client reads no bytes.
    pub(crate) fn stall(&self) {
        self.stalled.store(true, Relaxed);
    }

    /// Notes that the connection's only stream is closed, so the connection must be closed too.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Relaxed);
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Relaxed)
    }

    /// Notes that the current request has a body.
    pub(crate) fn body_begins(&self) {
        self.body_comes.store(true, Relaxed);
    }

    /// Notes that the body of the request has ended, or isn't needed any more.
    pub(crate) fn body_ends(&self) {
        self.body_comes.store(false, Relaxed);
    }

    /// Whether nobody reads from an HTTP/1.1 connection, because its request is complete and its answer
    /// isn't.
    pub(crate) fn only_awaits_answer(&self) -> bool {
        self.phase.load(Relaxed) == BUSY && !self.body_comes.load(Relaxed)
    }

    /// Notes that the client reset the connection while it waited for its answer.
    pub(crate) fn resets(&self) {
        self.reset.store(true, Relaxed);
    }

    pub(crate) fn is_reset(&self) -> bool {
        self.reset.load(Relaxed)
    }

    /// Notes that the connection has to be reset when it is dropped.
    pub(crate) fn break_off(&self) {
        self.breaks_off.store(true, Relaxed);
    }

    /// Whether the connection has to be reset when it is dropped.
    pub(crate) fn breaks_off(&self) -> bool {
        self.breaks_off.load(Relaxed)
    }

    /// Whether the connection is in the middle of an answer. Over HTTP/2, where answers to other requests
    /// may be complete, only if the client doesn't read.
    pub(crate) fn is_in_answer(&self) -> bool {
        let blocked = self.blocked.load(Relaxed) != FLOWS;
        blocked || self.is_cut() || self.is_http1() && self.phase() == Phase::Busy
    }

    /// Notes whether the last request is of HTTP/1.0, whose answers may end with the connection.
    pub(crate) fn ends_answers_by_closing(&self, is: bool) {
        if self.until_closed.load(Relaxed) != is {
            self.until_closed.store(is, Relaxed);
        }
    }

    /// Whether a client that sees the connection end in order takes that for the end of the answer.
    pub(crate) fn is_until_closed(&self) -> bool {
        self.until_closed.load(Relaxed)
    }

    /// Notes that a request is answered before its body is read, so that the client may still be
    /// sending.
    pub(crate) fn leaves_unread(&self) {
        self.unread.store(true, Relaxed);
    }

    /// Notes that the unread bytes have been read after all, and were not a header.
    pub(crate) fn has_read_all(&self) {
        self.unread.store(false, Relaxed);
        if self.phase.load(Relaxed) == HEADER {
            self.enter(IDLE);
        }
    }

    /// Whether a client whose connection is closed now may still be sending: the body of a request
    /// that was answered early, or a header that was refused.
    pub(crate) fn is_unread(&self) -> bool {
        self.unread.load(Relaxed) || self.phase() == Phase::Header
    }

    /// Whether the connection carries one request at a time.
    pub(crate) fn is_http1(&self) -> bool {
        !self.http2
    }

    /// Whether the connection is being cut because the client took too long.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled.load(Relaxed)
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            FIRST_BYTE => Phase::FirstByte,
            HEADER => Phase::Header,
            BUSY => Phase::Busy,
            _ => Phase::Idle,
        }
    }

    /// Whether a request has come.
    pub(crate) fn has_had_request(&self) -> bool {
        !matches!(self.phase.load(Relaxed), FIRST_BYTE | HEADER | OPENED)
    }

    /// When the present phase started. For a busy connection, when the one before it started.
    pub(crate) fn since(&self) -> Instant {
        self.origin + Duration::from_nanos(self.since.load(Relaxed))
    }

    /// When the present phase has lasted too long. For a busy connection, that is when the client
    /// has used up the stall time. `None` while the client reads.
    pub(crate) fn deadline(&self, timeouts: &ClientTimeouts) -> Option<Instant> {
        let limit = match self.phase() {
            Phase::FirstByte => timeouts.first_byte,
            Phase::Header => timeouts.header,
            Phase::Idle => timeouts.idle,
            Phase::Busy => {
                let blocked = self.blocked.load(Relaxed);
                let left = timeouts.stall;
                let left = left.saturating_sub(Duration::from_nanos(self.used.load(Relaxed)));
                return (blocked != FLOWS)
                    .then(|| self.origin + Duration::from_nanos(blocked) + left);
            }
        };
        Some(self.since() + limit)
    }

    /// Since when the connection is idle, if it is.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let since = Duration::from_nanos(self.since.load(Relaxed));
        (self.phase() == Phase::Idle).then(|| self.origin + since)
    }

    /// Whether nothing is in flight in either direction, and nothing is left to be read.
    pub(crate) fn may_rest(&self) -> bool {
        let flows = self.blocked.load(Relaxed) == FLOWS;
        self.phase() == Phase::Idle && flows && !self.is_unread()
    }

    fn enter(&self, phase: u8) {
        self.enter_at(phase, Instant::now());
    }

    fn enter_at(&self, phase: u8, now: Instant) {
        self.phase.store(phase, Relaxed);
        let since = now.saturating_duration_since(self.origin);
        self.since.store(nanos(since), Relaxed);
    }
}

/// How long a client may take for this many bytes. If the rate is 0, there is no limit.
pub(crate) fn worth(bytes: u64, rate_min: u32) -> Duration {
    match rate_min {
        0 => Duration::MAX,
        rate => Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / u64::from(rate)),
    }
}

fn nanos(since: Duration) -> u64 {
    u64::try_from(since.as_nanos()).unwrap_or(FLOWS - 1)
}
