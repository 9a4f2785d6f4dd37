//! Keeps what was read of a request's body, so that the request can be sent again.
//!
//! A connection takes a body together with its request, and drops it when the exchange breaks off. So
//! while a request may be sent again, each frame is kept when it is read, and a body that is
//! dropped leaves its source here. The request's next body replays the kept frames and then
//! continues with the source.
//!
//! A frame is a slice of the buffer that it was read into, and keeping the slice keeps all of that
//! buffer. So a small frame is copied out and joined to the small frames before it; only a large
//! one is kept as it is. A replay gives the same bytes, though not in the same frames.
//!
//! At most [`KEPT_BYTES_MAX`] are kept for one request. More than [`KEPT_BYTES_FREE`] needs one of
//! the worker's [`KEPT_BODIES_MAX`] places; the request's holders have shares of these, as they
//! have of their cell. A body over these limits is not kept, and its request is sent only once.

use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

use super::source::Source;
use crate::lock::lock_uncontended;
use crate::shares::Bound;
use crate::shares::Stakes;

/// The most bytes that are kept of one body.
pub(crate) const KEPT_BYTES_MAX: usize = 64 * 1024;
/// This much is kept of any body, without a place: most RPC messages fit. The limits on requests in
/// flight bound the total.
const KEPT_BYTES_FREE: usize = 8 * 1024;
/// The most bodies of which a worker keeps more than [`KEPT_BYTES_FREE`].
const KEPT_BODIES_MAX: usize = 256;
/// A frame of fewer bytes is copied. A frame of as many or more is kept with the buffer that it was
/// read into: that of an HTTP/2 connection has about 16 KiB.
const SHARED_BYTES_MIN: usize = 4 * 1024;
/// The size of a block that small frames are copied into, in bytes. This much at most is allocated
/// before it is needed. The first frame gets a block of its own size, because most bodies are one
/// frame.
const BLOCK_BYTES: usize = 1024;
/// The fewest bytes that trailers count as, because of the map that holds them.
const TRAILERS_BYTES_MIN: usize = 2 * 1024;

/// The kept part of one request's body. Each time the request is sent, it gets a new body, and all
/// of them share this.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<State>);

#[derive(Debug, Default)]
pub(crate) struct State {
    /// Set while the request may be sent again.
    keeping: Option<Keeping>,
    frames: Frames,
    /// The number of the request's newest body. Only that one may read.
    last: u8,
    /// Whether the newest body is replaying kept frames and doesn't read yet.
    replaying: bool,
    /// Whether the newest body was dropped.
    dropped: bool,
    /// The source, if a dropped body left it here.
    source: Option<Source>,
    /// The newest body's waker, while that body waits for the source.
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Keeping {
    bytes: usize,
    places: Places,
    has_place: bool,
}

/// The limit on kept bodies, and who this request's place is counted for.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The worker's limit.
    pub(crate) bound: Arc<Bound>,
    pub(crate) stakes: Stakes,
}

/// What was read, in pieces. [`KEPT_BYTES_MAX`] bounds their number well below 255: large frames are
/// few, and the blocks of small frames are full, except before a large frame or a replay.
#[derive(Debug, Default)]
struct Frames {
    /// Often the only piece, so that keeping a large frame needs no allocation.
    first: Option<Bytes>,
    more: Vec<Bytes>,
    /// The block that small frames are being copied into. Empty while they are replayed.
    block: Vec<u8>,
    trailers: Option<HeaderMap>,
    /// Whether the body ends after the kept frames.
    whole: bool,
}

/// The next item of a body that is replayed.
#[derive(Debug)]
pub(crate) enum Next {
    Frame(Frame<Bytes>),
    End,
    /// There are no more kept frames: continue with the source.
    Source(Source),
}

impl Kept {
    /// Starts to keep frames, until [`stop`](Self::stop). Nothing may have been read before.
    pub(crate) fn start(&self, places: Places) {
        lock_uncontended(&self.0).keeping = Some(Keeping {
            bytes: 0,
            places,
            has_place: false,
        });
    }

    /// Whether everything that was read is kept.
    pub(crate) fn is_complete(&self) -> bool {
        lock_uncontended(&self.0).keeping.is_some()
    }

    /// Stops keeping frames: the request won't be sent again. Returns the source if a body has left
    /// it here.
    pub(crate) fn stop(&self) -> Option<Source> {
        let mut state = lock_uncontended(&self.0);
        state.keeping = None;
        state.prune()
    }

    /// Prepares for the request's next body and returns its number. `None` if not everything that
    /// was read is kept.
    pub(crate) fn again(&self) -> Option<u8> {
        let mut state = lock_uncontended(&self.0);
        state.keeping.as_ref()?;
        state.last = state.last.checked_add(1)?;
        state.frames.close_block();
        (state.replaying, state.dropped) = (true, false);
        Some(state.last)
    }

