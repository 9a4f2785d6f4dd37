//! From a decision to the cell's answer.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use cellway_core::registry::{EndpointUrl, Scheme as EndpointScheme};
use cellway_core::{Allow, Reason};
use http::header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{Authority, Parts as UriParts, PathAndQuery, Scheme, Uri};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::body::RequestBody;
use super::progress::{Progress, Turn};
use super::report::Report;
use super::{Refused, check, verdict};
use crate::env::Env;
use crate::event::{Event, Sink};
use crate::live::Live;
use crate::pool::{CellGate, ConnectError, EndpointPool, Lease, RequestPermit, Sender};
use crate::settings::CellTimeouts;

/// Most endpoints of a cell that one request is tried on, when no connection to them can be made.
const ENDPOINTS_TRIED_MAX: usize = 3;

/// The cell's answer, and what it holds until its body ends.
pub(super) struct Answered {
    pub(super) response: Response<Incoming>,
    pub(super) lease: Lease,
    pub(super) permit: RequestPermit,
    pub(super) progress: Option<Arc<Progress>>,
    pub(super) idle: Duration,
    pub(super) total: Option<Instant>,
}

/// One request on its way.
struct Forwarding<'a, E: Env, S: Sink> {
    report: &'a Report<E, S>,
    live: &'a Live,
    gate: &'a Arc<CellGate>,
    progress: Option<Arc<Progress>>,
    total: Option<Instant>,
}

/// A request that is to be sent.
pub(super) struct Outgoing {
    pub(super) parts: Parts,
    pub(super) body: RequestBody,
    progress: Option<Arc<Progress>>,
}

impl Outgoing {
    pub(super) fn new(request: Request<Incoming>) -> Self {
        let (parts, incoming) = request.into_parts();
        let (body, progress) = RequestBody::new(incoming);
        Self {
            parts,
            body,
            progress,
        }
    }
}

/// What came of one attempt.
enum Attempt {
    Answered(Response<Incoming>, Lease),
    /// Nothing of the request was sent.
    Unsent(ConnectError),
    /// Something was, or may have been.
    Failed(Reason, &'static str),
}

/// Sends the request to the cell that was decided, and to no other.
///
/// Tries the next endpoint of the cell where nothing of the request was sent; never sends twice.
pub(super) async fn forward<E: Env, S: Sink>(
    report: &Report<E, S>,
    allow: &Allow,
    mut outgoing: Outgoing,
) -> Result<Answered, Refused> {
    let worker = &report.connection.worker;
    let common = &worker.common;
    let live = common.live.load_full();
    let upstream = &live.settings.upstream;
    let gate = worker.pools.gate(&allow.cell, &common.gates);
    let permit = gate.request(upstream.limits.requests_max).ok_or_else(|| {
        Refused::new(
            Reason::Overloaded,
            "the cell has as many requests as it may",
        )
    })?;
    let forwarding = Forwarding {
        report,
        live: &live,
        gate: &gate,
        progress: outgoing.progress,
        total: upstream.timeouts.total.map(|total| Instant::now() + total),
    };
    // hyper has answered it already, by reading the body when we ask for it.
    outgoing.parts.headers.remove(EXPECT);
    outgoing.parts.extensions.clear();
    // Taken when it is sent, put back when it turns out that it was not.
    let mut slot = Some(Request::from_parts(outgoing.parts, outgoing.body));
    let mut failure = Refused::new(Reason::NoCellAvailable, "the cell has no endpoint");
    for endpoint in allow.endpoints().take(ENDPOINTS_TRIED_MAX) {
        let pool = worker.pools.endpoint(endpoint, &common.gates);
        match forwarding.try_endpoint(&pool, &mut slot).await {
            Attempt::Answered(response, lease) => {
                return Ok(Answered {
                    response,
                    lease,
                    permit,
                    progress: forwarding.progress,
                    idle: upstream.timeouts.idle,
                    total: forwarding.total,
                });
            }
            Attempt::Failed(reason, detail) => return Err(Refused::new(reason, detail)),
            Attempt::Unsent(error) => {
                failure = Refused::new(error.reason, "no connection to the cell could be made");
                if matches!(error.reason, Reason::Overloaded | Reason::CellTimeoutTotal) {
                    break;
                }
            }
        }
    }
    Err(failure)
}

impl<E: Env, S: Sink> Forwarding<'_, E, S> {
    /// Tries a pooled connection, and a new one if the pooled turns out to be closed.
    async fn try_endpoint(
        &self,
        pool: &Arc<EndpointPool>,
        slot: &mut Option<Request<RequestBody>>,
    ) -> Attempt {
        let mut fresh = false;
        loop {
            let lease = match self.lease(pool, fresh).await {
                Ok(lease) => lease,
                Err(error) => {
                    verdict::failed(self.report, pool, error.reason, &error.error);
                    return Attempt::Unsent(error);
                }
            };
            match self.send(lease, slot).await {
                Attempt::Unsent(error) if fresh => {
                    verdict::failed(self.report, pool, error.reason, &error.error);
                    return Attempt::Unsent(error);
                }
                Attempt::Unsent(_) => fresh = true,
                done => return done,
            }
        }
    }

