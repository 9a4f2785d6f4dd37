//! Checks the health of one endpoint: connects to it as a request would, asks, and judges the answer.
//!
//! Each check opens a connection of its own, which shows that new connections work. It counts
//! against none of the cell's limits, so that a cell whose places are all taken is still checked.
//! Core bounds the number of checks that run at a time. A check carries no identity header: it is the
//! router's own request, for nobody.

mod grpc;
#[cfg(test)]
mod tests;

use std::pin::pin;

use bytes::Bytes;
use cellway_core::Reason;
use cellway_core::health::{CheckKind, Probe, ProbeFailure};
use cellway_env::Env;
use http::header::{CONTENT_TYPE, HOST, TE, USER_AGENT};
use http::uri::{PathAndQuery, Scheme, Uri};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::timeout;

use crate::active_config::ActiveConfig;
use crate::build::VERSION;
use crate::to_cell::{NotReached, Spawner, Versions, reach, speaks_http2};
use crate::wire::Wire;

/// The most bytes in an answer's header.
const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// The most bytes of a body that are read. Only the answers of gRPC checks are read.
const BODY_BYTES_MAX: usize = 1024;

/// Why a check failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ProbeError {
    pub(super) failure: ProbeFailure,
    /// What the system, TLS or the endpoint said.
    pub(super) error: String,
}

impl ProbeError {
    fn new(failure: ProbeFailure, error: impl ToString) -> Self {
        Self {
            failure,
            error: error.to_string(),
        }
    }

    /// A failure that says everything.
    fn plain(failure: ProbeFailure) -> Self {
        Self::new(failure, failure)
    }
}

impl From<NotReached> for ProbeError {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "connecting has few of all reasons"
    )]
    fn from(NotReached { reason, error }: NotReached) -> Self {
        let failure = match reason {
            Reason::CellUntrusted => ProbeFailure::Untrusted,
            Reason::CellTimeoutConnect | Reason::CellTimeoutTls => ProbeFailure::Timeout,
            _ => ProbeFailure::Unreachable,
        };
        Self { failure, error }
    }
}

impl From<hyper::Error> for ProbeError {
    fn from(error: hyper::Error) -> Self {
        let parse = error.is_parse() || error.is_parse_status() || error.is_parse_too_large();
        let failure = match parse {
            true => ProbeFailure::Protocol,
            false => ProbeFailure::Reset,
        };
        Self::new(failure, error)
    }
}

/// Checks an endpoint.
///
/// # Errors
/// How the check failed.
pub(super) async fn probe<E: Env>(
    env: &E,
    config: &ActiveConfig,
    probe: &Probe,
) -> Result<(), ProbeError> {
    match timeout(probe.check.timeout, ask(env, config, probe)).await {
        Ok(result) => result,
        Err(_) => Err(ProbeError::plain(ProbeFailure::Timeout)),
    }
}

async fn ask<E: Env>(env: &E, config: &ActiveConfig, probe: &Probe) -> Result<(), ProbeError> {
    let (endpoint, upstream) = (&probe.endpoint, &config.settings.upstream);
    if probe.check.kind == CheckKind::Tcp {
        let (host, port) = (endpoint.url.host(), endpoint.url.port());
        let connected = env.connect(host, port).await;
        let unreachable = |error| ProbeError::new(ProbeFailure::Unreachable, error);
        return connected.map(drop).map_err(unreachable);
    }
    let tls = config.cell_tls.as_ref();
    let wire = reach(env, endpoint, tls, &upstream.timeouts, Versions::Any).await?;
    let http2 = speaks_http2(endpoint, &wire);
    let malformed = || ProbeError::new(ProbeFailure::Protocol, "the check's path or host");
    let request = request(probe, http2).ok_or_else(malformed)?;
    match &probe.check.kind {
        CheckKind::Tcp => Ok(()),
        CheckKind::Http { statuses, .. } => {
            let status = |answer: Response<Incoming>| async move { Ok(answer.status()) };
            let status = exchange(env, wire, http2, request, status).await?.as_u16();
            match statuses.contains(&status) {
                true => Ok(()),
                false => Err(ProbeError::plain(ProbeFailure::Status(status))),
            }
        }
        CheckKind::Grpc { .. } if !http2 => {
            let error = "the endpoint doesn't speak HTTP/2, which gRPC needs";
            Err(ProbeError::new(ProbeFailure::Protocol, error))
        }
        CheckKind::Grpc { .. } => {
            let (head, body, trailers) = exchange(env, wire, http2, request, whole).await?;
            grpc::judge(&head, &body, trailers.as_ref()).map_err(ProbeError::plain)
        }
    }
}

