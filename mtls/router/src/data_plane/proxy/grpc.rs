//! The status of the router's own answers to gRPC callers.

use cellway_core::{Class, Reason};
use http::{HeaderMap, HeaderValue};

/// Adds the status of this class, and the reason as its message.
pub(super) fn status(class: Class, reason: Reason, headers: &mut HeaderMap) {
    let status = class.grpc_status().unwrap_or(2);
    headers.insert("grpc-status", HeaderValue::from(u16::from(status)));
    let message = HeaderValue::from_static(reason.as_str());
    headers.insert("grpc-message", message);
}

/// The trailers of an answer that breaks off.
pub(super) fn broken(reason: Reason) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    status(reason.class(), reason, &mut trailers);
    trailers
}
