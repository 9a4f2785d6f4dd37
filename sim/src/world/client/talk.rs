//! Talks over a WebSocket: a message each second, which the cell sends back.

use std::time::Duration;

use cellway_testbed::{Answer as Response, ClientError, Message, Refused, Request, WebSocket};
use http::HeaderMap;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Pool, classify};
use crate::fact::Answer;

/// How often the client says something.
const EVERY: Duration = Duration::from_secs(1);

/// How long the client waits for the other side's Close frame.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// The length that a client states that sends no body. The next request on a connection is longer.
const STATED: u64 = 60;

/// The result of a request that may have become a WebSocket.
pub(super) enum Talked {
    /// The answer to it.
    Answered(Box<Response>),
    /// It became a WebSocket, which ended like this.
    Ended(Answer),
    /// It became a WebSocket, over which something else than the client's own words came back.
    Mixed(String),
}

/// Opens a WebSocket over a new connection and talks for this long. Calls `heard` for each message
/// that comes back.
pub(super) async fn run(
    pool: &Pool,
    tag: &str,
    request: Request,
    lasts: Duration,
    heard: impl FnMut(),
) -> Result<Talked, ClientError> {
    let (certified, idle) = pool.checkout();
    if let Some(idle) = idle {
        pool.checkin(idle);
    }
    let mut connection = pool.connect(tag, certified).await?;
    match connection.websocket(request).await {
        Ok((_, socket)) => Ok(talk(socket, tag, lasts, heard).await),
        Err(refused) => match *refused {
            Refused::Answer(head, body) => Ok(Talked::Answered(Box::new(Response {
                status: head.status,
                version: head.version,
                interim_answers: 0,
                headers: head.headers,
                body,
                trailers: HeaderMap::new(),
                latency: Duration::ZERO,
            }))),
            Refused::Error(error) => Err(error),
        },
    }
}

/// Asks for a WebSocket with a length over a new connection, and closes it at once.
pub(super) async fn lie(pool: &Pool, tag: &str, request: Request) -> Result<Talked, ClientError> {
    let response = pool.lie(tag, request, STATED).await?;
    // A success is an agreement, with what came over the WebSocket.
    Ok(match classify(&response) == Answer::Ok {
        true => Talked::Ended(Answer::Ok),
        false => Talked::Answered(Box::new(response)),
    })
}

async fn talk(
    mut socket: WebSocket,
    tag: &str,
    lasts: Duration,
    mut heard: impl FnMut(),
) -> Talked {
    let end = Instant::now() + lasts;
    let mut next = Instant::now();
    let words = |number: u32| format!("{tag} says {number}");
    let (mut said, mut came) = (0, 0);
    loop {
        tokio::select! {
            biased;
            message = socket.next() => match message {
                Ok(Message::Data(data)) if data == words(came).as_bytes() => {
                    came += 1;
                    heard();
                }
                Ok(Message::Data(data)) => {
                    let data = String::from_utf8_lossy(&data);
                    let expected = words(came);
                    return Talked::Mixed(format!("{data:?} came back, expected {expected:?}"));
                }
                Ok(Message::Close(code)) => {
                    // It ends in any case.
                    let _ = socket.close(code).await;
                    let _ = socket.finish().await;
                    return Talked::Ended(Answer::Closed(code));
                }
                Ok(Message::End) | Err(_) => return Talked::Ended(Answer::None),
            },
            () = sleep_until(end) => return Talked::Ended(close(socket).await),
            () = sleep_until(next) => {
                next += EVERY;
                if socket.send(words(said).as_bytes()).await.is_err() {
                    return Talked::Ended(Answer::None);
                }
                said += 1;
            }
        }
    }
}

/// Closes the WebSocket at the end of the talk.
async fn close(mut socket: WebSocket) -> Answer {
    let closing = async {
        socket.close(1000).await.ok()?;
        loop {
            match socket.next().await.ok()? {
                Message::Data(_) => {}
                Message::Close(1000) => return Some(Answer::Ok),
                Message::Close(code) => return Some(Answer::Closed(code)),
                Message::End => return None,
            }
        }
    };
    let closed = timeout(CLOSE_WITHIN, closing).await;
    closed.ok().flatten().unwrap_or(Answer::None)
}
