//! Answers to gRPC calls (grpc/grpc, `doc/PROTOCOL-HTTP2.md`).

use bytes::{BufMut, Bytes, BytesMut};
use cellway_envoy::grpc;
use cellway_envoy::health::{CHECK_PATH, HealthCheckResponse, ServingStatus};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version, header};

use super::CallEnding;
use crate::body::Buffered;
use crate::cell_fault::CellFault;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Whether the request is a call.
pub(super) fn is_call(request: &Parts) -> bool {
    let kind = request.headers.get(header::CONTENT_TYPE);
    let is_grpc = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    request.version == Version::HTTP_2 && is_grpc
}

/// A message in its frame.
pub(super) fn message(text: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + text.len());
    // Not compressed.
    frame.put_u8(0);
    frame.put_u32(text.len() as u32);
    frame.put_slice(text);
    frame.freeze()
}

/// The bytes before a message.
const FRAME_HEAD: u64 = 5;

/// What a cell with this fault says of its health, if a message of so many bytes asks for that at this path
/// (grpc/grpc, `doc/health-checking.md`).
pub(super) fn health(path: &str, asked: u64, fault: CellFault) -> Option<Bytes> {
    let status = match fault == CellFault::NotServing {
        true => ServingStatus::NotServing,
        false => ServingStatus::Serving,
    };
    let status = status.into();
    let asks = path == CHECK_PATH && asked >= FRAME_HEAD;
    asks.then(|| grpc::write(&HealthCheckResponse { status }))
}

/// How a cell with this fault ends a call. `None`: it says no gRPC status.
pub(super) fn ending(fault: CellFault) -> Option<CallEnding> {
    let (status, has_message) = match fault {
        CellFault::Status(_)
        | CellFault::Unavailable(_)
        | CellFault::ResetMidBody
        | CellFault::StallMidBody => return None,
        CellFault::GrpcStatus(status) => (status, false),
        CellFault::LateGrpcStatus(status) => (status, true),
        CellFault::None
        | CellFault::NotServing
        | CellFault::Slow(_)
        | CellFault::Busy(_)
        | CellFault::HalfOpen
        | CellFault::Hang
        | CellFault::Deaf
        | CellFault::AnswerEarly(_)
        | CellFault::RefuseStreams
        | CellFault::GoAway
        | CellFault::BreakOff
        | CellFault::Flapping
        | CellFault::EarlyHints(_)
        | CellFault::Garbage => (0, true),
    };
    Some(CallEnding {
        status,
        has_message,
    })
}

/// The answer to a call, made of the one to any other request with the same message.
pub(super) fn answer(
    mut response: Response<Buffered>,
    ending: Option<CallEnding>,
    mut trailers: HeaderMap,
) -> Response<Buffered> {
    if response.status() == StatusCode::OK {
        let kind = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    let Some(ending) = ending else {
        return response;
    };
    let status = HeaderValue::from(u16::from(ending.status));
    if !ending.has_message {
        response.headers_mut().insert(STATUS, status);
        return response.map(|_| Buffered::none());
    }
    trailers.insert(STATUS, status);
    response.map(|body| body.with_trailers(trailers))
}
