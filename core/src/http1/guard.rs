//! Follows the messages of one connection.

use super::body::{chunk_end, chunk_size};
use super::head::{Coding, CompleteHead, Head, Section};
use super::{INTERIMS_MAX, Limits, MessageError};

/// Follows what one side of a connection sends.
#[derive(Clone, Debug)]
pub struct Guard {
    answers: bool,
    limits: Limits,
    state: State,
    /// The request that the next answer belongs to.
    asked: Option<RequestKind>,
    /// How many interim answers to the present request have come.
    interims: u16,
}

/// The request that an answer belongs to. It decides whether the answer has a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestKind {
    /// `HEAD`: never a body.
    Head,
    /// Any other method. `CONNECT` is never sent.
    Other,
}

/// Where in a message the guard is.
#[derive(Clone, Debug)]
enum State {
    Head(Head),
    /// This many bytes of the body are left.
    Length(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers(Section),
    /// All further bytes belong to the body, or to no message.
    UntilClose,
    /// The request asked to switch protocols. It isn't known yet whether more requests follow or
    /// bytes of the other protocol, so nothing passes.
    Asked,
    Ended(Found),
}

/// Where an error was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// In a head: nothing of the message has passed.
    InHead(MessageError),
    /// In a body: the head has passed.
    InBody(MessageError),
}

/// The guard's result for some bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scan {
    /// This many bytes at the front may pass. Show the others again, together with what follows.
    pub pass: usize,
    /// The error that ends the connection after them, if there is one.
    pub found: Option<Found>,
}

/// What the bytes are that pass at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// A whole head, with the empty line at its end.
    Head,
    /// The whole head of an interim answer (RFC 9110, section 15.2).
    Interim,
    /// Bytes of a body.
    Data,
    /// The framing of a chunk (RFC 9112, section 7.1).
    Framing,
    /// A whole trailer section, with the empty line at its end.
    Trailers,
}

/// How the rest of the present message is framed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rest {
    /// There is none: the next head follows.
    Nothing,
    /// This many bytes of the body.
    Length(u64),
    /// Bytes of a chunk, and more chunks after it.
    Chunk,
    /// The framing of chunks, or the trailer section.
    Framing,
    /// All further bytes of the connection.
    UntilClose,
}

impl Guard {
    /// A guard for a client's requests.
    pub fn requests() -> Self {
        Self::new(false, Limits::default())
    }

    /// A guard for a cell's answers.
    pub fn answers(limits: Limits) -> Self {
        Self::new(true, limits)
    }

    fn new(answers: bool, limits: Limits) -> Self {
        Self {
            answers,
            limits,
            state: State::Head(Head::default()),
            asked: None,
            interims: 0,
        }
    }

    /// Notes that a request is sent; the next answer belongs to it.
    pub fn expect_answer_to(&mut self, request: RequestKind) {
        self.asked = Some(request);
        self.interims = 0;
    }

    /// Whether the last request asked to switch protocols. Then nothing passes until
    /// [`stays`](Self::stays) says that its answer didn't. After a switch, no byte is a message's.
    pub fn asks_to_switch(&self) -> bool {
        matches!(self.state, State::Asked)
    }

    /// The request that asked to switch protocols was answered without a switch: the next request
    /// follows.
    pub fn stays(&mut self) {
        if self.asks_to_switch() {
            self.state = State::Head(Head::default());
        }
    }

    /// Checks all bytes that haven't passed. They must begin after the last byte that passed.
    pub fn scan(&mut self, bytes: &[u8]) -> Scan {
        let mut pass = 0;
        loop {
            match self.next(&bytes[pass..]) {
                Ok(Some((_, len))) => pass += len,
                Ok(None) => return Scan { pass, found: None },
                Err(found) => {
                    return Scan {
                        pass,
                        found: Some(found),
                    };
                }
            }
        }
    }

