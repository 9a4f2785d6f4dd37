//! The control plane: publishes the registry.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cellway_env::Env;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;

use super::ServerTls;
use super::body::Buffered;
use super::serve::{self, Handler, Peer};

/// The path of the registry.
const CELLS_PATH: &str = "/manage/cells";

/// Serves `GET /manage/cells` with an `ETag`, and 304 to clients that have the document already.
///
/// The document may have any bytes: older, invalid or shrunken documents are set like good ones.
#[derive(Clone, Debug)]
pub struct ControlPlane {
    bearer: Option<Arc<str>>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    document: Bytes,
    revision: u64,
    /// The document before, and its revision.
    former: Option<(Bytes, u64)>,
    /// Whether every other request gets that one.
    lags: bool,
    /// How many requests asked for a document.
    asked: u64,
    fault: ControlPlaneFault,
    counts: ControlPlaneCounts,
}

/// A fault of a control plane. To take it down, cut its network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ControlPlaneFault {
    /// Nothing.
    #[default]
    None,
    /// Answers after this long.
    Slow(Duration),
    /// This status, with no body.
    Status(StatusCode),
    /// Half a document, then the connection ends.
    Partial,
    /// Half a document, as if it were the whole.
    Truncated,
}

/// How often a control plane was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ControlPlaneCounts {
    /// Answered with the document.
    pub documents: u64,
    /// Answered 304, because the client has it already.
    pub not_modified: u64,
    /// Refused for a missing or wrong bearer token.
    pub unauthorized: u64,
    /// Not answered normally, because of a fault.
    pub faults: u64,
}

impl State {
    /// The document for the next request, and its revision.
    fn next(&mut self) -> (Bytes, u64) {
        self.asked += 1;
        match &self.former {
            Some(former) if self.lags && self.asked.is_multiple_of(2) => former.clone(),
            Some(_) | None => (self.document.clone(), self.revision),
        }
    }
}

impl ControlPlane {
    /// A control plane that publishes `document`.
    pub fn new(document: impl Into<Bytes>) -> Self {
        Self {
            bearer: None,
            state: Arc::new(Mutex::new(State {
                document: document.into(),
                revision: 1,
                former: None,
                lags: false,
                asked: 0,
                fault: ControlPlaneFault::None,
                counts: ControlPlaneCounts::default(),
            })),
        }
    }

    /// Asks for this bearer token.
    #[must_use]
    pub fn with_bearer(mut self, token: &str) -> Self {
        self.bearer = Some(token.into());
        self
    }

    /// Serves until the listener fails.
    ///
    /// # Errors
    /// What the listener's `accept` returned.
    pub async fn serve<E: Env>(
        &self,
        env: E,
        listener: E::Listener,
        tls: ServerTls,
    ) -> io::Result<()> {
        serve::serve(env, listener, tls, self.clone()).await
    }

    /// Publishes another document, with an `ETag` of its own.
    pub fn set_document(&self, document: impl Into<Bytes>) {
        let mut state = self.state();
        let former = std::mem::replace(&mut state.document, document.into());
        state.former = Some((former, state.revision));
        state.revision += 1;
    }

    /// Answers every other request with the document before the present one, as if one of two replicas
    /// lagged.
    pub fn set_lagging(&self, lags: bool) {
        self.state().lags = lags;
    }

    /// Sets a fault, or repairs it with [`ControlPlaneFault::None`].
    pub fn set_fault(&self, fault: ControlPlaneFault) {
        self.state().fault = fault;
    }

    /// How often it was asked.
    pub fn counts(&self) -> ControlPlaneCounts {
        self.state().counts
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn authorized(&self, headers: &HeaderMap) -> bool {
        let Some(expected) = &self.bearer else {
            return true;
        };
        let given = headers
            .get(header::AUTHORIZATION)
            .map(HeaderValue::as_bytes);
        given == Some(format!("Bearer {expected}").as_bytes())
    }

    /// The present answer to a client that may ask.
    fn document(&self, headers: &HeaderMap) -> Response<Buffered> {
        let mut state = self.state();
        let (whole, revision) = state.next();
        let etag = format!("\"{revision}\"");
        let known = headers
            .get(header::IF_NONE_MATCH)
            .map(HeaderValue::as_bytes);
        let half = whole.slice(..whole.len() / 2);
        let mut response = match state.fault {
            ControlPlaneFault::Status(status) => {
                state.counts.faults += 1;
                return Buffered::empty(status);
            }
            ControlPlaneFault::Partial => {
                state.counts.faults += 1;
                Response::new(Buffered::half(&whole))
            }
            ControlPlaneFault::Truncated => {
                state.counts.faults += 1;
                Buffered::json(StatusCode::OK, half)
            }
            ControlPlaneFault::None | ControlPlaneFault::Slow(_) => {
                if known == Some(etag.as_bytes()) {
                    state.counts.not_modified += 1;
                    Buffered::empty(StatusCode::NOT_MODIFIED)
                } else {
                    state.counts.documents += 1;
                    Buffered::json(StatusCode::OK, whole)
                }
            }
        };
        // The `ETag` is made of digits and quotes, so it always is a header value.
        if let Ok(etag) = HeaderValue::try_from(etag) {
            response.headers_mut().insert(header::ETAG, etag);
        }
        response
    }
}

impl Handler for ControlPlane {
    async fn answer(&self, _: &Peer, request: Request<Incoming>) -> Response<Buffered> {
        if (request.method(), request.uri().path()) != (&Method::GET, CELLS_PATH) {
            return Buffered::empty(StatusCode::NOT_FOUND);
        }
        if !self.authorized(request.headers()) {
            self.state().counts.unauthorized += 1;
            return Buffered::empty(StatusCode::UNAUTHORIZED);
        }
        let fault = self.state().fault;
        if let ControlPlaneFault::Slow(delay) = fault {
            tokio::time::sleep(delay).await;
        }
        self.document(request.headers())
    }
}
