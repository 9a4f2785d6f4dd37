//! A copy of a request's head, for sending it again.
//!
//! hyper takes ownership of a request and gives it back only if it hasn't written it. So to send a
//! request again we must copy its head beforehand, for nearly every request, although only one in
//! thousands needs it. The copy is therefore flat: one buffer, which costs a quarter of a cloned
//! `HeaderMap` and is parsed when it is needed. For the body see [`kept`](mod@super::kept).

use bytes::{Buf, Bytes};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri};

use super::request::{RequestBody, SpareBody};

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
        this.put(request.method().as_str().as_bytes(), 0);
        this.put(uri.scheme_str().unwrap_or_default().as_bytes(), 0);
        let authority = uri.authority().map(|authority| authority.as_str());
        this.put(authority.unwrap_or_default().as_bytes(), 0);
        let path = uri.path_and_query().map(PathAndQuery::as_str);
        this.put(path.unwrap_or_default().as_bytes(), 0);
        for (name, value) in request.headers() {
            let mark = if value.is_sensitive() { SENSITIVE } else { 0 };
            this.put(name.as_str().as_bytes(), 0);
            this.put(value.as_bytes(), mark);
        }
        this
    }

    pub(super) fn method(&self) -> Option<Method> {
        let mut head = &self.head[..];
        let length = head.try_get_u32().ok()?;
        Method::from_bytes(head.get(..length as usize)?).ok()
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
        *request.method_mut() = Method::from_bytes(&next(&mut rest)?.0).ok()?;
        let (scheme, authority, path) = (next(&mut rest)?, next(&mut rest)?, next(&mut rest)?);
        let mut uri = Uri::builder();
        if !scheme.0.is_empty() {
            uri = uri.scheme(&*scheme.0);
        }
        if !authority.0.is_empty() {
            uri = uri.authority(&*authority.0);
        }
        if !path.0.is_empty() {
            uri = uri.path_and_query(&*path.0);
        }
        *request.uri_mut() = uri.build().ok()?;
        let headers: &mut HeaderMap = request.headers_mut();
        while let Some((name, _)) = next(&mut rest) {
            let (value, sensitive) = next(&mut rest)?;
            let mut value = HeaderValue::from_maybe_shared(value).ok()?;
            value.set_sensitive(sensitive);
            headers.append(HeaderName::from_bytes(&name).ok()?, value);
        }
        Some(request)
    }

    fn put(&mut self, bytes: &[u8], mark: u32) {
        // A head has 64 KiB at most.
        let length = bytes.len() as u32 | mark;
        self.head.extend_from_slice(&length.to_be_bytes());
        self.head.extend_from_slice(bytes);
    }
}

/// The next piece, and whether it has the [`SENSITIVE`] flag.
fn next(rest: &mut Bytes) -> Option<(Bytes, bool)> {
    let length = rest.try_get_u32().ok()?;
    let piece = (length & !SENSITIVE) as usize;
    (piece <= rest.len()).then(|| (rest.split_to(piece), length & SENSITIVE != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restored(request: Request<()>) -> Request<()> {
        let request = request.map(|()| RequestBody::empty());
        Spare::of(&request).restore().unwrap().map(|_| ())
    }

    #[test]
    fn a_restored_head_is_the_same() {
        for target in ["/", "/a%20b?c=d&e", "https://a.example:8443/x?y", "*"] {
            let request = Request::builder()
                .method("PROPFIND")
                .uri(target)
                .header("accept", "a")
                .header("cookie", "one")
                .header("cookie", "two")
                .header("x-empty", "")
                .header("x-bytes", &b"\xff\x80 \t"[..]);
            let mut request = request.body(()).unwrap();
            let mut secret = HeaderValue::from_static("id");
            secret.set_sensitive(true);
            request.headers_mut().insert("x-id", secret);
            let again = restored(request.clone());
            assert_eq!(again.method(), request.method());
            assert_eq!(again.uri(), request.uri());
            assert_eq!(again.headers(), request.headers());
            assert!(again.headers()["x-id"].is_sensitive());
            assert!(!again.headers()["accept"].is_sensitive());
        }
    }
}