/// The request of a check. `None` if its path or host can't be in one.
fn request(probe: &Probe, http2: bool) -> Option<Request<Full<Bytes>>> {
    let (method, path, host, body) = match &probe.check.kind {
        CheckKind::Http { path, host, .. } => (Method::GET, &**path, host, Bytes::new()),
        CheckKind::Grpc { service, host } => {
            (Method::POST, grpc::PATH, host, grpc::question(service))
        }
        CheckKind::Tcp => return None,
    };
    let authority = (host.as_deref()).unwrap_or_else(|| probe.endpoint.url.authority());
    let path = path.parse::<PathAndQuery>().ok()?;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    if http2 {
        *request.version_mut() = Version::HTTP_2;
        let scheme = match probe.endpoint.url.scheme() {
            cellway_core::registry::Scheme::Https => Scheme::HTTPS,
            cellway_core::registry::Scheme::Http | cellway_core::registry::Scheme::H2c => {
                Scheme::HTTP
            }
        };
        let uri = Uri::builder().scheme(scheme).authority(authority);
        *request.uri_mut() = uri.path_and_query(path).build().ok()?;
    } else {
        *request.uri_mut() = Uri::from(path);
        let host = HeaderValue::from_str(authority).ok()?;
        request.headers_mut().insert(HOST, host);
    }
    let headers = request.headers_mut();
    let agent = HeaderValue::try_from(format!("cellway/{VERSION} (health check)")).ok()?;
    headers.insert(USER_AGENT, agent);
    if matches!(probe.check.kind, CheckKind::Grpc { .. }) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    Some(request)
}

/// Sends a request on this connection, and reads what `read` wants of the answer. The connection is
/// closed afterwards.
async fn exchange<E: Env, T, F>(
    env: &E,
    wire: Wire<E::Stream>,
    http2: bool,
    request: Request<Full<Bytes>>,
    read: impl FnOnce(Response<Incoming>) -> F,
) -> Result<T, ProbeError>
where
    F: Future<Output = Result<T, ProbeError>>,
{
    let io = TokioIo::new(wire);
    if http2 {
        let (mut sender, connection) = http2::Builder::new(Spawner(env.clone()))
            .timer(TokioTimer::new())
            .max_header_list_size(HEADER_BYTES_MAX)
            .handshake(io)
            .await?;
        let asking = async move { read(sender.send_request(request).await?).await };
        return until_closed(asking, connection).await;
    }
    let (mut sender, connection) = http1::Builder::new()
        .max_header_size(HEADER_BYTES_MAX as usize)
        .handshake(io)
        .await?;
    let asking = async move { read(sender.send_request(request).await?).await };
    until_closed(asking, connection).await
}

/// Runs an exchange and its connection until one of them ends.
async fn until_closed<T>(
    asking: impl Future<Output = Result<T, ProbeError>>,
    connection: impl Future<Output = hyper::Result<()>>,
) -> Result<T, ProbeError> {
    let mut asking = pin!(asking);
    tokio::select! {
        biased;
        answer = asking.as_mut() => answer,
        closed = connection => match closed {
            Err(error) => Err(error.into()),
            // What has arrived before the end may be a whole answer.
            Ok(()) => asking.await,
        },
    }
}

/// Reads a whole answer: its header, its body, and its trailers.
async fn whole(
    answer: Response<Incoming>,
) -> Result<(http::response::Parts, Vec<u8>, Option<HeaderMap>), ProbeError> {
    let (head, mut incoming) = answer.into_parts();
    let (mut body, mut trailers) = (Vec::new(), None);
    while let Some(frame) = incoming.frame().await {
        match frame?.into_data() {
            Ok(data) if body.len() + data.len() > BODY_BYTES_MAX => {
                let error = "the answer's body is too large";
                return Err(ProbeError::new(ProbeFailure::Protocol, error));
            }
            Ok(data) => body.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((head, body, trailers))
}
