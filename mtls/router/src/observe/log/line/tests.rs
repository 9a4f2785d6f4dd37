use std::time::Duration;

use super::*;

#[test]
fn writes_dates_of_leap_years_and_ends_of_years() {
    let written = |secs, millis| {
        let mut out = String::new();
        let at = Duration::from_secs(secs) + Duration::from_millis(millis);
        timestamp(&mut out, Unix::from_epoch(at));
        out
    };
    assert_eq!(written(0, 0), "1970-01-01T00:00:00.000Z");
    assert_eq!(written(951_782_399, 999), "2000-02-28T23:59:59.999Z");
    assert_eq!(written(951_782_400, 0), "2000-02-29T00:00:00.000Z");
    assert_eq!(written(1_709_251_199, 7), "2024-02-29T23:59:59.007Z");
    assert_eq!(written(1_735_689_599, 0), "2024-12-31T23:59:59.000Z");
    assert_eq!(written(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
}

#[test]
fn a_value_stays_inside_its_line() {
    let line = Line::new(Unix::from_secs(0), Level::Info, "x")
        .str("a", "b\n{\"level\":\"error\"}\u{1b}")
        .end();
    assert_eq!(line.matches('\n').count(), 1);
    assert!(!line.contains('\u{1b}'));
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["a"], "b\n{\"level\":\"error\"}\u{1b}");
}
