//! A guard for the bytes of an HTTP/1.1 connection (RFC 9112).
//!
//! Request smuggling needs two parsers that read the same bytes differently: one ends a line at a
//! bare LF and the other doesn't, or one accepts `5, 5` as a length and the other doesn't. The
//! guard follows the framing of the messages (head, body, next head) and stops at the first byte
//! that the grammar doesn't allow, so that only unambiguous bytes pass. The router reads nothing
//! else: there is no second parser.
//!
//! It does no IO: the caller gives it the bytes that came, and it says which part of a message may
//! pass next. A head, a chunk's size line and a trailer section pass only once they are complete and
//! valid. So the caller keeps the other bytes and shows them again together with what follows.
//!
//! The guard is stricter than the grammar:
//! - a line ends with CR LF, never with LF alone, and is never folded;
//! - `Transfer-Encoding` is exactly `chunked`; a request that has it has no `Content-Length`. In a
//!   cell's answer the chunks count and the length doesn't (RFC 9112, section 6.3), and an answer
//!   with `identity` is read to the end of the connection;
//! - a chunk's size is 1 to 16 hexadecimal digits and nothing else. Chunk extensions and spaces after
//!   the size are refused, in both directions: nobody needs them, and parsers disagree about their end;
//! - a target has no fragment and none of the characters `"`, `<`, `>`, `\`` (in a path) and no
//!   control characters or spaces. Non-ASCII bytes must be UTF-8.

mod answer;
mod body;
mod error;
mod fields;
mod guard;
mod head;
mod interim;
mod octets;
mod request;

pub use self::answer::AnswerHead;
pub use self::error::MessageError;
pub use self::fields::read_fields;
pub use self::guard::{Found, Guard, Part, RequestKind, Rest, Scan};
pub use self::head::check_target;
pub use self::interim::Interim;
pub(crate) use self::octets::is_token;
pub use self::request::read_request;

/// The most bytes of a request's head, and of its trailer section.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The most interim answers to one request (RFC 9110, section 15.2). A cell that sends them without end
/// would keep the router busy.
pub const INTERIMS_MAX: u16 = 100;
/// The most fields of a request's head, and of its trailer section. This is Envoy's default.
pub const FIELDS_MAX: usize = 100;

/// The limits of a message's head and of its trailer section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Most bytes.
    pub bytes: usize,
    /// Most fields.
    pub fields: usize,
}

impl Default for Limits {
    /// The limits of requests.
    fn default() -> Self {
        Self {
            bytes: HEAD_BYTES_MAX,
            fields: FIELDS_MAX,
        }
    }
}

#[cfg(test)]
mod tests;
