//! Why a client gets no answer.

use std::fmt;
use std::io;

/// Why there is no answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// No connection was made.
    Connect(io::Error),
    /// The TLS handshake failed, or the name is no server name.
    Tls(io::Error),
    /// The connection broke, or what came over it isn't HTTP.
    Http(hyper::Error),
    /// The same, for a client that doesn't use hyper.
    Http2(h2::Error),
    /// The answer broke off, or is longer than a client keeps.
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// The request's path isn't valid in a URI.
    Path(http::Error),
    /// The timeout was over.
    Timeout,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(why) => write!(f, "connect: {why}"),
            Self::Tls(why) => write!(f, "TLS: {why}"),
            Self::Http(why) => write!(f, "HTTP: {why}"),
            Self::Http2(why) => write!(f, "HTTP/2: {why}"),
            Self::Body(why) => write!(f, "body: {why}"),
            Self::Path(why) => write!(f, "path: {why}"),
            Self::Timeout => f.write_str("timed out"),
        }
    }
}

impl std::error::Error for ClientError {}

impl ClientError {
    /// Whether the server never processed the request, so that any request may be sent again over
    /// another connection. Either it wasn't sent, or the server refused its stream, or the server
    /// closed the connection in order before it reached the request (RFC 9113, section 8.7).
    pub fn is_unprocessed(&self) -> bool {
        let Self::Http(error) = self else {
            return false;
        };
        let source = std::error::Error::source(error);
        let refused = source
            .and_then(|source| source.downcast_ref::<h2::Error>())
            .is_some_and(|error| {
                error.is_remote()
                    && match error.reason() {
                        Some(h2::Reason::NO_ERROR) => error.is_go_away(),
                        Some(h2::Reason::REFUSED_STREAM) => error.is_reset(),
                        _ => false,
                    }
            });
        refused || error.is_canceled() || error.is_closed()
    }
}
