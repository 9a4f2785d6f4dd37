//! CORS: cross-origin requests of browsers (Fetch standard, "CORS protocol").
//!
//! Before a page of another origin may send a request that a form couldn't send, the browser asks:
//! it sends a *preflight*, without credentials. The router answers it, because a cell never sees a
//! request without credentials. Answers to the requests themselves, including the router's
//! refusals, say which origin may read them; otherwise the page sees only "failed".

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName,
    HeaderValue, ORIGIN, VARY,
};
use http::{HeaderName as Name, Method};

use crate::headers::elements;

/// Every field of an answer that grants something to an origin. A cell's fields are replaced,
/// because browsers reject two values of `Access-Control-Allow-Origin`.
const GRANTS: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

/// The CORS rules of one policy.
#[derive(Clone, Debug)]
pub struct CorsRules {
    pub(crate) origins: Origins,
    pub(crate) methods: Vec<Method>,
    /// The header fields that a page may set, in addition to those that a form may set.
    pub(crate) headers: Vec<HeaderName>,
    /// Those lists as header values, and the header fields of an answer that a page may read.
    pub(crate) lists: Lists,
    pub(crate) credentials: bool,
}

/// Lists as header values, built once.
#[derive(Clone, Debug)]
pub(crate) struct Lists {
    pub(crate) methods: HeaderValue,
    pub(crate) headers: HeaderValue,
    pub(crate) expose: HeaderValue,
    pub(crate) max_age: HeaderValue,
}

/// Which origins are allowed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Origins {
    /// All of them, without credentials.
    Any,
    /// These.
    Listed(Vec<Origin>),
}

/// An origin as browsers write it (RFC 6454, section 6.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// `https://app.example`
    Exact(Box<str>),
    /// `https://*.app.example`: the star matches one or more labels.
    Below { scheme: Box<str>, suffix: Box<str> },
}

impl Origin {
    fn fits(&self, origin: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *origin,
            Self::Below { scheme, suffix } => origin
                .strip_prefix(&**scheme)
                .and_then(|rest| rest.strip_suffix(&**suffix))
                .is_some_and(is_labels),
        }
    }
}

/// Whether the text is only labels of a host name with dots between them.
fn is_labels(text: &str) -> bool {
    text.split('.').all(|label| {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.bytes().all(sound)
    })
}

/// Whether a request is a preflight.
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

impl CorsRules {
    /// The value of `Access-Control-Allow-Origin` for a request. `None` if it has no origin,
    /// several, or one that is not allowed. If all origins are allowed, it is `*` for every
    /// request, so that a cache may give any answer to any page (Fetch standard, "CORS protocol and
    /// HTTP caches").
    pub fn origin(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let listed = match &self.origins {
            Origins::Any => return Some(HeaderValue::from_static("*")),
            Origins::Listed(listed) => listed,
        };
        let mut origins = request.get_all(ORIGIN).iter();
        let (Some(origin), None) = (origins.next(), origins.next()) else {
            return None;
        };
        let text = origin.to_str().ok()?;
        let fits = listed.iter().any(|allowed| allowed.fits(text));
        fits.then(|| origin.clone())
    }

    /// Sets the fields that let `origin` (from [`origin`](Self::origin)) read an answer, and
    /// removes a cell's CORS fields. Without an origin no page of another origin may read it, and
    /// the answer only tells caches that it depends on the origin.
    pub fn write(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        for name in &GRANTS {
            answer.remove(name);
        }
        if let Some(origin) = origin {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            if self.credentials {
                let yes = HeaderValue::from_static("true");
                answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
            }
            if !self.lists.expose.is_empty() {
                answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, self.lists.expose.clone());
            }
        }
        self.vary(answer);
    }

    /// Answers a preflight with what pages of its origin may send. Returns whether that covers what
    /// the browser asks for. If not, the browser doesn't send the request and shows the page's
    /// developer what is missing.
    pub fn preflight(&self, request: &HeaderMap, answer: &mut HeaderMap) -> bool {
        let origin = self.origin(request);
        self.write(origin.as_ref(), answer);
        answer.remove(ACCESS_CONTROL_EXPOSE_HEADERS);
        if origin.is_none() {
            return false;
        }
        let lists = &self.lists;
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_METHODS, &lists.methods),
            (ACCESS_CONTROL_ALLOW_HEADERS, &lists.headers),
            (ACCESS_CONTROL_MAX_AGE, &lists.max_age),
        ] {
            if !value.is_empty() {
                answer.insert(name, value.clone());
            }
        }
        self.covers(request)
    }

    fn covers(&self, request: &HeaderMap) -> bool {
        let method = request.get(ACCESS_CONTROL_REQUEST_METHOD);
        let method = method.and_then(|method| Method::from_bytes(method.as_bytes()).ok());
        let mut asked = elements(request.get_all(ACCESS_CONTROL_REQUEST_HEADERS));
        method.is_some_and(|method| self.methods.contains(&method))
            && asked.all(|name| {
                name.is_empty()
                    || Name::from_bytes(name).is_ok_and(|name| self.headers.contains(&name))
            })
    }

    /// Keeps caches from giving one origin's answer to another. Not needed if every origin is
    /// allowed.
    fn vary(&self, answer: &mut HeaderMap) {
        if self.origins == Origins::Any {
            return;
        }
        let names = |value: &HeaderValue| {
            let mut names = value.as_bytes().split(|byte| *byte == b',');
            names.any(|name| matches!(name.trim_ascii(), b"*" | b"origin" | b"Origin"))
        };
        if !answer.get_all(VARY).iter().any(names) {
            answer.append(VARY, HeaderValue::from_static("Origin"));
        }
    }
}

#[cfg(test)]
mod tests;
