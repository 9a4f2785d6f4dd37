//! How long an answer may be used without asking again (RFC 9111).

use std::time::Duration;

use http::header::{AGE, CACHE_CONTROL};
use http::{HeaderMap, HeaderName};

/// The answer's `max-age` (section 5.2.2.1) minus its `Age` (5.1). Zero if it must not be used
/// without asking again (`no-cache`, `no-store`). `None` if the answer doesn't say.
///
/// `s-maxage` is ignored, because it is for shared caches. If there are several values, the
/// shortest counts (4.2.1 leaves the choice to us). A `max-age` that isn't a number counts as zero,
/// as 4.2.1 recommends.
pub(super) fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let directives = values(headers, &CACHE_CONTROL)
        .flat_map(|value| value.split(','))
        .filter_map(|directive| {
            let (name, argument) = match directive.split_once('=') {
                Some((name, argument)) => (name, argument.trim().trim_matches('"')),
                None => (directive, ""),
            };
            match name.trim().to_ascii_lowercase().as_str() {
                "max-age" => Some(seconds(argument).unwrap_or(0)),
                "no-cache" | "no-store" => Some(0),
                _ => None,
            }
        });
    let shortest = directives.min()?;
    let age = values(headers, &AGE).filter_map(|value| seconds(value.trim()));
    let left = shortest.saturating_sub(age.max().unwrap_or(0));
    Some(Duration::from_secs(left))
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter();
    values.filter_map(|value| value.to_str().ok())
}

/// A number of seconds. A number that is too large counts as the largest one (section 1.2.2).
fn seconds(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::from(u32::MAX)))
}

#[cfg(test)]
mod tests;
