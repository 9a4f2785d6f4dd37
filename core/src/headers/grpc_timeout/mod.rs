//! `grpc-timeout`: how long a gRPC caller waits for its answer.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// The header (grpc/grpc, `doc/PROTOCOL-HTTP2.md`, "Timeout").
pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The most digits of the number.
const DIGITS_MAX: usize = 8;

/// How long the caller waits. `None` if it doesn't say so, or not in a form that everybody reads the
/// same way: more than one field, a sign, an unknown unit, or more than 8 digits.
pub fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let value = super::only(headers, &GRPC_TIMEOUT)?;
    let (unit, digits) = value.as_bytes().split_last()?;
    if !(1..=DIGITS_MAX).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = digits
        .iter()
        .fold(0, |count, digit| count * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(count * 3600),
        b'M' => Duration::from_secs(count * 60),
        b'S' => Duration::from_secs(count),
        b'm' => Duration::from_millis(count),
        b'u' => Duration::from_micros(count),
        b'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

/// The value that says this time, in the smallest unit that has room for it, rounded down.
pub fn grpc_timeout_value(time: Duration) -> HeaderValue {
    const MOST: u128 = 10_u128.pow(DIGITS_MAX as u32) - 1;
    let seconds = u128::from(time.as_secs());
    let units = [
        (time.as_nanos(), 'n'),
        (time.as_micros(), 'u'),
        (time.as_millis(), 'm'),
        (seconds, 'S'),
        (seconds / 60, 'M'),
    ];
    let fits = units.into_iter().find(|(count, _)| *count <= MOST);
    let (count, unit) = fits.unwrap_or(((seconds / 3600).min(MOST), 'H'));
    // Digits and a letter always make a value.
    HeaderValue::try_from(format!("{count}{unit}"))
        .unwrap_or_else(|_| HeaderValue::from_static("0n"))
}

#[cfg(test)]
mod tests;
