//! Handles the rest of a request's body if the answer (the router's own or a cell's) doesn't wait
//! for it.
//!
//! Over HTTP/1.1 the next request starts where this one's body ends, so the connection can be used
//! again only if the body is read. A short body is read and discarded. Otherwise the answer says
//! that the connection closes, and the connection lingers until the client has seen that (RFC 9112,
//! section 9.6).
//!
//! Over HTTP/2 a reset tells the client to stop sending (RFC 9113, section 8.1). Some clients lose an answer
//! that is followed by a reset, so the rest is read and discarded for a while before that.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use cellway_env::Env;
use http::Version;
use http::header::{CONTENT_LENGTH, EXPECT};
use http::request::Parts;
use http_body::Body;
use tokio::time::timeout;

use crate::data_plane::activity::Activity;
use crate::data_plane::body::{DRAINED_MAX, Progress, RequestBody, Source, Turn};
use crate::data_plane::connection::Connection;
use crate::data_plane::incoming::Incoming;
use crate::observe::event::Sink;

/// How long an answer waits for the end of a body of unknown length.
const END_AWAITED: Duration = Duration::from_millis(50);

/// How long the router waits for the rest of a short body while it sends the answer.
pub(super) const REST_AWAITED: Duration = Duration::from_secs(2);

/// So many bytes of the rest are discarded over HTTP/2 before the stream is reset.
const DISCARDED_MAX: u64 = 4 * 1024 * 1024;

/// What a request's header says about its body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Announced {
    /// The client waits for `100 Continue` before it sends the body (RFC 9110, section 10.1.1).
    expects: bool,
    length: Length,
    /// Whether the request came over HTTP/1.1, where requests follow one another on the connection.
    http1: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Length {
    /// At most [`DRAINED_MAX`].
    Short,
    Long,
    Unknown,
}

impl Announced {
    pub(crate) fn of(request: &Parts) -> Self {
        let length = request.headers.get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        Self {
            expects: request.headers.contains_key(EXPECT),
            length: match length {
                Some(length) if length <= DRAINED_MAX => Length::Short,
                Some(_) => Length::Long,
                None => Length::Unknown,
            },
            http1: request.version < Version::HTTP_2,
        }
    }

    /// Whether the connection must close if the answer comes before the end of the body.
    pub(super) fn ends_connection(self) -> bool {
        self.http1 && self.length != Length::Short
    }

    /// Whether the router stops reading the body once the answer is complete.
    pub(super) fn is_given_up(self) -> bool {
        self.length != Length::Short
    }
}

/// Whether a connection closes after an answer.
pub(crate) enum Closes {
    No,
    Yes,
    /// It closes unless the body ends soon. Boxed, because few requests wait, and otherwise every
    /// request's future would be larger.
    UnlessItEnds(Pin<Box<dyn Future<Output = bool> + Send>>),
}

impl Closes {
    /// Waits for the end of the body, if that decides it.
    pub(crate) async fn decided(self) -> bool {
        match self {
            Self::No => false,
            Self::Yes => true,
            Self::UnlessItEnds(ends) => !ends.await,
        }
    }
}

/// Decides what to do with the body of a request that the router answers itself. `unsent` is the
/// body, if there is one and no cell got it.
pub(super) fn settle<E: Env, S: Sink>(
    connection: &Connection<E, S>,
    announced: Announced,
    unsent: Option<Box<RequestBody>>,
    progress: Option<&Progress>,
) -> Closes {
    let Some(progress) = progress.filter(|progress| progress.turn() != Turn::Done) else {
        return Closes::No;
    };
    let left = || progress.take_rest().map(Source::into_incoming);
    let rest = unsent.and_then(|body| body.into_incoming()).or_else(left);
    settle_rest(connection, announced, rest)
}

/// The same for the rest of a body that isn't complete. `None` if nobody can read it any more.
pub(crate) fn settle_rest<E: Env, S: Sink>(
    connection: &Connection<E, S>,
    announced: Announced,
    rest: Option<Incoming>,
) -> Closes {
    let env = &connection.worker.env;
    if !announced.http1 {
        if let Some(body) = rest.filter(|_| !announced.expects) {
            env.spawn(async move {
                let _ = timeout(REST_AWAITED, discarded(body, DISCARDED_MAX)).await;
            });
        }
        return Closes::No;
    }
    let activity = connection.activity.clone();
    // In every case: if the connection closes, its client may still be sending.
    activity.leaves_unread();
    let Some(body) = rest.filter(|_| !announced.expects) else {
        return Closes::Yes;
    };
    match announced.length {
        Length::Short => {
            env.spawn(async move {
                ends_within(REST_AWAITED, body, &activity).await;
            });
            Closes::No
        }
        Length::Long => Closes::Yes,
        Length::Unknown => Closes::UnlessItEnds(Box::pin(async move {
            ends_within(END_AWAITED, body, &activity).await
        })),
    }
}

/// Reads a body and discards it. Returns whether it ended in time and within [`DRAINED_MAX`].
pub(super) async fn ends_within(time: Duration, body: Incoming, activity: &Activity) -> bool {
    let ended = matches!(timeout(time, discarded(body, DRAINED_MAX)).await, Ok(true));
    if ended {
        activity.has_read_all();
    }
    ended
}

/// Reads a body and discards it. Returns whether it ended within so many bytes.
async fn discarded(mut body: Incoming, most: u64) -> bool {
    let mut read = 0;
    loop {
        let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        match frame {
            None => return true,
            Some(Err(_)) => return false,
            Some(Ok(frame)) => {
                read += frame.data_ref().map_or(0, Bytes::len) as u64;
                if read > most {
                    return false;
                }
                // Nothing more comes. The next request must not have to wait for another poll.
                if body.is_end_stream() {
                    return true;
                }
            }
        }
    }
}