    /// Checks the next part of a message. Returns what it is and how many bytes at the front it has;
    /// `None` if more bytes are needed. The bytes must begin after the last byte that passed.
    ///
    /// # Errors
    /// The part isn't allowed. Nothing passes any more.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Option<(Part, usize)>, Found> {
        self.step(bytes)
            .inspect_err(|found| self.state = State::Ended(*found))
    }

    /// How the rest of the present message is framed.
    pub fn rest(&self) -> Rest {
        match self.state {
            State::Head(_) | State::Asked | State::Ended(_) => Rest::Nothing,
            State::Length(left) => Rest::Length(left),
            State::Chunk(_) => Rest::Chunk,
            State::ChunkSize | State::ChunkEnd | State::Trailers(_) => Rest::Framing,
            State::UntilClose => Rest::UntilClose,
        }
    }

    fn step(&mut self, bytes: &[u8]) -> Result<Option<(Part, usize)>, Found> {
        if let State::Ended(found) = self.state {
            return Err(found);
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        match &mut self.state {
            State::Head(head) => {
                let whole = match self.answers {
                    true if self.asked.is_none() => Err(MessageError::Unasked),
                    true => head.answer(bytes, self.limits),
                    false => head.request(bytes, self.limits),
                };
                let Some(whole) = whole.map_err(Found::InHead)? else {
                    return Ok(None);
                };
                let before = self.interims;
                self.state = self.body(&whole);
                if self.interims > INTERIMS_MAX {
                    return Err(Found::InHead(MessageError::TooManyInterims));
                }
                let is_interim = self.interims > before;
                let part = if is_interim {
                    Part::Interim
                } else {
                    Part::Head
                };
                Ok(Some((part, whole.len)))
            }
            State::Length(left) => {
                let pass = take(left, bytes);
                if *left == 0 {
                    self.state = State::Head(Head::default());
                }
                Ok(Some((Part::Data, pass)))
            }
            State::Chunk(left) => {
                let pass = take(left, bytes);
                if *left == 0 {
                    self.state = State::ChunkEnd;
                }
                Ok(Some((Part::Data, pass)))
            }
            State::UntilClose => Ok(Some((Part::Data, bytes.len()))),
            State::Asked => Ok(None),
            State::Ended(found) => Err(*found),
            State::ChunkSize => {
                let size = chunk_size(bytes).map_err(Found::InBody)?;
                let next = size.map(|(size, len)| match size {
                    0 => (State::Trailers(Section::default()), len),
                    _ => (State::Chunk(size), len),
                });
                Ok(self.enter(Part::Framing, next))
            }
            State::ChunkEnd => {
                let end = chunk_end(bytes).map_err(Found::InBody)?;
                Ok(self.enter(Part::Framing, end.map(|len| (State::ChunkSize, len))))
            }
            State::Trailers(section) => {
                let end = section.trailers(bytes, self.limits);
                let end = end.map_err(Found::InBody)?;
                let next = end.map(|len| (State::Head(Head::default()), len));
                Ok(self.enter(Part::Trailers, next))
            }
        }
    }

    /// Enters the next state once a part of the framing of that length is complete.
    fn enter(&mut self, part: Part, next: Option<(State, usize)>) -> Option<(Part, usize)> {
        let (state, len) = next?;
        self.state = state;
        Some((part, len))
    }

    /// The state after a head (RFC 9112, section 6.3).
    fn body(&mut self, head: &CompleteHead) -> State {
        if self.answers {
            match head.start.status {
                // The bytes of the other protocol follow. The code that reads the answer refuses it
                // if the router didn't ask to switch.
                101 => return State::UntilClose,
                100..200 => {
                    self.interims += 1;
                    return State::Head(Head::default());
                }
                _ => {}
            }
            let asked = self.asked.take();
            if asked == Some(RequestKind::Head) || matches!(head.start.status, 204 | 304) {
                return State::Head(Head::default());
            }
        }
        match (head.coding, head.length) {
            // `Upgrade` is ignored in a request with a body, and in HTTP/1.0 (RFC 9110, section 7.8).
            (None, None | Some(0)) if head.upgrade && !head.start.http10 => State::Asked,
            (Some(Coding::Chunked), _) => State::ChunkSize,
            (Some(Coding::Identity), _) => State::UntilClose,
            (None, None) if self.answers => State::UntilClose,
            (None, None | Some(0)) => State::Head(Head::default()),
            (None, Some(length)) => State::Length(length),
        }
    }
}

/// How many of the bytes belong to a part of which `left` bytes are left, which it reduces.
fn take(left: &mut u64, bytes: &[u8]) -> usize {
    let pass = usize::try_from(*left)
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    *left -= pass as u64;
    pass
}
