//! What becomes of a request's body when the answer doesn't wait for it.
//!
//! Over HTTP/1.1 the next request begins where this one's body ends, so a connection goes on only if
//! the body is read. A short one is read and discarded. For any other the answer says that the
//! connection closes, and the connection lingers until the client has seen it
//! (RFC 9112, section 9.6). HTTP/2 resets the stream (RFC 9113, section 8.1).

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http::header::{CONTENT_LENGTH, EXPECT};
use http::request::Parts;
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::progress::{Progress, Turn};
use super::request::RequestBody;
use crate::connection::{Activity, Connection};
use crate::env::Env;
use crate::event::Sink;

/// Most bytes that are read of a body which nobody wants, so that its connection can go on.
pub(super) const DRAINED_MAX: u64 = 64 * 1024;

/// How long an answer waits for the end of a body whose length nobody knows.
const END_AWAITED: Duration = Duration::from_millis(50);

/// How long the rest of a short body is waited for while the answer is on its way.
const REST_AWAITED: Duration = Duration::from_secs(2);

/// What a request's header says of its body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Announced {
    /// The client waits for leave to send it (RFC 9110, section 10.1.1).
    expects: bool,
    length: Length,
    /// The connection carries one request after the other.
    http1: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Length {
    /// No more than is read of a body that nobody wants.
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

    /// An answer that comes before the body is whole takes the connection with it.
    pub(super) fn ends_connection(self) -> bool {
        self.http1 && self.length != Length::Short
    }

    /// Nobody waits for the rest of the body once the answer is whole.
    pub(super) fn is_given_up(self) -> bool {
        !self.http1 || self.ends_connection()
    }
}

/// Whether a connection closes after an answer.
pub(super) enum Closes {
    No,
    Yes,
    /// Unless the end of the body comes soon. Boxed, because few requests wait, and all would carry the
    /// room for it.
    UnlessItEnds(Pin<Box<dyn Future<Output = bool> + Send>>),
}

impl Closes {
    /// Waits, where that decides it.
    pub(super) async fn decided(self) -> bool {
        match self {
            Self::No => false,
            Self::Yes => true,
            Self::UnlessItEnds(ends) => !ends.await,
        }
    }
}

/// Settles what becomes of the body of a request that the router answers itself. `unsent` is the
/// body, if there is one and no cell was given it.
pub(super) fn settle<E: Env, S: Sink>(
    connection: &Connection<E, S>,
    announced: Announced,
    unsent: Option<Box<RequestBody>>,
    progress: Option<&Progress>,
) -> Closes {
    let whole = progress.is_none_or(|progress| progress.turn() == Turn::Done);
    if whole || !announced.http1 {
        return Closes::No;
    }
    let activity = connection.activity.clone();
    // Whatever comes of it: should the connection close, its client may still be sending.
    activity.leaves_unread();
    let unsent = unsent.filter(|_| !announced.expects);
    let Some(body) = unsent.and_then(|body| body.into_incoming()) else {
        return Closes::Yes;
    };
    match announced.length {
        Length::Short => {
            let env = &connection.worker.common.env;
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

async fn ends_within(time: Duration, body: Incoming, activity: &Activity) -> bool {
    let ended = matches!(timeout(time, drained(body)).await, Ok(true));
    if ended {
        activity.has_read_all();
    }
    ended
}

/// Reads a body and discards it; whether it ended before it was too long.
async fn drained(mut body: Incoming) -> bool {
    let mut read = 0;
    loop {
        let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        match frame {
            None => return true,
            Some(Err(_)) => return false,
            Some(Ok(frame)) => {
                read += frame.data_ref().map_or(0, Bytes::len) as u64;
                if read > DRAINED_MAX {
                    return false;
                }
            }
        }
    }
}
