//! Asks a cell with `grpc.health.v1.Health/Check`
//! (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>).

use bytes::Bytes;
use cellway_core::health::ProbeFailure;
use cellway_envoy::grpc;
pub(super) use cellway_envoy::health::CHECK_PATH as PATH;
use cellway_envoy::health::{HealthCheckRequest, HealthCheckResponse, ServingStatus};
use http::response::Parts;
use http::{HeaderMap, StatusCode};

/// The field of an answer that has its gRPC status.
const GRPC_STATUS: &str = "grpc-status";

/// The body that asks about a service. Empty: the whole server.
pub(super) fn question(service: &str) -> Bytes {
    let service = service.to_owned();
    grpc::write(&HealthCheckRequest { service })
}

/// Judges an answer.
///
/// # Errors
/// How the check failed.
pub(super) fn judge(
    head: &Parts,
    body: &[u8],
    trailers: Option<&HeaderMap>,
) -> Result<(), ProbeFailure> {
    if head.status != StatusCode::OK {
        return Err(ProbeFailure::Status(head.status.as_u16()));
    }
    // An answer without messages has its status in the header.
    let status = trailers.unwrap_or(&head.headers).get(GRPC_STATUS);
    let status = status.and_then(|status| status.to_str().ok()?.parse().ok());
    match status {
        Some(0) => {}
        Some(status) => return Err(ProbeFailure::NotServing(Some(status))),
        None => return Err(ProbeFailure::Protocol),
    }
    match grpc::read::<HealthCheckResponse>(body) {
        Ok(answer) if answer.status() == ServingStatus::Serving => Ok(()),
        Ok(_) => Err(ProbeFailure::NotServing(None)),
        Err(_) => Err(ProbeFailure::Protocol),
    }
}
