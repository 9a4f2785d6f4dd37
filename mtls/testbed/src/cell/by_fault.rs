//! What a cell with a fault does to a request.

use std::future;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};

use super::asked::{TICK_INTERVAL, TICKS_A_SECOND, hangs, stream_secs};
use super::received::{Received, Report};
use super::{EchoCell, call};
use crate::body::Buffered;
use crate::cell_fault::{CellFault, Unserved};
use crate::own::OwnService;
use crate::serve::{Peer, Rejected};

/// How many requests a busy cell works on at once.
pub(super) const BUSY_WIDTH: usize = 4;

/// The number of requests that a flapping cell breaks off, and then serves.
const FLAP: u64 = 10;

/// Whether a cell with this fault works on a request, however it answers.
fn works(fault: CellFault, received: &Received) -> bool {
    let refuses = matches!(
        fault,
        CellFault::Status(_) | CellFault::Unavailable(_) | CellFault::HalfOpen
    );
    let hangs = fault == CellFault::Hang && hangs(&received.path);
    !refuses && !hangs
}

impl EchoCell {
    /// How a request ends without an answer, and what the cell reports about it.
    pub(super) fn rejected_by_fault(
        &self,
        peer: &Peer,
        http2: bool,
    ) -> Option<(Rejected, Unserved)> {
        let refused = |excess| (Rejected::Refused, Unserved::TooManyStreams(excess));
        let refused = peer.opened.excess.map(refused);
        let rejected = match self.behavior().fault {
            _ if peer.opened.after_goaway => (Rejected::AfterGoaway, Unserved::AfterGoaway),
            _ if refused.is_some() => refused?,
            CellFault::RefuseStreams if http2 => (Rejected::Refused, Unserved::StreamRefused),
            CellFault::BreakOff if http2 => (Rejected::Aborted, Unserved::StreamReset),
            CellFault::BreakOff => (Rejected::Aborted, Unserved::ConnectionClosed),
            CellFault::Flapping if (self.arrivals() / FLAP).is_multiple_of(2) => match http2 {
                true => (Rejected::Aborted, Unserved::StreamReset),
                false => (Rejected::Aborted, Unserved::ConnectionClosed),
            },
            CellFault::None
            | CellFault::Slow(_)
            | CellFault::Busy(_)
            | CellFault::Status(_)
            | CellFault::Unavailable(_)
            | CellFault::GrpcStatus(_)
            | CellFault::LateGrpcStatus(_)
            | CellFault::NotServing
            | CellFault::ResetMidBody
            | CellFault::StallMidBody
            | CellFault::HalfOpen
            | CellFault::Hang
            | CellFault::Deaf
            | CellFault::AnswerEarly(_)
            | CellFault::RefuseStreams
            | CellFault::Flapping
            | CellFault::Garbage
            | CellFault::EarlyHints(_)
            | CellFault::GoAway => return None,
        };
        Some(rejected)
    }

    /// The answer to a gRPC call, made of the answer to any request.
    pub(super) fn call_ended(
        &self,
        fault: CellFault,
        received: &Received,
        response: Response<Buffered>,
        trailers: HeaderMap,
    ) -> Response<Buffered> {
        let ending = call::ending(fault);
        if let Some(ending) = ending {
            (self.state.sink)(Report::CallEnded(received, ending));
        }
        call::answer(response, ending, trailers)
    }

    /// The answer with this body, as the cell gives it with this fault.
    pub(super) async fn by_fault(
        &self,
        fault: CellFault,
        received: &Received,
        body: Bytes,
        own: Option<(OwnService, Request<Bytes>)>,
    ) -> Response<Buffered> {
        if let CellFault::Slow(delay) = fault {
            tokio::time::sleep(delay).await;
        } else if let CellFault::Busy(work) = fault {
            let working = self.state.work.acquire().await;
            tokio::time::sleep(work).await;
            drop(working);
        }
        let own = match own {
            Some((own, request)) if works(fault, received) => Some(own.answer(request).await),
            Some(_) | None => None,
        };
        let body = own.as_ref().map_or(body, |own| own.body().clone());
        match fault {
            CellFault::Hang if hangs(&received.path) => future::pending().await,
            // What of these turns away has not come here.
            CellFault::None
            | CellFault::Slow(_)
            | CellFault::Busy(_)
            | CellFault::GrpcStatus(_)
            | CellFault::LateGrpcStatus(_)
            | CellFault::NotServing
            | CellFault::Hang
            | CellFault::Deaf
            | CellFault::AnswerEarly(_)
            | CellFault::RefuseStreams
            | CellFault::GoAway
            | CellFault::Flapping
            | CellFault::Garbage
            | CellFault::EarlyHints(_)
            | CellFault::BreakOff => match (own, stream_secs(&received.path)) {
                (Some(own), _) => own.map(Buffered::whole),
                (None, Some(secs)) => {
                    Response::new(Buffered::ticking(TICK_INTERVAL, secs * TICKS_A_SECOND))
                }
                (None, None) => Buffered::json(StatusCode::OK, body),
            },
            CellFault::Status(status) => Buffered::json(status, body),
            CellFault::Unavailable(after) => {
                let mut response = Buffered::json(StatusCode::SERVICE_UNAVAILABLE, body);
                let after = HeaderValue::from(after.as_secs());
                response.headers_mut().insert(header::RETRY_AFTER, after);
                response
            }
            CellFault::ResetMidBody => match received.ordinal.is_multiple_of(2) {
                true => Response::new(Buffered::half(&body)),
                false => Response::new(Buffered::half_in_order(&body)),
            },
            CellFault::StallMidBody => Response::new(Buffered::stalled(&body)),
            CellFault::HalfOpen => future::pending().await,
        }
    }
}
