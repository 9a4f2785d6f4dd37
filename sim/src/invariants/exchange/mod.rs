//! A request arrives as its client sent it, and a client gets the whole answer to its own request.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Invariant;
use crate::fact::{Arrived, BodyEnded, Fact, Sent};

/// The trailer of every request that has any. Its value is the tag.
pub(crate) const TRAILER: &str = "x-sim-trailer";

/// What arrives is a request that a client has sent, with its method and path, and with no other length than
/// its body has. If a cell gets a body as complete, it has every byte of it, and its trailers; a body that
/// never ends never becomes complete. A complete answer is the answer to the client's own request, and has no
/// part missing.
#[derive(Debug, Default)]
pub struct TrueExchange {
    /// By tag. Kept after the answer, because the network may deliver a request late.
    sent: BTreeMap<String, Request>,
}

#[derive(Debug)]
struct Request {
    method: String,
    path: String,
    websocket: bool,
    body: Option<u64>,
    trailers: bool,
}

impl Request {
    fn of(sent: &Sent) -> Self {
        Self {
            method: sent.method.clone(),
            path: sent.path.clone(),
            websocket: sent.websocket,
            body: sent.body,
            trailers: sent.trailers,
        }
    }
}

impl TrueExchange {
    fn received(&self, arrived: &Arrived) -> Result<(), String> {
        let (host, tag) = (&arrived.host, arrived.tag.as_deref().unwrap_or_default());
        let Some(request) = self.sent.get(tag) else {
            return Err(format!(
                "{} {} arrived at {host}, which no client has sent",
                arrived.method, arrived.path
            ));
        };
        // RFC 8441 asks for a WebSocket with CONNECT.
        let connects = request.websocket && arrived.method == "CONNECT";
        if arrived.method != request.method && !connects {
            return Err(format!(
                "{tag} arrived at {host} as {}, but its method is {}",
                arrived.method, request.method
            ));
        }
        if arrived.path != request.path {
            return Err(format!(
                "{tag} arrived at {host} for {}, but its path is {}",
                arrived.path, request.path
            ));
        }
        // A client that never ends its body may state any length.
        let stated = arrived.header("content-length");
        if let (Some(stated), Some(body)) = (stated, request.body)
            && stated != body.to_string()
        {
            return Err(format!(
                "{tag} arrived at {host} with the length {stated}, but its body has {body} bytes"
            ));
        }
        Ok(())
    }

    fn body_ended(&self, ended: &BodyEnded) -> Result<(), String> {
        let (cell, tag) = (&ended.cell, ended.tag.as_deref().unwrap_or_default());
        let Some(request) = self.sent.get(tag).filter(|_| ended.complete) else {
            return Ok(());
        };
        let trailer = (TRAILER.to_owned(), tag.to_owned());
        match request.body {
            Some(bytes) if bytes == ended.bytes => match request.trailers {
                true if !ended.trailers.contains(&trailer) => Err(format!(
                    "{cell} got {tag} as whole, but without the trailer that its client sent"
                )),
                true | false => Ok(()),
            },
            Some(bytes) => Err(format!(
                "{cell} got {} bytes as the whole body of {tag}, which has {bytes}",
                ended.bytes
            )),
            None => Err(format!(
                "{cell} got {} bytes as the whole body of {tag}, whose client never ended it",
                ended.bytes
            )),
        }
    }
}

impl Invariant for TrueExchange {
    fn name(&self) -> &'static str {
        "true_exchange"
    }

    fn observe(&mut self, _: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Sent(sent) => {
                self.sent.insert(sent.tag.clone(), Request::of(sent));
            }
            Fact::Arrived(arrived) => return self.received(arrived),
            Fact::BodyEnded(ended) => return self.body_ended(ended),
            Fact::AnswerMixed { tag, found } => {
                return Err(format!("the answer to {tag} is wrong: {found}"));
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
