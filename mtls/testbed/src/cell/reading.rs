//! How a cell reads the bodies of requests.

use std::time::Duration;

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
    pub(super) async fn read(&self, received: &Received, body: Incoming) -> (Ended, HeaderMap) {
        let (ended, trailers) = read(body, Duration::ZERO).await;
        (self.state.sink)(Report::Ended(received, &ended));
        (ended, trailers)
    }

    /// How the cell reads this body after the answer, if it answers before.
    pub(super) fn reads_later(&self, received: &Received, body: &Incoming) -> Option<Reads> {
        let CellFault::AnswerEarly(reads) = self.behavior().fault else {
            return None;
        };
        (is_upload(&received.path) && !body.is_end_stream()).then_some(reads)
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
                let (ended, _) = read(body, PAUSE).await;
                (self.state.sink)(Report::Ended(&received, &ended));
            }
        }
    }
}

/// Reads a body to its end and discards it, with a pause after each part. Returns its trailers too.
async fn read(mut body: Incoming, pause: Duration) -> (Ended, HeaderMap) {
    let mut trailers = HeaderMap::new();
    let mut ended = Ended::default();
    loop {
        match body.frame().await {
            None => {
                ended.complete = true;
                return (ended, trailers);
            }
            Some(Err(_)) => return (ended, trailers),
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    ended.body_bytes += data.len() as u64;
                    if !pause.is_zero() {
                        sleep(pause).await;
                    }
                } else if let Ok(came) = frame.into_trailers() {
                    ended.trailers = pairs(&came);
                    trailers = came;
                }
            }
        }
    }
}
