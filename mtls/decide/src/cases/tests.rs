use toml::value::Datetime;

use super::*;

#[test]
fn dates_are_the_seconds_that_they_name() {
    for (text, secs) in [
        ("1970-01-01T00:00:00Z", Some(0)),
        ("2026-01-01T00:00:00Z", Some(1_767_225_600)),
        ("2024-02-29T12:34:56Z", Some(1_709_210_096)),
        ("2000-03-01T00:00:00+01:00", Some(951_865_200)),
        ("1969-12-31T23:59:59Z", None),
        ("2026-01-01T00:00:00", None),
        ("2026-01-01", None),
    ] {
        let at: Datetime = text.parse().unwrap();
        assert_eq!(unix(&at), secs.map(Unix::from_secs), "{text}");
    }
}

#[test]
fn offsets_have_a_sign_a_number_and_a_unit() {
    let now = Unix::from_secs(1_000);
    for (text, secs) in [
        ("-5min", 700),
        ("+1h", 4_600),
        ("+30 days", 1_000 + 30 * 86_400),
        ("-1year", 0),
        ("+0s", 1_000),
    ] {
        let offset = Offset::parse(text).unwrap();
        assert_eq!(offset.from(now).as_secs(), secs, "{text}");
    }
    for text in ["", "5min", "-5", "-min", "+5minutes", "++5s", "-5 mn"] {
        assert_eq!(Offset::parse(text), None, "{text}");
    }
}
