//! One request: sanitise, identify, place, admit, stamp, forward.

mod answer;
mod body;
mod check;
mod date;
mod decide;
mod forward;
mod progress;
mod report;
mod verdict;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cellway_core::{Allow, Challenge, Class, RETRY_AFTER_DEFAULT, Reason};
use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};

pub(crate) use self::body::{RequestBody, ResponseBody};
pub(crate) use self::date::DateCache;
pub(crate) use self::decide::KeyWaiters;
use self::report::Report;
use crate::connection::Connection;
use crate::env::Env;
use crate::event::Sink;

/// What hyper calls for each request of one connection. Not a named type, so that the future of a
/// request stands in the connection's own memory and isn't boxed.
pub(crate) fn service<E: Env, S: Sink>(
    connection: Arc<Connection<E, S>>,
) -> impl Service<
    Request<Incoming>,
    Response = Answer<E, S>,
    Error = Infallible,
    Future = impl Future<Output = Result<Answer<E, S>, Infallible>> + Send,
> {
    service_fn(move |request| {
        let connection = connection.clone();
        async move { Ok(serve(connection, request).await) }
    })
}

/// What hyper sends.
type Answer<E, S> = Response<ResponseBody<E, S>>;

/// Why the router answers in its own name.
#[derive(Debug)]
struct Refused {
    reason: Reason,
    detail: &'static str,
    challenge: Challenge,
    retry_after: Option<Duration>,
}

impl Refused {
    fn new(reason: Reason, detail: &'static str) -> Self {
        let retry = reason.class() == Class::Unavailable;
        Self {
            reason,
            detail,
            challenge: Challenge::None,
            retry_after: retry.then_some(RETRY_AFTER_DEFAULT),
        }
    }
}

/// A request that may pass, ready to be sent.
struct Admitted {
    allow: Allow,
    parts: Parts,
    body: Incoming,
}

async fn serve<E: Env, S: Sink>(
    connection: Arc<Connection<E, S>>,
    request: Request<Incoming>,
) -> Answer<E, S> {
    let (request_id, spread) = connection.worker.next_id();
    let mut report = Report::new(connection, request_id);
    let (mut parts, body) = request.into_parts();
    let wants = answer::Wants::of(&parts);
    let answered = match decide::decide(&report, &mut parts, spread).await {
        Err(refused) => Err(refused),
        Ok(allow) => {
            report.cell = Some(allow.cell.clone());
            let admitted = Admitted { allow, parts, body };
            forward::forward(&report, admitted).await
        }
    };
    match answered {
        Ok(answered) => answer::from_cell(report, answered),
        Err(refused) => answer::from_router(report, &refused, &wants),
    }
}
