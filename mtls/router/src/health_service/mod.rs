//! The gRPC health service `grpc.health.v1.Health`, in which the router says whether it serves itself
//! (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>).
//!
//! It is answered on the health and admin listeners, for kubelets and load balancers, and on listeners
//! for external authorization, for Envoys that check the authorizer with gRPC. On other listeners,
//! calls of this service go to the caller's cell like all others.
//!
//! A status is `SERVING` while `/readyz` is 200, and `NOT_SERVING` otherwise. A `Watch` gets each
//! change, and ends with `UNAVAILABLE` when the router's listeners close in a drain: a call that lasted
//! longer would hold the drain up until its deadline.

mod body;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use cellway_core::headers::is_grpc;
use cellway_envoy::grpc;
use cellway_envoy::health::{
    CHECK_PATH, HealthCheckRequest, HealthCheckResponse, SERVICE_PREFIX, ServingStatus, WATCH_PATH,
};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Response, Version};

pub(crate) use self::body::Body;

/// The most bytes of a request's body.
pub(crate) const QUESTION_BYTES_MAX: usize = 4096;

/// The names that a caller may ask about. All have the same status. An empty name stands for the
/// whole server.
const SERVICES: [&str; 3] = [
    "",
    "grpc.health.v1.Health",
    "envoy.service.auth.v3.Authorization",
];

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Statuses of gRPC (grpc/grpc, `doc/statuscodes.md`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Code {
    Ok = 0,
    DeadlineExceeded = 4,
    NotFound = 5,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
}

/// Whether a router serves.
pub(crate) trait Readiness: Send + Sync + 'static {
    /// Whether `/readyz` is 200.
    fn is_ready(&self) -> bool;

    /// Whether the router has closed its listeners, and tells its clients to leave.
    fn is_leaving(&self) -> bool;

    /// Resolves when one of the two may have changed since this was called and first polled.
    fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// A call of the service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Call {
    Check,
    Watch,
    /// The service has no such method.
    Unknown,
}

impl Call {
    /// `None` if the request isn't a call of the health service.
    pub(crate) fn of(head: &Parts) -> Option<Self> {
        let is_call = head.method == Method::POST
            && head.version == Version::HTTP_2
            && is_grpc(&head.headers)
            && head.uri.path().starts_with(SERVICE_PREFIX);
        is_call.then(|| match head.uri.path() {
            CHECK_PATH => Self::Check,
            WATCH_PATH => Self::Watch,
            _ => Self::Unknown,
        })
    }
}

/// Answers a call with this body.
pub(crate) fn answer(call: Call, body: &[u8], readiness: Arc<dyn Readiness>) -> Response<Body> {
    if call == Call::Unknown {
        return failed(Code::Unimplemented, "the health service has no such method");
    }
    let asked = match grpc::read::<HealthCheckRequest>(body) {
        Ok(asked) => asked,
        Err(_) if body.first() == Some(&1) => {
            return failed(Code::Unimplemented, "compression is not supported");
        }
        Err(_) => return failed(Code::Internal, "not one HealthCheckRequest"),
    };
    let is_known = SERVICES.contains(&asked.service.as_str());
    match call {
        Call::Check if !is_known => failed(Code::NotFound, "the router has no such service"),
        Call::Check => {
            let status = status(is_known, &*readiness);
            begun(Body::once(message(status)))
        }
        Call::Watch | Call::Unknown => begun(Body::watch(is_known, readiness)),
    }
}

/// An answer of trailers only.
pub(crate) fn failed(code: Code, why: &'static str) -> Response<Body> {
    let mut response = begun(Body::none());
    let headers = response.headers_mut();
    headers.insert(GRPC_STATUS, HeaderValue::from(code as u16));
    headers.insert(GRPC_MESSAGE, HeaderValue::from_static(why));
    response
}

fn begun(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/grpc");
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn status(is_known: bool, readiness: &dyn Readiness) -> ServingStatus {
    match (is_known, readiness.is_ready()) {
        (false, _) => ServingStatus::ServiceUnknown,
        (true, true) => ServingStatus::Serving,
        (true, false) => ServingStatus::NotServing,
    }
}

fn message(status: ServingStatus) -> Bytes {
    grpc::write(&HealthCheckResponse {
        status: status.into(),
    })
}

#[cfg(test)]
mod tests;
