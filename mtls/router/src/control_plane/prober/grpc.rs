//! The messages of `grpc.health.v1.Health/Check`
//! (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>).
//!
//! Both have a single field, number 1: the service's name in the question, and its state in the
//! answer.

use bytes::{BufMut, Bytes, BytesMut};
use cellway_core::health::ProbeFailure;
use http::response::Parts;
use http::{HeaderMap, StatusCode};

/// The path of the method.
pub(super) const PATH: &str = "/grpc.health.v1.Health/Check";

/// The field of an answer that has its gRPC status.
const GRPC_STATUS: &str = "grpc-status";

/// The state of a service that serves.
const SERVING: u64 = 1;

/// The header of a message: a flag for compression, and four bytes of length.
const PREFIX: usize = 5;

/// The body that asks about a service. Empty: the whole server.
pub(super) fn question(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        // Field 1, a string.
        message.put_u8(0x0a);
        put_varint(&mut message, service.len() as u64);
        message.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(message.len() as u32);
    framed.put(message);
    framed.freeze()
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
    match state(body) {
        Some(SERVING) => Ok(()),
        Some(_) => Err(ProbeFailure::NotServing(None)),
        None => Err(ProbeFailure::Protocol),
    }
}

/// The service's state in the one message of a body. `None` if it isn't well formed.
fn state(body: &[u8]) -> Option<u64> {
    let (prefix, mut message) = body.split_at_checked(PREFIX)?;
    let length = u32::from_be_bytes(prefix[1..].try_into().ok()?);
    if prefix[0] != 0 || message.len() != length as usize {
        return None;
    }
    // A field that is left out is 0.
    let mut state = 0;
    while !message.is_empty() {
        let tag = take_varint(&mut message)?;
        let varint = 0;
        match (tag >> 3, tag & 7) {
            (1, kind) if kind == varint => state = take_varint(&mut message)?,
            _ => skip(&mut message, tag & 7)?,
        }
    }
    Some(state)
}

/// Skips a field that a later version of the message may have.
fn skip(message: &mut &[u8], kind: u64) -> Option<()> {
    let length = match kind {
        0 => return take_varint(message).map(drop),
        1 => 8,
        2 => usize::try_from(take_varint(message)?).ok()?,
        5 => 4,
        _ => return None,
    };
    *message = message.split_at_checked(length)?.1;
    Some(())
}

fn put_varint(into: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        into.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    into.put_u8(value as u8);
}

fn take_varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
