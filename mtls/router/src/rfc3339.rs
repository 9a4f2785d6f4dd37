//! Times as text.

use std::fmt::Write;

use cellway_core::Unix;

/// RFC 3339 in UTC, to the millisecond.
pub fn rfc3339(at: Unix) -> String {
    let mut text = String::new();
    timestamp(&mut text, at);
    text
}

/// RFC 3339 in UTC, to the millisecond. The date is Howard Hinnant's `civil_from_days`.
pub(crate) fn timestamp(out: &mut String, at: Unix) {
    let secs = at.as_secs();
    let (days, of_day) = (secs / 86_400, secs % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let millis = at.since_epoch().subsec_millis();
    let _ = write!(
        out,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
    );
}
