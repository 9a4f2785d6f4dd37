//! Heads and trailer sections: lines, fields, and what they say about the body.

use super::octets::{has_control, is_control, not_in_target, token};
use super::{Limits, MessageError};

/// The longest method: registered ones have up to 17 octets.
const METHOD_MAX: usize = 32;
/// Most digits of a length. More would not fit 64 bits.
const LENGTH_DIGITS_MAX: usize = 19;

/// How far a section of lines has been read. Positions count from the first byte that hasn't
/// passed.
#[derive(Clone, Debug, Default)]
pub(super) struct Section {
    /// Where the incomplete line begins.
    line: usize,
    /// How far the search for its end has come.
    seen: usize,
    fields: usize,
}

/// What the head says about its message.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    section: Section,
    /// The first line, once it was read.
    start: Option<Start>,
    length: Option<u64>,
    coding: Option<Coding>,
    upgrade: bool,
}

/// What `Transfer-Encoding` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Coding {
    Chunked,
    /// `identity`: no coding. It is from RFC 2616, and servers still send it. The body then ends with the
    /// connection.
    Identity,
}

/// A field's name and value.
type Field<'a> = (&'a [u8], &'a [u8]);

/// What the first line says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) http10: bool,
    /// The status of an answer.
    pub(super) status: u16,
}

/// A complete head.
#[derive(Clone, Copy, Debug)]
pub(super) struct CompleteHead {
    /// The length of the head, in bytes.
    pub(super) len: usize,
    pub(super) start: Start,
    pub(super) length: Option<u64>,
    pub(super) coding: Option<Coding>,
    /// Whether it is a request with an `Upgrade` field.
    pub(super) upgrade: bool,
}

impl Section {
    /// The next line without its end. `None` if it isn't complete. The search stops at the limit,
    /// so that the result doesn't depend on how the bytes arrive.
    fn line<'a>(
        &mut self,
        bytes: &'a [u8],
        limits: Limits,
    ) -> Result<Option<&'a [u8]>, MessageError> {
        let bytes = &bytes[..bytes.len().min(limits.bytes)];
        let Some(at) = memchr::memchr(b'\n', &bytes[self.seen..]) else {
            self.seen = bytes.len();
            return match bytes.len() == limits.bytes {
                true => Err(MessageError::TooLong),
                false => Ok(None),
            };
        };
        let end = self.seen + at;
        let line = &bytes[self.line..end];
        (self.line, self.seen) = (end + 1, end + 1);
        match line.split_last() {
            Some((b'\r', line)) => Ok(Some(line)),
            _ => Err(MessageError::BareLf),
        }
    }

    /// The next field. `None` at the end of the section.
    fn field<'a>(
        &mut self,
        line: &'a [u8],
        limits: Limits,
    ) -> Result<Option<Field<'a>>, MessageError> {
        let end = token(line);
        match line.get(end) {
            Some(b':') if end > 0 => {}
            None if end == 0 => return Ok(None),
            Some(b' ' | b'\t') if end == 0 => return Err(MessageError::Fold),
            Some(b' ' | b'\t') => return Err(MessageError::SpaceInName),
            Some(b'\r') => return Err(MessageError::BareCr),
            _ => return Err(MessageError::Name),
        }
        self.fields += 1;
        if self.fields > limits.fields {
            return Err(MessageError::TooMany);
        }
        let value = &line[end + 1..];
        if has_control(value) {
            return Err(control(value));
        }
        Ok(Some((&line[..end], value)))
    }

    /// Reads a trailer section. Returns its length once it is complete.
    pub(super) fn trailers(
        &mut self,
        bytes: &[u8],
        limits: Limits,
    ) -> Result<Option<usize>, MessageError> {
        while let Some(line) = self.line(bytes, limits)? {
            if self.field(line, limits)?.is_none() {
                return Ok(Some(self.line));
            }
        }
        Ok(None)
    }
}

