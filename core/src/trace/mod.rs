//! W3C Trace Context: reading and making `traceparent` fields.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use crate::headers::only;

/// Names the trace that a request belongs to, its caller's span, and whether it is recorded (W3C
/// Trace Context, section 3.2).
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// More about the trace. It means nothing without a valid `traceparent` (section 3.3).
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The flag that says that the caller may have recorded the request (section 3.2.2.5.1).
const SAMPLED: &str = "01";

/// The trace id of a `traceparent` of version 00, in hexadecimal.
pub fn trace_id(value: &HeaderValue) -> Option<&str> {
    let value = value.to_str().ok()?;
    let mut parts = value.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, len| {
        text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let sound = version == "00"
        && is_hex(trace, 32)
        && is_hex(span, 16)
        && is_hex(flags, 2)
        && parts.next().is_none()
        && trace.bytes().any(|b| b != b'0')
        && span.bytes().any(|b| b != b'0');
    sound.then_some(trace)
}

/// The trace id of a request. `None` without a `traceparent`, with a bad one and with several.
pub fn trace_id_of(headers: &HeaderMap) -> Option<&str> {
    trace_id(only(headers, &TRACEPARENT)?)
}

/// A caller's or the router's own place in a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceContext {
    /// The trace.
    pub trace: [u8; 16],
    /// The span: the caller's, or the router's own.
    pub span: [u8; 8],
    /// The trace flags. Only the lowest bit has a meaning here.
    pub flags: u8,
}

impl TraceContext {
    /// The context of a request. `None` without a `traceparent`, with a bad one and with several.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let value = only(headers, &TRACEPARENT).filter(|value| is_usable(value))?;
        // A higher version begins as version 00 does (section 4.3).
        let text = value.to_str().ok()?;
        Some(Self {
            trace: from_hex(text.get(3..35)?)?,
            span: from_hex(text.get(36..52)?)?,
            flags: from_hex::<1>(text.get(53..55)?)?[0],
        })
    }

    /// Whether the caller may have recorded the request (section 3.2.2.5.1).
    pub const fn is_sampled(self) -> bool {
        self.flags & 1 != 0
    }

    /// The same trace with another span. `None` if the span's bytes can't be used: all zeros name no
    /// span (section 3.2.2.4).
    pub fn with_span(self, span: [u8; 8]) -> Option<Self> {
        (span != [0; 8]).then_some(Self { span, ..self })
    }

    /// The `traceparent` of version 00.
    pub fn header(&self) -> Option<HeaderValue> {
        let hex =
            |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
        // Flags that this version doesn't know must not be passed on (section 4.3).
        let flags = self.flags & 1;
        let text = format!("00-{}-{}-{flags:02x}", hex(&self.trace), hex(&self.span));
        HeaderValue::try_from(text).ok()
    }
}

fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// Removes trace fields that no receiver may use: a bad `traceparent`, several of them, and a
/// `tracestate` without a good one. Returns whether the request belongs to a trace then.
///
/// A `traceparent` of a higher version counts as good if a receiver can read it as version 00
/// (section 4.3), so it is kept.
pub fn clean(headers: &mut HeaderMap) -> bool {
    let good = only(headers, &TRACEPARENT).is_some_and(is_usable);
    if !good {
        headers.remove(TRACEPARENT);
        headers.remove(TRACESTATE);
    }
    good
}

fn is_usable(value: &HeaderValue) -> bool {
    if trace_id(value).is_some() {
        return true;
    }
    // A higher version may add more, after a hyphen.
    let bytes = value.as_bytes();
    let (Some(known), rest) = (bytes.get(2..55), bytes.get(55)) else {
        return false;
    };
    let is_hex = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    let higher = bytes[..2].iter().all(is_hex) && &bytes[..2] != b"00" && &bytes[..2] != b"ff";
    let as_known = [b"00", known].concat();
    let readable = HeaderValue::from_bytes(&as_known).is_ok_and(|it| trace_id(&it).is_some());
    higher && rest.is_none_or(|byte| *byte == b'-') && readable
}

/// A `traceparent` for a new trace that is recorded. `None` if the random bytes can't be used: all
/// zeros name no trace (section 3.2.2.3).
pub fn start(random: [u8; 24]) -> Option<HeaderValue> {
    let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let (trace, span) = hex.split_at(32);
    let value = HeaderValue::try_from(format!("00-{trace}-{span}-{SAMPLED}")).ok()?;
    trace_id(&value).is_some().then_some(value)
}

#[cfg(test)]
mod tests;
