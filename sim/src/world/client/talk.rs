//! Talks over a WebSocket: a message each second, which the cell sends back.

use std::time::Duration;

use cellway_testbed::{Answer as Response, ClientError, Message, Refused, Request, WebSocket};
use http::HeaderMap;
use tokio::time::{Instant, sleep_until, timeout};

use super::Pool;
use crate::fact::Answer;

/// How often the client says something.
const EVERY: Duration = Duration::from_secs(1);

/// How long the client waits for the other side's Close frame.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// The result of a request that may have become a WebSocket.
pub(super) enum Talked {
    /// The answer to it.
    Answered(Box<Response>),
    /// It became a WebSocket, which ended like this.
    Ended(Answer),
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
        Ok((_, socket)) => Ok(Talked::Ended(talk(socket, lasts, heard).await)),
        Err(refused) => match *refused {
            Refused::Answer(head, body) => Ok(Talked::Answered(Box::new(Response {
                status: head.status,
                version: head.version,
                headers: head.headers,
                body,
                trailers: HeaderMap::new(),
                latency: Duration::ZERO,
            }))),
            Refused::Error(error) => Err(error),
        },
    }
}

async fn talk(mut socket: WebSocket, lasts: Duration, mut heard: impl FnMut()) -> Answer {
    let end = Instant::now() + lasts;
    let mut next = Instant::now();
    loop {
        tokio::select! {
            biased;
            message = socket.next() => match message {
                Ok(Message::Data(_)) => heard(),
                Ok(Message::Close(code)) => {
                    // It ends in any case.
                    let _ = socket.close(code).await;
                    let _ = socket.finish().await;
                    return Answer::Closed(code);
                }
                Ok(Message::End) | Err(_) => return Answer::None,
            },
            () = sleep_until(end) => return close(socket).await,
            () = sleep_until(next) => {
                next += EVERY;
                if socket.send(b"tick").await.is_err() {
                    return Answer::None;
                }
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