impl Head {
    /// Reads the head of a request.
    pub(super) fn request(
        &mut self,
        bytes: &[u8],
        limits: Limits,
    ) -> Result<Option<CompleteHead>, MessageError> {
        if self.start.is_none() {
            if !self.skip_empty_lines(bytes, limits)? {
                return Ok(None);
            }
            // A client of another protocol is refused at its first bytes.
            method(&bytes[self.section.line..])?;
            let Some(line) = self.section.line(bytes, limits)? else {
                return Ok(None);
            };
            self.start = Some(request_line(line)?);
        }
        let whole = self.fields(bytes, false, limits)?;
        match whole {
            Some(whole) if whole.coding.is_some() && whole.length.is_some() => {
                Err(MessageError::TwoLengths)
            }
            whole => Ok(whole),
        }
    }

    /// Reads the head of an answer.
    pub(super) fn answer(
        &mut self,
        bytes: &[u8],
        limits: Limits,
    ) -> Result<Option<CompleteHead>, MessageError> {
        if self.start.is_none() {
            const NAME: &[u8] = b"HTTP/1.";
            let len = bytes.len().min(NAME.len());
            if bytes[..len] != NAME[..len] {
                return Err(MessageError::StatusLine);
            }
            let Some(line) = self.section.line(bytes, limits)? else {
                return Ok(None);
            };
            self.start = Some(status_line(line)?);
        }
        self.fields(bytes, true, limits)
    }

    /// RFC 9112, section 2.2, has servers ignore an empty line before a request, which some clients
    /// send after a body. `false` if there is nothing else yet.
    fn skip_empty_lines(&mut self, bytes: &[u8], limits: Limits) -> Result<bool, MessageError> {
        loop {
            match bytes.get(self.section.line..).unwrap_or_default() {
                [] | [b'\r'] => return Ok(false),
                _ if self.section.line >= limits.bytes => return Err(MessageError::TooLong),
                [b'\r', b'\n', ..] => self.section.line += 2,
                [b'\r', ..] => return Err(MessageError::BareCr),
                [b'\n', ..] => return Err(MessageError::BareLf),
                _ => {
                    self.section.seen = self.section.seen.max(self.section.line);
                    return Ok(true);
                }
            }
        }
    }

    fn fields(
        &mut self,
        bytes: &[u8],
        of_answer: bool,
        limits: Limits,
    ) -> Result<Option<CompleteHead>, MessageError> {
        while let Some(line) = self.section.line(bytes, limits)? {
            let Some((name, value)) = self.section.field(line, limits)? else {
                return Ok(self.start.map(|start| CompleteHead {
                    len: self.section.line,
                    start,
                    length: self.length,
                    coding: self.coding,
                    upgrade: self.upgrade,
                }));
            };
            match name.len() {
                7 if !of_answer && name.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
                14 if is_content_length(name) && of_answer => self.repeated_length(value)?,
                14 if is_content_length(name) => self.length(value)?,
                17 if is_transfer_encoding(name) => self.transfer_encoding(value, of_answer)?,
                _ => {}
            }
        }
        Ok(None)
    }

    /// One number, once.
    fn length(&mut self, value: &[u8]) -> Result<(), MessageError> {
        let length = number(spaces_cut(value)).ok_or(MessageError::ContentLength)?;
        match self.length.replace(length) {
            None => Ok(()),
            Some(_) => Err(MessageError::ContentLength),
        }
    }

    /// In an answer the same number may be repeated (RFC 9110, section 8.6).
    fn repeated_length(&mut self, value: &[u8]) -> Result<(), MessageError> {
        for length in value.split(|byte| *byte == b',') {
            let length = number(spaces_cut(length)).ok_or(MessageError::ContentLength)?;
            if self.length.replace(length).is_some_and(|it| it != length) {
                return Err(MessageError::ContentLength);
            }
        }
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8], of_answer: bool) -> Result<(), MessageError> {
        let value = spaces_cut(value);
        let coding = match value.eq_ignore_ascii_case(b"chunked") {
            true => Coding::Chunked,
            false if of_answer && value.eq_ignore_ascii_case(b"identity") => Coding::Identity,
            false => return Err(MessageError::TransferEncoding),
        };
        let http10 = self.start.is_some_and(|start| start.http10);
        match self.coding.replace(coding) {
            None if !http10 => Ok(()),
            _ => Err(MessageError::TransferEncoding),
        }
    }
}

