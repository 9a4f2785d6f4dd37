use super::*;

#[test]
fn near_is_a_tenth_of_a_life_and_a_month_at_most() {
    const DAY: u64 = 24 * 60 * 60;
    let near = |life_days: u64| {
        let dates = CertificateDates {
            setting: "x".into(),
            position: 0,
            not_before: Unix::from_secs(1_800_000_000),
            not_after: Unix::from_secs(1_800_000_000 + life_days * DAY),
        };
        dates.not_after.since(dates.near_from()).as_secs()
    };
    assert_eq!(near(1), DAY / 10);
    assert_eq!(near(90), 9 * DAY);
    assert_eq!(near(3_650), 30 * DAY);
    assert_eq!(near(0), 0);
}
