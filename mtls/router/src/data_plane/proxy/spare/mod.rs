//! A copy of a request's head, for sending it again.
//!
//! A connection takes ownership of a request and gives it back only if it hasn't written it. So to send a
//! request again we must copy its head beforehand, for nearly every request, although only one in
//! thousands needs it. The copy is therefore flat: one buffer, which costs a quarter of a cloned
//! `HeaderMap` and is parsed when it is needed. For the body see [`RequestBody`].

use bytes::{Buf, Bytes};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery};
use http::{Method, Request, Uri};

use crate::data_plane::body::{RequestBody, SpareBody};

/// Room for most heads, in bytes.
const ROOM: usize = 1024;
/// A flag in the length of a value: it must not enter HTTP/2's header table.
const SENSITIVE: u32 = 1 << 31;

/// A copy of a request's head, and what makes its next body.
pub(super) struct Spare {
    head: Vec<u8>,
    body: SpareBody,
}

impl Spare {
    pub(super) fn of(request: &Request<RequestBody>) -> Self {
        let mut this = Self {
            head: Vec::with_capacity(ROOM),
            body: request.body().spare(),
        };
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

    pub(super) fn method(&self) -> Option<Method> {
        let (method, _, _) = next(&mut Bytes::copy_from_slice(&self.head))?;
        Method::from_bytes(&method).ok()
    }

    /// Whether the request can be restored.
    pub(super) fn is_complete(&self) -> bool {
        self.body.is_complete()
    }

    /// The request. `None` if not everything that was read of its body is kept. The copied head
    /// always parses.
    pub(super) fn restore(self) -> Option<Request<RequestBody>> {
        let mut rest = Bytes::from(self.head);
        let mut request = Request::new(self.body.restore()?);
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
        self.head.extend_from_slice(&lengths.to_be_bytes());
        self.head.extend_from_slice(first.as_bytes());
        self.head.extend_from_slice(second);
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