fn is_content_length(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"content-length")
}

fn is_transfer_encoding(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"transfer-encoding")
}

/// The length of the method at the front, a token of bounded length. It need not be complete.
fn method(bytes: &[u8]) -> Result<usize, MessageError> {
    let bytes = &bytes[..bytes.len().min(METHOD_MAX + 1)];
    let len = token(bytes);
    match bytes.get(len) {
        Some(b' ') if len > 0 => Ok(len),
        None if len <= METHOD_MAX => Ok(len),
        _ => Err(MessageError::Method),
    }
}

/// RFC 9112, section 3.
fn request_line(line: &[u8]) -> Result<Start, MessageError> {
    let rest = line
        .get(method(line)? + 1..)
        .ok_or(MessageError::RequestLine)?;
    let end = memchr::memchr(b' ', rest).ok_or(MessageError::RequestLine)?;
    check_target(&rest[..end])?;
    let http10 = match &rest[end + 1..] {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ => return Err(MessageError::Version),
    };
    Ok(Start { http10, status: 0 })
}

/// Checks a request's target. Every target that passes is one that [`http::Uri`] can parse.
///
/// # Errors
/// It isn't a target (RFC 9112, section 3.2): it is empty, or has a fragment, a control character or
/// another one that has to be percent-encoded.
pub fn check_target(target: &[u8]) -> Result<(), MessageError> {
    let odd = |byte: u8| match byte {
        b'#' => MessageError::Fragment,
        b'\r' => MessageError::BareCr,
        _ => MessageError::Target,
    };
    match target {
        [] => return Err(MessageError::RequestLine),
        [b'*'] => return Ok(()),
        _ => {}
    }
    if let Some(at) = not_in_target(target) {
        return Err(odd(target[at]));
    }
    if !target.is_ascii() && std::str::from_utf8(target).is_err() {
        return Err(MessageError::Target);
    }
    // Few requests have the absolute form or, for CONNECT, an authority.
    if target[0] != b'/' && http::Uri::try_from(target).is_err() {
        return Err(MessageError::Target);
    }
    Ok(())
}

/// RFC 9112, section 4. The space before an empty reason may be missing, because many servers leave
/// it out.
fn status_line(line: &[u8]) -> Result<Start, MessageError> {
    let Some((version, rest)) = line.split_first_chunk::<8>() else {
        return Err(MessageError::StatusLine);
    };
    let http10 = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ => return Err(MessageError::Version),
    };
    let [b' ', a, b, c, reason @ ..] = rest else {
        return Err(MessageError::StatusLine);
    };
    let status = number(&[*a, *b, *c]).ok_or(MessageError::StatusLine)?;
    if status < 100 || !matches!(reason.first(), None | Some(b' ')) {
        return Err(MessageError::StatusLine);
    }
    if has_control(reason) {
        return Err(control(reason));
    }
    Ok(Start {
        http10,
        status: u16::try_from(status).map_err(|_| MessageError::StatusLine)?,
    })
}

/// The error for the first control character.
fn control(value: &[u8]) -> MessageError {
    match value.iter().find(|byte| is_control(**byte)) {
        Some(b'\r') => MessageError::BareCr,
        _ => MessageError::Control,
    }
}

/// Digits and nothing else.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > LENGTH_DIGITS_MAX {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let value = digit.is_ascii_digit().then(|| digit - b'0')?;
        number.checked_mul(10)?.checked_add(u64::from(value))
    })
}

/// Removes optional whitespace (RFC 9110, section 5.6.3) and nothing else. Other parsers remove
/// more.
fn spaces_cut(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let Some(start) = value.iter().position(|byte| !is_space(byte)) else {
        return &[];
    };
    let end = value
        .iter()
        .rposition(|byte| !is_space(byte))
        .unwrap_or(start);
    &value[start..=end]
}
