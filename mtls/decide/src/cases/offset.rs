//! Times that are written as a distance from now.

use std::fmt;

use cellway_core::Unix;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// The units, with their seconds.
const UNITS: [(&str, u64); 9] = [
    ("s", 1),
    ("sec", 1),
    ("min", 60),
    ("h", 3_600),
    ("hour", 3_600),
    ("hours", 3_600),
    ("day", 86_400),
    ("days", 86_400),
    ("year", 31_536_000),
];

/// A time before or after now: `"-5min"`, `"+1h"`, `"+30 days"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Offset(i64);

impl Offset {
    pub(super) const fn secs(secs: i64) -> Self {
        Self(secs)
    }

    /// Reads an offset; `None` if it isn't one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let sign = match text.as_bytes().first()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let rest = &text[1..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (count, unit) = rest.split_at(digits);
        let (_, secs) = UNITS.iter().find(|(name, _)| *name == unit.trim())?;
        let secs = count.parse::<u64>().ok()?.checked_mul(*secs)?;
        Some(Self(sign * i64::try_from(secs).ok()?))
    }

    /// The time, not before 1970.
    pub(crate) fn from(self, now: Unix) -> Unix {
        Unix::from_secs(now.as_secs().saturating_add_signed(self.0))
    }
}

/// What to write instead of something else.
pub(crate) const EXPECTED: &str = "a time before or after now, such as \"-5min\" or \"+1h\"";

impl<'de> Deserialize<'de> for Offset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Offset;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Offset, E> {
                let wrong = || E::custom(format_args!("{text:?} is not {EXPECTED}"));
                Offset::parse(text).ok_or_else(wrong)
            }
        }
        deserializer.deserialize_str(Text)
    }
}
