//! The frames of an HTTP/2 connection beneath hyper's server, for what hyper doesn't do.
//!
//! hyper's server closes a connection gracefully: it serves every request that it received. Other
//! servers, when they close a connection (after some number of requests, or at a restart), name a
//! last stream in `GOAWAY` that is lower than streams they already received: they didn't process
//! requests on higher streams (RFC 9113, section 6.8). To act like them, this module writes its own
//! frame between hyper's frames. In the same way a server changes how many [streams](limit) it allows.

mod limit;
mod stream;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cellway_core::http2::{FrameHeader, HEADERS};

pub(super) use self::limit::Allowed;
pub use self::limit::Excess;
use self::limit::StreamLimit;
pub(super) use self::stream::WireStream;

/// The type of `GOAWAY` (RFC 9113, section 6.8), and the length of one without debug data.
const GOAWAY: u8 = 7;
const GOAWAY_LEN: u8 = 8;

/// The frames of one connection, shared by its requests and its byte stream.
#[derive(Clone, Debug)]
pub(super) struct Wire(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Opened streams whose requests hyper hasn't handed over yet. It hands them over in this
    /// order.
    opened: VecDeque<(u32, Option<Excess>)>,
    /// The highest stream that was opened.
    highest: u32,
    /// The highest stream whose request is served.
    served: u32,
    /// `GOAWAY` was made.
    sent: bool,
    limit: StreamLimit,
    /// The rest of the frames that are still to be written.
    frames: Vec<u8>,
}

/// What the frames say about a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Opened {
    /// Its stream.
    pub(super) stream: u32,
    /// Whether it came after the connection's `GOAWAY`, so that it isn't processed.
    pub(super) after_goaway: bool,
    /// Whether its stream is one too many.
    pub(super) excess: Option<Excess>,
    /// How many streams the client knows that the host allows.
    pub(super) streams_known: Option<u32>,
}

impl Wire {
    /// A new connection, on which the host allows this many streams.
    pub(super) fn new(streams: Option<u32>) -> Self {
        let (limit, frames) = StreamLimit::new(streams);
        Self(Arc::new(Mutex::new(State {
            opened: VecDeque::new(),
            highest: 0,
            served: 0,
            sent: false,
            limit,
            frames,
        })))
    }

    /// Counts the next request. With `goes_away` the connection goes away, and neither this request
    /// nor later ones are processed.
    pub(super) fn next(&self, goes_away: bool) -> Opened {
        let mut state = self.lock();
        let opened = state.opened.pop_front();
        if goes_away && !state.sent {
            state.sent = true;
            let frame = goaway(state.served);
            state.frames.extend(frame);
        }
        let (stream, excess) = opened.unwrap_or((state.served, None));
        if !state.sent {
            state.served = stream;
        }
        Opened {
            stream,
            after_goaway: state.sent,
            excess,
            streams_known: state.limit.known(),
        }
    }

    /// Says that the host allows another number of streams from now on.
    pub(super) fn allow(&self, streams: Option<u32>) {
        let mut state = self.lock();
        let frame = state.limit.changes(streams);
        state.frames.extend(frame);
    }

    /// Writes these whole frames before hyper's next one.
    pub(super) fn push(&self, frames: &[u8]) {
        self.lock().frames.extend(frames);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A frame of the client. Returns whether it is for hyper.
    fn came(&mut self, frame: FrameHeader) -> bool {
        // Trailers come on a stream that is known.
        if frame.kind == HEADERS && frame.stream > self.highest {
            self.highest = frame.stream;
            let excess = self.limit.opens(frame.stream);
            self.opened.push_back((frame.stream, excess));
        }
        self.limit.came(frame)
    }
}

/// A `GOAWAY` without an error, after this stream.
fn goaway(last: u32) -> Vec<u8> {
    let mut frame = vec![0, 0, GOAWAY_LEN, GOAWAY, 0, 0, 0, 0, 0];
    frame.extend(last.to_be_bytes());
    frame.extend([0; 4]);
    frame
}

#[cfg(test)]
mod tests;
