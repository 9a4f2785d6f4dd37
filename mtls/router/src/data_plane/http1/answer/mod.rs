//! The heads of answers to HTTP/1.1 clients.

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;

use super::outgoing::{Coding, Outgoing, write_field};

/// What must be known of a request to frame its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    is_head: bool,
    http10: bool,
    /// Whether the connection stays open.
    pub(crate) keeps: bool,
}

impl Asking {
    /// `keeps`: whether the client keeps the connection open.
    pub(crate) fn of<B>(request: &Request<B>, keeps: bool) -> Self {
        Self {
            is_head: request.method() == Method::HEAD,
            http10: request.version() == Version::HTTP_10,
            keeps,
        }
    }
}

/// An answer on its way to its client, with its head in `memory`, which must be empty. Notes in `asking`
/// if the connection closes after it.
pub(crate) fn answer<B: Body<Data = Bytes> + Unpin>(
    response: Response<B>,
    asking: &mut Asking,
    mut memory: BytesMut,
) -> Outgoing<B> {
    let (head, body) = response.into_parts();
    let (coding, length) = coding(&head, &body, *asking);
    asking.keeps &= coding != Coding::UntilClose && !closes(&head);
    write_head(&head, (coding, length), *asking, &mut memory);
    Outgoing::new(memory, &head.headers, coding, body)
}

/// Whether the answer says that the connection closes.
fn closes(head: &Parts) -> bool {
    let option = head.headers.get(CONNECTION);
    option.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"close"))
}

/// How the body is framed, and the length that the head states (RFC 9112, section 6.3; RFC 9110, section
/// 8.6).
fn coding(head: &Parts, body: &impl Body, asking: Asking) -> (Coding, Option<u64>) {
    let stated = head.headers.get(CONTENT_LENGTH);
    let stated = stated.and_then(|length| length.to_str().ok()?.parse().ok());
    match head.status {
        status if status.is_informational() => return (Coding::None, None),
        StatusCode::NO_CONTENT => return (Coding::None, None),
        // Its length is that of the answer to another request.
        _ if asking.is_head => return (Coding::None, stated),
        StatusCode::NOT_MODIFIED => return (Coding::None, stated),
        _ => {}
    }
    if body.is_end_stream() && matches!(stated, None | Some(0)) {
        return (Coding::None, Some(0));
    }
    let chunked = head.headers.contains_key(TRANSFER_ENCODING);
    let length = stated.or_else(|| body.size_hint().exact());
    match length.filter(|_| !chunked) {
        Some(length) => (Coding::Length(length), Some(length)),
        None if asking.http10 => (Coding::UntilClose, None),
        None => (Coding::Chunked, None),
    }
}

/// Writes the status line and the fields (RFC 9112, sections 4 and 5). Those about the body and the
/// connection say what really follows.
fn write_head(
    head: &Parts,
    (coding, length): (Coding, Option<u64>),
    asking: Asking,
    into: &mut BytesMut,
) {
    into.extend_from_slice(match asking.http10 {
        true => b"HTTP/1.0 ",
        false => b"HTTP/1.1 ",
    });
    into.extend_from_slice(head.status.as_str().as_bytes());
    into.extend_from_slice(b" ");
    into.extend_from_slice(
        head.status
            .canonical_reason()
            .unwrap_or_default()
            .as_bytes(),
    );
    into.extend_from_slice(b"\r\n");
    let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
    for (name, value) in &head.headers {
        let ours = name == CONTENT_LENGTH || name == TRANSFER_ENCODING || name == CONNECTION;
        if !ours || switches && name == CONNECTION {
            write_field(name.as_str(), value.as_bytes(), into);
        }
    }
    if coding == Coding::Chunked {
        write_field(TRANSFER_ENCODING.as_str(), b"chunked", into);
    } else if let Some(length) = length {
        let length = HeaderValue::from(length);
        write_field(CONTENT_LENGTH.as_str(), length.as_bytes(), into);
    }
    match (asking.keeps, asking.http10) {
        (false, _) if !switches => write_field(CONNECTION.as_str(), b"close", into),
        (true, true) if !switches => write_field(CONNECTION.as_str(), b"keep-alive", into),
        _ => {}
    }
    into.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
