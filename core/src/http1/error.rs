//! What can be wrong with a message.

use std::fmt;

use crate::Reason;

macro_rules! errors {
    ($($(#[doc = $doc:literal])+ $variant:ident => $text:literal,)+) => {
        /// What is wrong with a message. The first error ends the connection.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[non_exhaustive]
        pub enum MessageError {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl MessageError {
            /// What was found, as text for the sender.
            pub const fn detail(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

errors! {
    /// RFC 9112, section 2.2.
    BareLf => "the message has a line that ends with LF alone",
    /// RFC 9112, section 2.2.
    BareCr => "the message has a CR without an LF after it",
    /// RFC 9110, section 5.5.
    Control => "the message has a control character in a field's value",
    /// obs-fold: RFC 9112, section 5.2.
    Fold => "the message has a folded header line",
    /// RFC 9112, section 5.1.
    SpaceInName => "the message has a space in a field's name, or before its colon",
    /// RFC 9110, section 5.1.
    Name => "the message has a header line without a colon, or with an empty or invalid name",
    /// RFC 9112, section 3.
    RequestLine => "the request line isn't a method, a target and a version",
    /// RFC 9110, section 9.1.
    Method => "the method is invalid",
    /// RFC 9112, section 3.2.
    Target => "the target has a character that has to be percent-encoded",
    /// RFC 9112, section 3.2: a target has none.
    Fragment => "the target has a fragment",
    /// RFC 9112, section 2.3.
    Version => "the version is not HTTP/1.1 or HTTP/1.0",
    /// RFC 9112, section 4.
    StatusLine => "the status line isn't a version, three digits and a reason",
    /// RFC 9112, section 6.3.
    ContentLength => "the message has a Content-Length that isn't one number",
    /// RFC 9112, section 6.1.
    TransferEncoding => "the message has a Transfer-Encoding other than chunked, or any in HTTP/1.0",
    /// RFC 9112, section 6.3.
    TwoLengths => "the message has both Transfer-Encoding and Content-Length",
    /// RFC 9112, section 7.1.
    ChunkSize => "the message has a chunk size that isn't 1 to 16 hexadecimal digits",
    /// RFC 9112, section 7.1.1.
    ChunkExtension => "the message has a chunk extension",
    /// RFC 9112, section 7.1.
    ChunkEnd => "the message has a chunk that is longer than its size",
    /// More than [`Limits::bytes`](super::Limits::bytes).
    TooLong => "the header or the trailers are too long: a request's may have 64 KiB",
    /// More than [`Limits::fields`](super::Limits::fields).
    TooMany => "the header or the trailers have too many fields: a request's may have 100 fields",
    /// As [`TooLong`](Self::TooLong), of an answer.
    AnswerTooLong => "the answer's header or trailers are larger than upstream.answer_header_bytes_max",
    /// As [`TooMany`](Self::TooMany), of an answer.
    AnswerTooMany => "the answer's header or trailers have more fields than upstream.answer_header_fields_max",
    /// More than [`INTERIMS_MAX`](super::INTERIMS_MAX).
    TooManyInterims => "the cell sent more than 100 interim answers to one request",
    /// RFC 9112, section 9.2.
    Unasked => "the cell sent an answer that no request asked for",
}

impl MessageError {
    /// The reason that such a request is refused with.
    pub const fn reason(self) -> Reason {
        match self {
            Self::TooLong | Self::TooMany | Self::AnswerTooLong | Self::AnswerTooMany => {
                Reason::HeadersTooLarge
            }
            Self::BareLf
            | Self::BareCr
            | Self::Control
            | Self::Fold
            | Self::SpaceInName
            | Self::Name
            | Self::RequestLine
            | Self::Method
            | Self::Target
            | Self::Fragment
            | Self::Version
            | Self::StatusLine
            | Self::ContentLength
            | Self::TransferEncoding
            | Self::TwoLengths
            | Self::ChunkSize
            | Self::ChunkExtension
            | Self::ChunkEnd
            | Self::TooManyInterims
            | Self::Unasked => Reason::BadRequest,
        }
    }
}

impl MessageError {
    /// The same, found in an answer.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "only the limits differ between requests and answers"
    )]
    pub const fn of_answer(self) -> Self {
        match self {
            Self::TooLong => Self::AnswerTooLong,
            Self::TooMany => Self::AnswerTooMany,
            other => other,
        }
    }
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail())
    }
}

impl std::error::Error for MessageError {}