    async fn lease(&self, pool: &Arc<EndpointPool>, fresh: bool) -> Result<Lease, ConnectError> {
        let worker = &self.report.connection.worker;
        let leasing = pool.lease(&worker.common.env, self.live, self.gate, fresh);
        let lease = match self.total {
            None => leasing.await?,
            Some(total) => timeout_at(total, leasing).await.unwrap_or_else(|_| {
                Err(ConnectError::new(
                    Reason::CellTimeoutTotal,
                    Reason::CellTimeoutTotal.describe(),
                ))
            })?,
        };
        if lease.opened
            && let Some(cell) = &self.report.cell
        {
            worker.emit(&Event::CellConnected {
                cell: &cell.id,
                endpoint: pool.endpoint.url.as_str(),
            });
        }
        Ok(lease)
    }

    async fn send(&self, mut lease: Lease, slot: &mut Option<Request<RequestBody>>) -> Attempt {
        let url = &lease.pool.endpoint.url;
        let prepared = slot.as_mut().and_then(|request| match &lease.sender {
            Sender::H1(_) => for_http1(request, url),
            Sender::H2(_) => for_http2(request, url),
        });
        let (Some(()), Some(request)) = (prepared, slot.take()) else {
            return Attempt::Failed(
                Reason::BadRequest,
                "the request's target can't be passed on",
            );
        };
        let sent = match &mut lease.sender {
            Sender::H1(sender) => self.in_time(pin!(sender.try_send_request(request))).await,
            Sender::H2(sender) => self.in_time(pin!(sender.try_send_request(request))).await,
        };
        match sent {
            Ok(Ok(response)) => self.accept(response, lease),
            Ok(Err(mut error)) => {
                *slot = error.take_message();
                match slot {
                    Some(_) => {
                        let words = verdict::words(error.error());
                        Attempt::Unsent(ConnectError::new(Reason::CellReset, words))
                    }
                    None => self.broken(&lease, &error),
                }
            }
            Err(Reason::ClientTimeout) => {
                Attempt::Failed(Reason::ClientTimeout, "the request's body stopped coming")
            }
            Err(reason) => {
                lease.unanswered();
                verdict::failed(self.report, &lease.pool, reason, reason.describe());
                Attempt::Failed(reason, "the cell took too long")
            }
        }
    }

