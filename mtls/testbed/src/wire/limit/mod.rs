//! How many streams a host allows on its HTTP/2 connections, and how many are open.
//!
//! hyper's server says once how many it allows, when a connection begins. Here a host may say that again, and
//! counts the streams itself.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};

use cellway_core::http2::{
    ACK, DATA, END_STREAM, FrameHeader, HEADERS, MAX_CONCURRENT_STREAMS, RST_STREAM, SETTINGS,
};
use tokio::sync::Notify;

/// How many streams a host allows that doesn't say it itself: as many as hyper's server does.
const STREAMS: u32 = 200;

/// The length of a setting (RFC 9113, section 6.5.1).
const SETTING_LEN: u8 = 6;

/// How many streams a host allows on each of its connections. `None`: as many as hyper's server does.
#[derive(Debug, Default)]
pub(crate) struct Allowed {
    streams: Mutex<Option<u32>>,
    changed: Notify,
}

impl Allowed {
    pub(crate) fn set(&self, streams: Option<u32>) {
        *self.streams.lock().unwrap_or_else(PoisonError::into_inner) = streams;
        self.changed.notify_waiters();
    }

    pub(crate) fn get(&self) -> Option<u32> {
        *self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is another number than this one, and returns it.
    pub(crate) async fn change_from(&self, known: Option<u32>) -> Option<u32> {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Enabled before the look, so that no change in between is missed.
            changed.as_mut().enable();
            let now = self.get();
            if now != known {
                return now;
            }
            changed.await;
        }
    }
}

/// A stream that is one more than its host allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Excess {
    /// How many the host allows.
    pub allowed: u32,
    /// Whether it is also one more than the client has acknowledged.
    pub known: bool,
}

/// The limit on the streams of one connection.
#[derive(Debug)]
pub(super) struct StreamLimit {
    /// What the host has said last.
    allowed: Option<u32>,
    /// What it has said and the client hasn't acknowledged yet. `None`: hyper's own settings.
    unacknowledged: VecDeque<Option<u32>>,
    /// What the client has acknowledged last.
    acknowledged: Option<u32>,
    /// The streams that are open.
    open: BTreeMap<u32, Ended>,
}

/// Which sides of a stream have ended.
#[derive(Clone, Copy, Debug, Default)]
struct Ended {
    request: bool,
    answer: bool,
}

impl StreamLimit {
    /// The limit of a connection that begins with these frames, before those of hyper.
    pub(super) fn new(allowed: Option<u32>) -> (Self, Vec<u8>) {
        let mut limit = Self {
            allowed: None,
            unacknowledged: VecDeque::new(),
            acknowledged: None,
            open: BTreeMap::new(),
        };
        let frame = allowed.map(|streams| limit.says(streams));
        limit.unacknowledged.push_back(None);
        (limit, frame.unwrap_or_default())
    }

    /// The frame that says that the host allows another number of streams from now on.
    pub(super) fn changes(&mut self, allowed: Option<u32>) -> Vec<u8> {
        self.says(allowed.unwrap_or(STREAMS))
    }

    fn says(&mut self, streams: u32) -> Vec<u8> {
        self.allowed = Some(streams);
        self.unacknowledged.push_back(Some(streams));
        let mut frame = vec![0, 0, SETTING_LEN, SETTINGS, 0, 0, 0, 0, 0];
        frame.extend(MAX_CONCURRENT_STREAMS.to_be_bytes());
        frame.extend(streams.to_be_bytes());
        frame
    }

    /// How many streams the client knows that the host allows.
    pub(super) fn known(&self) -> Option<u32> {
        self.acknowledged
    }

    /// A new stream. Returns whether it is one too many.
    pub(super) fn opens(&mut self, stream: u32) -> Option<Excess> {
        let excess = self.allowed.and_then(|allowed| {
            let open = u32::try_from(self.open.len()).unwrap_or(u32::MAX);
            (open >= allowed).then_some(Excess {
                allowed,
                known: self.acknowledged.is_some_and(|known| open >= known),
            })
        });
        self.open.insert(stream, Ended::default());
        excess
    }

    /// A frame of the client. Returns whether it is for hyper.
    pub(super) fn came(&mut self, frame: FrameHeader) -> bool {
        if frame.kind == SETTINGS && frame.flags & ACK != 0 {
            let said = self.unacknowledged.pop_front().flatten();
            self.acknowledged = said.or(self.acknowledged);
            return said.is_none();
        }
        self.ends(frame, |ended| &mut ended.request);
        true
    }

    /// A frame of hyper.
    pub(super) fn went(&mut self, frame: FrameHeader) {
        self.ends(frame, |ended| &mut ended.answer);
    }

    fn ends(&mut self, frame: FrameHeader, side: impl Fn(&mut Ended) -> &mut bool) {
        let Some(ended) = self.open.get_mut(&frame.stream) else {
            return;
        };
        let last = matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0;
        *side(ended) |= last;
        if frame.kind == RST_STREAM || (ended.request && ended.answer) {
            self.open.remove(&frame.stream);
        }
    }
}

#[cfg(test)]
mod tests;
