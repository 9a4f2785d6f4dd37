//! What is kept of a request, for sending it again.
//!
//! An HTTP/1.1 connection keeps the head of the request that it sends. h2 consumes it, so it must be copied
//! beforehand, for nearly every request, although only one in thousands needs it. The copy is therefore
//! flat: one buffer, which costs a quarter of a cloned `HeaderMap` and is parsed when it is needed. For the
//! body see [`RequestBody`].

use bytes::{Buf, Bytes};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery};
use http::{Method, Request, Uri};

use crate::data_plane::body::{RequestBody, SpareBody};
use crate::data_plane::pool::Sender;

/// Room for most heads, in bytes.
const ROOM: usize = 1024;
/// A flag in the length of a value: it must not enter HTTP/2's header table.
const SENSITIVE: u32 = 1 << 31;

/// A request's head, or where it is, and what makes its next body.
pub(super) struct Spare {
    head: Head,
    body: SpareBody,
}

enum Head {
    /// The HTTP/1.1 connection has it.
    Lent,
    Copied(Copied),
}

impl Spare {
    /// Of a request that this connection is about to send.
    pub(super) fn of(request: &Request<RequestBody>, sender: &Sender) -> Self {
        Self {
            head: match sender {
                Sender::H1(_) => Head::Lent,
                Sender::H2(_) => Head::Copied(Copied::of(request)),
            },
            body: request.body().spare(),
        }
    }

    /// The request's method. The connection is the one that sent it.
    pub(super) fn method(&self, sender: &Sender) -> Option<Method> {
        match (&self.head, sender) {
            (Head::Lent, Sender::H1(http1)) => Some(http1.head()?.method.clone()),
            (Head::Copied(head), _) => head.method(),
            (Head::Lent, Sender::H2(_)) => None,
        }
    }

    /// Whether the request can be restored.
    pub(super) fn is_complete(&self) -> bool {
        self.body.is_complete()
    }

    /// The request. The connection is the one that sent it. `None` if not everything that was read of its
    /// body is kept. The copied head always parses.
    pub(super) fn restore(self, sender: &mut Sender) -> Option<Request<RequestBody>> {
        let body = self.body.restore()?;
        match (self.head, sender) {
            (Head::Lent, Sender::H1(http1)) => Some(Request::from_parts(http1.take_head()?, body)),
            (Head::Copied(head), _) => head.restore(body),
            (Head::Lent, Sender::H2(_)) => None,
        }
    }
}

/// A flat copy of a request's head.
pub(super) struct Copied(Vec<u8>);

impl Copied {
    pub(super) fn of(request: &Request<RequestBody>) -> Self {
        let mut this = Self(Vec::with_capacity(ROOM));
        let uri = request.uri();
        let (scheme, path) = (uri.scheme_str(), uri.path_and_query());
        let authority = uri.authority().map(Authority::as_str);
        this.put(request.method().as_str(), scheme.unwrap_or_default(), 0);
        let path = path.map(PathAndQuery::as_str);
        this.put(authority.unwrap_or_default(), path.unwrap_or_default(), 0);
        for (name, value) in request.headers() {
            let mark = if value.is_sensitive() { SENSITIVE } else { 0 };
            this.put(name.as_str(), value.as_bytes(), mark);
        }
        this
    }

    fn method(&self) -> Option<Method> {
        let (method, _, _) = next(&mut Bytes::copy_from_slice(&self.0))?;
        Method::from_bytes(&method).ok()
    }

    /// The request with this body.
    pub(super) fn restore(self, body: RequestBody) -> Option<Request<RequestBody>> {
        let mut rest = Bytes::from(self.0);
        let mut request = Request::new(body);
        let (method, scheme, _) = next(&mut rest)?;
        let (authority, path, _) = next(&mut rest)?;
        *request.method_mut() = Method::from_bytes(&method).ok()?;
        let mut uri = Uri::builder();
        if !scheme.is_empty() {
            uri = uri.scheme(&*scheme);
        }
        if !authority.is_empty() {
            uri = uri.authority(&*authority);
        }
        if !path.is_empty() {
            uri = uri.path_and_query(&*path);
        }
        *request.uri_mut() = uri.build().ok()?;
        let headers: &mut HeaderMap = request.headers_mut();
        while let Some((name, value, sensitive)) = next(&mut rest) {
            let mut value = HeaderValue::from_maybe_shared(value).ok()?;
            value.set_sensitive(sensitive);
            headers.append(HeaderName::from_bytes(&name).ok()?, value);
        }
        Some(request)
    }

    /// Appends two pieces, with their lengths before them.
    fn put(&mut self, first: &str, second: impl AsRef<[u8]>, mark: u32) {
        let second = second.as_ref();
        // A head has 64 KiB at most.
        let lengths = (first.len() as u64) << 32 | u64::from(second.len() as u32 | mark);
        self.0.extend_from_slice(&lengths.to_be_bytes());
        self.0.extend_from_slice(first.as_bytes());
        self.0.extend_from_slice(second);
    }
}

/// The next two pieces, and whether the second has the [`SENSITIVE`] flag.
fn next(rest: &mut Bytes) -> Option<(Bytes, Bytes, bool)> {
    let first = rest.try_get_u32().ok()? as usize;
    let second = rest.try_get_u32().ok()?;
    let (length, sensitive) = ((second & !SENSITIVE) as usize, second & SENSITIVE != 0);
    (first + length <= rest.len()).then(|| (rest.split_to(first), rest.split_to(length), sensitive))
}

#[cfg(test)]
mod tests;
