//! Durations and rates as people write them.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A length of time: a whole number and `ms`, `s`, `min` or `h`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Span(pub(super) Duration);

impl Span {
    /// The longest time: the lifetime of the simulator's own certificates, much longer than any
    /// scenario.
    pub(super) const MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

    fn parse(text: &str) -> Option<Self> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let millis = match unit.trim_start() {
            "ms" => 1,
            "s" => 1000,
            "min" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        let all = Duration::from_millis(number.checked_mul(millis)?);
        (all <= Self::MAX).then_some(Self(all))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text {
            expected: "a length of time such as \"250ms\", \"5s\", \"2min\" or \"1h\", at most ten years",
            parse: Self::parse,
        })
    }
}

/// How often something happens: a number, a slash, and `s`, `min` or `h`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rate {
    /// The mean time between two requests.
    pub(super) interval: Duration,
}

impl Rate {
    /// With a higher rate a run would be limited by the simulator, not by the router.
    const PER_SECOND_MAX: u64 = 1000;

    fn parse(text: &str) -> Option<Self> {
        let (count, unit) = text.split_once('/')?;
        let count: u64 = count.trim().parse().ok()?;
        let unit = match unit.trim() {
            "s" => Duration::from_secs(1),
            "min" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return None,
        };
        let interval = unit.checked_div(u32::try_from(count).ok()?)?;
        let fastest = Duration::from_secs(1) / u32::try_from(Self::PER_SECOND_MAX).ok()?;
        (interval >= fastest).then_some(Self { interval })
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text {
            expected: "a rate such as \"5/s\" or \"30/min\", at most 1000/s",
            parse: Self::parse,
        })
    }
}

/// Reads a string with a function, and says in words what is expected.
struct Text<T> {
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests;