    fn accept(&self, response: Response<Incoming>, lease: Lease) -> Attempt {
        lease.answered();
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let reason = Reason::CellProtocolError;
            verdict::failed(self.report, &lease.pool, reason, "101 without an upgrade");
            return Attempt::Failed(reason, "the cell switched protocols unasked");
        }
        if let Err(error) = check::transfer_encoding(response.headers()) {
            let reason = Reason::CellProtocolError;
            verdict::failed(self.report, &lease.pool, reason, error);
            return Attempt::Failed(reason, "the cell's answer is coded for its way");
        }
        verdict::answered(self.report, &lease.pool, response.status());
        Attempt::Answered(response, lease)
    }

    fn broken(&self, lease: &Lease, error: &TrySendError<Request<RequestBody>>) -> Attempt {
        if self.turn() == Turn::Broken {
            return Attempt::Failed(Reason::BadRequest, "the request's body broke off");
        }
        let reason = verdict::reason(error.error());
        verdict::failed(
            self.report,
            &lease.pool,
            reason,
            &verdict::words(error.error()),
        );
        Attempt::Failed(reason, "the exchange with the cell broke off")
    }

    fn turn(&self) -> Turn {
        self.progress
            .as_ref()
            .map_or(Turn::Done, |progress| progress.turn())
    }

    /// Waits for the answer's header as long as the cell, or the client that still sends, may take.
    async fn in_time<T>(&self, mut answer: Pin<&mut impl Future<Output = T>>) -> Result<T, Reason> {
        let began = Instant::now();
        // A turn may change without a wake-up here, and the next one's limit may be nearer.
        let CellTimeouts { header, idle, .. } = self.live.settings.upstream.timeouts;
        let look = header.min(idle);
        let mut timer = pin!(sleep_until(self.limit(began).0.min(began + look)));
        loop {
            tokio::select! {
                biased;
                answer = answer.as_mut() => return Ok(answer),
                () = timer.as_mut() => {
                    let (now, (limit, reason)) = (Instant::now(), self.limit(began));
                    if limit <= now {
                        return Err(reason);
                    }
                    timer.as_mut().reset(limit.min(now + look));
                }
            }
        }
    }

    /// When it has lasted too long, as things stand, and whose fault that would be.
    fn limit(&self, began: Instant) -> (Instant, Reason) {
        let CellTimeouts { header, idle, .. } = self.live.settings.upstream.timeouts;
        let moved = self
            .progress
            .as_ref()
            .map_or(began, |progress| progress.last().max(began));
        let limit = match self.turn() {
            Turn::Done | Turn::Broken => (moved + header, Reason::CellTimeoutHeader),
            Turn::Cell => (moved + idle, Reason::CellTimeoutIdle),
            Turn::Client => (moved + idle, Reason::ClientTimeout),
        };
        match self.total {
            Some(total) if total < limit.0 => (total, Reason::CellTimeoutTotal),
            _ => limit,
        }
    }
}

/// Origin form and a `Host` field. `None` if the parts can't be put so.
fn for_http1(request: &mut Request<RequestBody>, endpoint: &EndpointUrl) -> Option<()> {
    *request.version_mut() = Version::HTTP_11;
    if !request.headers().contains_key(HOST) {
        let host = request
            .uri()
            .authority()
            .map_or(endpoint.authority(), Authority::as_str);
        let host = HeaderValue::from_str(host).ok()?;
        request.headers_mut().insert(HOST, host);
    }
    if request.uri().authority().is_some() {
        let path = path(request.uri());
        *request.uri_mut() = Uri::from(path);
    }
    join_cookies(request);
    // Said outright, because hyper takes a GET that doesn't say so for one without a body.
    if !request.body().is_end_stream() && !request.headers().contains_key(CONTENT_LENGTH) {
        let chunked = HeaderValue::from_static("chunked");
        request.headers_mut().insert(TRANSFER_ENCODING, chunked);
    }
    Some(())
}

/// HTTP/2 may split `Cookie`; HTTP/1.1 may not (RFC 9113, section 8.2.3).
fn join_cookies(request: &mut Request<RequestBody>) {
    let headers = request.headers_mut();
    let crumbs: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if crumbs.len() < 2 {
        return;
    }
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// Absolute form and no `Host` field, from which hyper makes the pseudo-header fields.
fn for_http2(request: &mut Request<RequestBody>, endpoint: &EndpointUrl) -> Option<()> {
    *request.version_mut() = Version::HTTP_2;
    // From an earlier try on HTTP/1.1.
    request.headers_mut().remove(TRANSFER_ENCODING);
    let host = request.headers_mut().remove(HOST);
    if request.uri().authority().is_some() && request.uri().scheme().is_some() {
        return Some(());
    }
    let authority = match (request.uri().authority(), &host) {
        (Some(authority), _) => authority.clone(),
        (None, Some(host)) => Authority::try_from(host.as_bytes()).ok()?,
        (None, None) => Authority::try_from(endpoint.authority()).ok()?,
    };
    let mut parts = UriParts::default();
    parts.scheme = Some(match endpoint.scheme() {
        EndpointScheme::Https => Scheme::HTTPS,
        EndpointScheme::Http | EndpointScheme::H2c => Scheme::HTTP,
    });
    parts.authority = Some(authority);
    parts.path_and_query = Some(path(request.uri()));
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    Some(())
}

fn path(uri: &Uri) -> PathAndQuery {
    uri.path_and_query()
        .cloned()
        .unwrap_or_else(|| PathAndQuery::from_static("/"))
}
