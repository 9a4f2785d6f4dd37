//! Why an exchange broke off, or its body.

use std::error::Error;
use std::fmt;
use std::io;

use cellway_core::http1::MessageError;

use super::messages::ReadError;

/// An error of a connection. Its text has the text of all its sources.
#[derive(Debug)]
pub(crate) enum HttpError {
    /// A client's over HTTP/1.1.
    Request(ReadError),
    /// A cell's over HTTP/1.1.
    Answer(ReadError),
    Http2(h2::Error),
    /// The request's body broke off on its way to an HTTP/1.1 cell.
    Upload(String),
    /// The other end sent this, which the library accepts and a proxy must not.
    Malformed(&'static str),
}

impl HttpError {
    /// The error of HTTP/2. `None` if the connection broke below that.
    pub(crate) fn http2(&self) -> Option<&h2::Error> {
        match self {
            Self::Http2(error) => (!error.is_io()).then_some(error),
            Self::Request(_) | Self::Answer(_) | Self::Upload(_) | Self::Malformed(_) => None,
        }
    }

    /// Whether what came can't be read.
    pub(crate) fn is_malformed(&self) -> bool {
        matches!(
            self,
            Self::Malformed(_) | Self::Answer(ReadError::Malformed(_))
        )
    }

    /// What is malformed in a client's request.
    pub(crate) fn malformed_request(&self) -> Option<MessageError> {
        match self {
            Self::Request(ReadError::Malformed(fault)) => Some(*fault),
            Self::Request(_)
            | Self::Answer(_)
            | Self::Http2(_)
            | Self::Upload(_)
            | Self::Malformed(_) => None,
        }
    }

    /// The error of the bytes below HTTP.
    pub(crate) fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Request(ReadError::Io(error)) | Self::Answer(ReadError::Io(error)) => Some(error),
            Self::Http2(error) => error.get_io(),
            Self::Request(_) | Self::Answer(_) | Self::Upload(_) | Self::Malformed(_) => None,
        }
    }

    /// Whether nobody is there any more to get what the router sends: the other end has reset the stream, or
    /// its connection broke. The end of the bytes alone doesn't say so, because the other end may still read.
    pub(crate) fn other_end_is_gone(&self) -> bool {
        let is_reset = |error: &h2::Error| error.is_remote() && error.is_reset();
        self.http2().is_some_and(is_reset)
            || self.io().is_some_and(|error| {
                matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionReset
                        | io::ErrorKind::ConnectionAborted
                        | io::ErrorKind::BrokenPipe
                )
            })
    }

    /// Whether it arose on the router's side, so that it says nothing about the other end.
    pub(crate) fn is_user(&self) -> bool {
        match self {
            Self::Http2(error) => error.reason().is_none() && !error.is_io(),
            Self::Upload(_) => true,
            Self::Request(_) | Self::Answer(_) | Self::Malformed(_) => false,
        }
    }
}

impl From<h2::Error> for HttpError {
    fn from(error: h2::Error) -> Self {
        Self::Http2(error)
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(ReadError::Closed | ReadError::Cut) => {
                f.write_str("the client closed the connection in the middle of its request")
            }
            Self::Answer(ReadError::Closed) => {
                f.write_str("the cell closed the connection before its answer")
            }
            Self::Answer(ReadError::Cut) => {
                f.write_str("the cell closed the connection in the middle of its answer")
            }
            Self::Request(error) | Self::Answer(error) => error.fmt(f),
            Self::Http2(error) => error.fmt(f),
            Self::Upload(error) => f.write_str(error),
            Self::Malformed(what) => f.write_str(what),
        }
    }
}

impl Error for HttpError {}
