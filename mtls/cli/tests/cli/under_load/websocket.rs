//! A client that talks over a WebSocket until its router leaves.

use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;
use cellway_env::tokio::TokioEnv;
use cellway_testbed::{Client, Message, Refused, WebSocket};

use super::{Kind, Shared};

/// Going away (RFC 6455, section 7.4.1).
const GOING_AWAY: u16 = 1001;

/// Opens one WebSocket after another, each on its own connection, until the router leaves.
pub(super) async fn run(kind: Kind, client: &Client<TokioEnv>, shared: &Shared) {
    while !shared.leaves() {
        let mut connection = match client.connect().await {
            Ok(connection) => connection,
            // The listeners may close between the look and the attempt.
            Err(_) if shared.leaves() => return,
            Err(error) => return shared.fail(kind, format_args!("connecting: {error}")),
        };
        match connection.websocket(kind.request()).await {
            Ok((_, socket)) => {
                if let Err(why) = talk(kind, socket, shared).await {
                    return shared.fail(kind, why);
                }
            }
            // The router closed the connection before it processed the request.
            Err(refused) => match *refused {
                Refused::Error(error) if error.is_unprocessed() => {}
                refused @ (Refused::Error(_) | Refused::Answer(..)) => {
                    return shared.fail(kind, format_args!("opening: {refused:?}"));
                }
            },
        }
    }
}

/// Sends numbered messages, each after the answer to the one before, until the router says 1001.
async fn talk(kind: Kind, mut socket: WebSocket, shared: &Shared) -> Result<(), String> {
    let mut number = 0_u32;
    loop {
        let sent = socket.send(&number.to_be_bytes()).await;
        match socket.next().await {
            Ok(Message::Data(data)) if data == Bytes::copy_from_slice(&number.to_be_bytes()) => {
                shared.messages.fetch_add(1, SeqCst);
                shared.serves(kind);
                number += 1;
            }
            Ok(Message::Close(GOING_AWAY)) => {
                // It ends in any case.
                let _ = socket.close(GOING_AWAY).await;
                let _ = socket.finish().await;
                return Ok(());
            }
            other => return Err(format!("message {number} ({sent:?}): {other:?}")),
        }
    }
}
