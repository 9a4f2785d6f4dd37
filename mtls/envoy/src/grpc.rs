//! gRPC framing for calls with one message each way (grpc/grpc, `doc/PROTOCOL-HTTP2.md`).

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

/// The length of what precedes each message: a flag and a length.
const PREFIX: usize = 5;

/// The one message of a request.
///
/// # Errors
/// There isn't exactly one, it is compressed, or it can't be decoded.
pub fn read<M: Message + Default>(body: &[u8]) -> Result<M, &'static str> {
    let Some((&[flag, a, b, c, d], message)) = body.split_first_chunk::<PREFIX>() else {
        return Err("no gRPC message");
    };
    if flag != 0 {
        return Err("a compressed gRPC message; ask without compression");
    }
    if usize::try_from(u32::from_be_bytes([a, b, c, d])) != Ok(message.len()) {
        return Err("not one whole gRPC message");
    }
    M::decode(message).map_err(|_| "a gRPC message that can't be decoded")
}

/// The message with its prefix.
pub fn write(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut text = BytesMut::with_capacity(PREFIX + length);
    text.put_u8(0);
    // This is far below 4 GiB, because what was read is bounded.
    text.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    text.put_slice(&message.encode_to_vec());
    text.freeze()
}
