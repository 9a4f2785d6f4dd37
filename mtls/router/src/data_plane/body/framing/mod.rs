//! The framing of a cell's answer: where its body ends, and which framing fields are forwarded.
//!
//! The rules for answers are the same as for requests (RFC 9112, section 6.3; RFC 9110, section
//! 8.6). Nothing ambiguous is forwarded: the length is dropped if the RFC says that something else
//! counts, and any other ambiguity is the cell's error. The body must then match the framing that
//! was forwarded, and must really end: a reset with `NO_ERROR` ends no message (RFC 9113, section 8.1).

use cellway_core::Reason;
use http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use http::{Response, StatusCode, Version};
use http_body::{Body, Frame};

use crate::data_plane::well_formed;
use crate::settings::AnswerLimits;

/// The request and the connection that an answer belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    /// Whether the request was `HEAD`. The answer's length is then that of a body that is not sent.
    pub(crate) head: bool,
    /// Whether the cell speaks HTTP/2.
    pub(crate) http2: bool,
    pub(crate) limits: AnswerLimits,
}

/// Where an answer's body ends.
#[derive(Debug)]
pub(crate) struct Framing {
    /// How many bytes are left, if that is known.
    left: Option<u64>,
    /// Whether only the length tells where the body ends: the cell may keep the connection open
    /// after it, or the client stops reading there.
    by_length: bool,
    /// Whether there is no body, even if the header gives a length.
    bodiless: bool,
    /// Whether the connection may be used again. If the header gives two ends of the answer, the
    /// cell may take the next bytes for the rest of this answer.
    pub(crate) reusable: bool,
    http2: bool,
    limits: AnswerLimits,
}

/// Why an answer isn't forwarded, or its body is cut.
pub(crate) type FramingError = (Reason, &'static str);

const LENGTH: FramingError = (
    Reason::CellProtocolError,
    "the answer's body is not as long as its Content-Length says",
);

/// A transfer coding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Coding {
    None,
    /// RFC 2616, section 3.6: no coding at all. RFC 7230 removed it, but servers still send it.
    Identity,
    Chunked,
}

impl Framing {
    /// Determines where the answer ends, and removes the framing fields that must not be passed on.
    ///
    /// # Errors
    /// What is wrong with the answer.
    pub(crate) fn of<B>(
        response: &mut Response<B>,
        exchange: Exchange,
    ) -> Result<Self, &'static str> {
        let Exchange {
            head,
            http2,
            limits,
        } = exchange;
        let (status, version) = (response.status(), response.version());
        let headers = response.headers_mut();
        if http2 {
            // In HTTP/1.1 the guard enforces the limits.
            fits(headers, limits)?;
            unpadded(headers)?;
        }
        let coding = coding(headers)?;
        let length = well_formed::content_length(headers)?;
        if coding != Coding::None && version != Version::HTTP_11 {
            // RFC 9112, section 6.1: it is unknown who added it.
            return Err("a Transfer-Encoding in HTTP/1.0 or HTTP/2");
        }
        if coding == Coding::Chunked || status == StatusCode::NO_CONTENT {
            headers.remove(CONTENT_LENGTH);
        }
        let bodiless = head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        Ok(Self {
            left: match coding {
                _ if bodiless => Some(0),
                Coding::Chunked => None,
                Coding::None | Coding::Identity => length,
            },
            by_length: coding == Coding::Identity && length.is_some(),
            bodiless,
            reusable: coding == Coding::None || length.is_none(),
            http2,
            limits,
        })
    }

    /// The framing of an answer that switches the protocol: it has no body, and its connection is
    /// not used for HTTP again.
    pub(crate) fn none() -> Self {
        Self {
            left: Some(0),
            by_length: false,
            bodiless: true,
            reusable: false,
            http2: false,
            limits: AnswerLimits::default(),
        }
    }

    /// Whether there is a body.
    pub(crate) fn has_body(&self) -> bool {
        !self.bodiless
    }

    /// Whether trailers may follow the body.
    pub(crate) fn may_have_trailers(&self) -> bool {
        !self.bodiless && (self.http2 || self.left.is_none())
    }

    /// Notes that the client reads only as many bytes as the length says, if there is one.
    pub(crate) fn ends_by_length(&mut self) {
        self.by_length |= self.left.is_some();
    }

    /// Whether the cell uses HTTP/2 and has not ended the stream yet.
    pub(crate) fn outlasts<B: Body>(&self, source: &B) -> bool {
        was_cut(self.http2, source.is_end_stream())
    }

    /// Whether the body has ended although its source doesn't say so.
    pub(crate) fn ended(&self) -> bool {
        self.by_length && self.left == Some(0)
    }

    /// Counts a frame of the body.
    ///
    /// # Errors
    /// Neither the frame nor anything after it can be forwarded.
    pub(crate) fn came<D: bytes::Buf>(&mut self, frame: &Frame<D>) -> Result<(), FramingError> {
        if let Some(data) = frame.data_ref() {
            if let Some(left) = &mut self.left {
                *left = left.checked_sub(data.remaining() as u64).ok_or(LENGTH)?;
            }
        } else if let Some(trailers) = frame.trailers_ref() {
            self.whole()?;
            fits(trailers, self.limits)
                .and_then(|()| unpadded(trailers))
                .map_err(|why| (Reason::CellProtocolError, why))?;
        }
        Ok(())
    }

    /// Checks a body that its source reports as ended.
    ///
    /// # Errors
    /// The body was cut.
    pub(crate) fn over<B: Body>(&self, source: &B) -> Result<(), FramingError> {
        if was_cut(self.http2, source.is_end_stream()) {
            return Err((
                Reason::CellReset,
                "the cell ended the stream without END_STREAM",
            ));
        }
        self.whole()
    }

    fn whole(&self) -> Result<(), FramingError> {
        match self.left {
            None | Some(0) => Ok(()),
            Some(_) => Err(LENGTH),
        }
    }
}

/// Whether an HTTP/2 body that has no more frames was cut: only END_STREAM ends a message (RFC 9113, section
/// 8.1), and not a reset with `NO_ERROR`.
pub(crate) fn was_cut(http2: bool, is_end_stream: bool) -> bool {
    http2 && !is_end_stream
}

fn coding(headers: &HeaderMap) -> Result<Coding, &'static str> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else {
        return Ok(Coding::None);
    };
    let coding = coding.as_bytes();
    match codings.next() {
        None if coding.eq_ignore_ascii_case(b"chunked") => Ok(Coding::Chunked),
        None if coding.eq_ignore_ascii_case(b"identity") => Ok(Coding::Identity),
        _ => Err("a Transfer-Encoding other than chunked"),
    }
}

/// Whether a client's trailers are within the default limits of cells' answers.
pub(crate) fn trailers_fit(trailers: &HeaderMap) -> bool {
    fits(trailers, AnswerLimits::default()).is_ok()
}

/// Checks a header section or trailers against the limits, with sizes counted as in HTTP/2 (RFC
/// 9113, section 6.5.2).
fn fits(headers: &HeaderMap, limits: AnswerLimits) -> Result<(), &'static str> {
    const OVERHEAD: usize = 32;
    if headers.len() > limits.header_fields_max as usize {
        return Err("more header or trailer fields than upstream.answer_header_fields_max");
    }
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + OVERHEAD)
        .sum();
    if bytes > limits.header_bytes_max as usize {
        return Err("a header or trailers larger than upstream.answer_header_bytes_max");
    }
    Ok(())
}

fn unpadded(fields: &HeaderMap) -> Result<(), &'static str> {
    match well_formed::is_padded(fields) {
        true => Err(well_formed::PADDED),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
