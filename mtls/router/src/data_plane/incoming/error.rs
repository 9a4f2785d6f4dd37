//! Why an exchange broke off, or its body.

use std::error::Error;
use std::fmt;
use std::io;

/// An error of hyper's or of h2's. Its text has the text of all its sources.
#[derive(Debug)]
pub(crate) enum HttpError {
    Http1(hyper::Error),
    Http2(h2::Error),
    /// The other end sent this, which the library accepts and a proxy must not.
    Malformed(&'static str),
}

impl HttpError {
    /// The error of HTTP/2. `None` if the connection broke below that.
    pub(crate) fn http2(&self) -> Option<&h2::Error> {
        match self {
            Self::Http2(error) => (!error.is_io()).then_some(error),
            Self::Http1(_) | Self::Malformed(_) => None,
        }
    }

    /// The error of an HTTP/1.1 connection.
    pub(crate) fn http1(&self) -> Option<&hyper::Error> {
        match self {
            Self::Http1(error) => Some(error),
            Self::Http2(_) | Self::Malformed(_) => None,
        }
    }

    /// The error of the bytes below HTTP.
    pub(crate) fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Http1(error) => error.source()?.downcast_ref(),
            Self::Http2(error) => error.get_io(),
            Self::Malformed(_) => None,
        }
    }

    /// Whether the router itself used its library wrongly.
    pub(crate) fn is_user(&self) -> bool {
        match self {
            Self::Http1(error) => error.is_user(),
            Self::Http2(error) => error.reason().is_none() && !error.is_io(),
            Self::Malformed(_) => false,
        }
    }
}

impl From<hyper::Error> for HttpError {
    fn from(error: hyper::Error) -> Self {
        Self::Http1(error)
    }
}

impl From<h2::Error> for HttpError {
    fn from(error: h2::Error) -> Self {
        Self::Http2(error)
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = match self {
            Self::Http1(error) => error,
            Self::Http2(error) => return error.fmt(f),
            Self::Malformed(what) => return f.write_str(what),
        };
        error.fmt(f)?;
        let mut source = error.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl Error for HttpError {}
