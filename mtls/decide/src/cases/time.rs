//! TOML's dates as seconds.

use cellway_core::Unix;
use toml::value::{Datetime, Offset};

/// The moment; `None` if it has no zone, or is before 1970.
pub(crate) fn unix(at: &Datetime) -> Option<Unix> {
    let (date, time, zone) = (at.date?, at.time?, at.offset?);
    let east = match zone {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes) * 60,
    };
    let days = days(
        i64::from(date.year),
        i64::from(date.month),
        i64::from(date.day),
    );
    let second = i64::from(time.second.unwrap_or(0));
    let of_day = i64::from(time.hour) * 3_600 + i64::from(time.minute) * 60 + second;
    let secs = days * 86_400 + of_day - east;
    u64::try_from(secs).ok().map(Unix::from_secs)
}

/// The days since 1970: Howard Hinnant's `days_from_civil`.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}