    /// Locks the state so that the body of this number can read. `None` if there is a newer body.
    pub(crate) fn reader(&self, number: u8) -> Option<MutexGuard<'_, State>> {
        let state = lock_uncontended(&self.0);
        (state.last == number).then_some(state)
    }

    /// Called when the body of this number is dropped; it leaves its source here if it has it. Returns
    /// the source if no other body will read it.
    pub(crate) fn leave(&self, number: u8, source: Option<Source>) -> Option<Source> {
        let mut state = lock_uncontended(&self.0);
        if state.last == number {
            (state.replaying, state.dropped) = (false, true);
        }
        if source.is_some() {
            state.source = source;
        }
        let unused = state.prune();
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        unused
    }

    /// The source, if a body has left it here.
    pub(crate) fn take_source(&self) -> Option<Source> {
        lock_uncontended(&self.0).source.take()
    }
}

impl State {
    /// The next item of a body that has given this many kept frames.
    pub(crate) fn next(&mut self, at: u8, cx: &Context<'_>) -> Poll<Next> {
        if let Some(frame) = self.frames.get(usize::from(at)) {
            return Poll::Ready(Next::Frame(frame));
        }
        if self.frames.whole {
            return Poll::Ready(Next::End);
        }
        let Some(source) = self.source.take() else {
            self.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        self.replaying = false;
        self.prune();
        Poll::Ready(Next::Source(source))
    }

    /// Whether the body ends after this many frames.
    pub(crate) fn ends_at(&self, at: u8) -> bool {
        self.frames.whole && usize::from(at) >= self.frames.len()
    }

    /// Keeps a frame that was read. `last`: the body ends after it.
    pub(crate) fn keep(&mut self, frame: &Frame<Bytes>, last: bool) {
        let Some(keeping) = &mut self.keeping else {
            return;
        };
        let length = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => data.len(),
            (None, Some(trailers)) => trailers
                .iter()
                .map(|(name, value)| name.as_str().len() + value.len())
                .sum::<usize>()
                .max(TRAILERS_BYTES_MIN),
            (None, None) => 0,
        };
        if !keeping.fits(length) {
            self.keeping = None;
            self.prune();
            return;
        }
        self.frames.push(frame);
        self.frames.whole = last;
    }

    /// Notes that the source has ended.
    pub(crate) fn ends(&mut self) {
        self.frames.whole = true;
    }

    /// Drops what isn't needed any more. The caller drops or uses the source after it has released the
    /// lock.
    fn prune(&mut self) -> Option<Source> {
        if self.keeping.is_some() {
            return None;
        }
        if !self.replaying {
            self.frames = Frames::default();
        }
        self.dropped.then(|| self.source.take()).flatten()
    }
}

impl Keeping {
    /// Whether this many more bytes may be kept.
    fn fits(&mut self, length: usize) -> bool {
        self.bytes += length;
        if self.bytes > KEPT_BYTES_FREE && !self.has_place {
            let Places { bound, stakes } = &self.places;
            self.has_place = bound.take(KEPT_BODIES_MAX, stakes).is_ok();
        }
        self.bytes <= KEPT_BYTES_FREE || (self.has_place && self.bytes <= KEPT_BYTES_MAX)
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        if self.has_place {
            let Places { bound, stakes } = &self.places;
            bound.give_back(stakes.map(|stake| stake.holder));
        }
    }
}

impl Frames {
    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len() + usize::from(self.trailers.is_some())
    }

    fn get(&self, at: usize) -> Option<Frame<Bytes>> {
        let data = match at.checked_sub(1) {
            None => self.first.as_ref(),
            Some(at) => self.more.get(at),
        };
        match data {
            Some(data) => Some(Frame::data(data.clone())),
            None if at + 1 == self.len() => self.trailers.clone().map(Frame::trailers),
            None => None,
        }
    }

    fn push(&mut self, frame: &Frame<Bytes>) {
        match frame.data_ref() {
            Some(data) if data.len() < SHARED_BYTES_MIN => self.copy(data),
            Some(data) => {
                self.close_block();
                self.piece(data.clone());
            }
            None => self.trailers = frame.trailers_ref().cloned(),
        }
    }

    /// Copies a small frame after the one before it. A block never grows. Bytes that don't fit go
    /// into the next block.
    fn copy(&mut self, data: &[u8]) {
        let room = self.block.capacity() - self.block.len();
        let (fits, rest) = data.split_at(room.min(data.len()));
        self.block.extend_from_slice(fits);
        if rest.is_empty() {
            return;
        }
        let least = if self.block.is_empty() {
            0
        } else {
            BLOCK_BYTES
        };
        self.close_block();
        self.block = Vec::with_capacity(rest.len().max(least));
        self.block.extend_from_slice(rest);
    }

    /// Makes the block a separate piece.
    fn close_block(&mut self) {
        let block = std::mem::take(&mut self.block);
        if !block.is_empty() {
            self.piece(block.into());
        }
    }

    fn piece(&mut self, piece: Bytes) {
        match self.first {
            None => self.first = Some(piece),
            Some(_) => self.more.push(piece),
        }
    }
}

#[cfg(test)]
mod tests;
