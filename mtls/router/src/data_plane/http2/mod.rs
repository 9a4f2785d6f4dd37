//! HTTP/2 to cells ([`Http2Sender`]), driven with h2 itself, and code that connections to clients share
//! with it.

mod blocks;
mod exchange;
mod keep_alive;
mod link;
mod listening;
mod peer;
mod sender;
mod sending;
mod stream_bytes;

pub(crate) use self::blocks::{Blocks, REQUEST_LIST_MAX};
pub(crate) use self::exchange::Rest;
pub(crate) use self::keep_alive::KeepAlive;
pub(crate) use self::listening::Listening;
pub(crate) use self::sender::Http2Sender;
pub(crate) use self::sending::Sending;
pub(crate) use self::stream_bytes::{StreamBytes, is_without_error};

/// How many bytes of a body the other end of a stream may send before the router has passed them on.
/// A stream gets this much in each round trip: 12 MB/s over 20 ms. A request whose client or cell
/// reads nothing holds this much memory.
pub(crate) const STREAM_WINDOW: u32 = 256 * 1024;

/// The same for all streams of a connection together: the most that there can be (RFC 9113, section
/// 6.9.1). With less, a few streams whose other side reads nothing would use it up and stop all the
/// others, also those of other tenants. The number of streams has its own limits.
pub(crate) const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
