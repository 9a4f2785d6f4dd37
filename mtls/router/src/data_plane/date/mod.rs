//! The `Date` header, from the environment's clock.

use std::sync::Mutex;

use cellway_core::Unix;
use http::HeaderValue;

use crate::lock::lock_uncontended;

/// Caches the `Date` of the present second.
#[derive(Debug, Default)]
pub(crate) struct DateCache(Mutex<Option<(u64, HeaderValue)>>);

impl DateCache {
    /// The header's value at `now`.
    pub(crate) fn at(&self, now: Unix) -> HeaderValue {
        let secs = now.as_secs();
        let mut cached = lock_uncontended(&self.0);
        match &*cached {
            Some((at, value)) if *at == secs => value.clone(),
            _ => {
                let value = format(secs);
                *cached = Some((secs, value.clone()));
                value
            }
        }
    }
}

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// IMF-fixdate (RFC 9110, section 5.6.7).
fn format(secs: u64) -> HeaderValue {
    let (days, of_day) = (secs / 86_400, secs % 86_400);
    let (year, month, day) = civil(days);
    let text = format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        DAYS[(days % 7) as usize],
        MONTHS[month],
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60,
    );
    HeaderValue::try_from(text).expect("letters, digits and colons")
}

/// The year, month (from 0) and day of the Gregorian calendar that are `days` after 1970-01-01.
/// Counts in eras of 400 years that start on March 1, so that the leap day comes last (H. Hinnant,
/// "chrono-compatible low-level date algorithms").
fn civil(days: u64) -> (u64, usize, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(month < 2);
    (year, month as usize, day)
}

#[cfg(test)]
mod tests;
