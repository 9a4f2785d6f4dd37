//! How a cell reads the bodies of requests.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::sleep;

use super::EchoCell;
use super::asked::is_upload;
use super::received::{Ended, Received, Report, pairs};
use crate::cell_fault::{CellFault, Reads};

/// How long a cell that reads slowly pauses after each part of a body.
const PAUSE: Duration = Duration::from_millis(200);
/// How often a cell looks whether it still keeps a body that it doesn't read.
const LOOKS_EVERY: Duration = Duration::from_millis(250);

impl EchoCell {
    /// Reads a body before the answer.
    pub(super) async fn read(&self, received: &Received, body: Incoming) -> Read {
        let read = read(body, Duration::ZERO).await;
        (self.state.sink)(Report::Ended(received, &read.ended));
        read
    }

    /// How the cell reads this body after the answer, if it answers before.
    pub(super) fn reads_later(&self, received: &Received, body: &Incoming) -> Option<Reads> {
        let CellFault::AnswerEarly(reads) = self.behavior().fault else {
            return None;
        };
        // An own service needs the body for its answer.
        let echoes = self.behavior().own.is_none();
        (echoes && is_upload(&received.path) && !body.is_end_stream()).then_some(reads)
    }

    /// Reads a body after the answer, or keeps it as long as the cell doesn't read.
    pub(super) async fn read_later(self, received: Received, body: Incoming, reads: Reads) {
        match reads {
            Reads::Never => {
                while self.behavior().fault == CellFault::AnswerEarly(reads) {
                    sleep(LOOKS_EVERY).await;
                }
                drop(body);
            }
            Reads::Slowly => {
                let read = read(body, PAUSE).await;
                (self.state.sink)(Report::Ended(&received, &read.ended));
            }
        }
    }
}

/// What was read of a body.
#[derive(Default)]
pub(super) struct Read {
    pub(super) ended: Ended,
    pub(super) data: Vec<Bytes>,
    pub(super) trailers: HeaderMap,
}

/// Reads a body to its end, with a pause after each part.
async fn read(mut body: Incoming, pause: Duration) -> Read {
    let mut read = Read::default();
    loop {
        match body.frame().await {
            None => {
                read.ended.complete = true;
                return read;
            }
            Some(Err(_)) => return read,
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    read.ended.body_bytes += data.len() as u64;
                    read.data.push(data.clone());
                    if !pause.is_zero() {
                        sleep(pause).await;
                    }
                } else if let Ok(came) = frame.into_trailers() {
                    read.ended.trailers = pairs(&came);
                    read.trailers = came;
                }
            }
        }
    }
}
