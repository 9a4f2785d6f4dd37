use super::*;

#[test]
fn formats_known_dates() {
    for (secs, text) in [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
        (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
        (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
    ] {
        assert_eq!(format(secs), text);
    }
}

#[test]
fn a_new_second_gets_a_new_date() {
    let cache = DateCache::default();
    let first = cache.at(Unix::from_secs(1));
    assert_eq!(cache.at(Unix::from_secs(1)), first);
    assert_ne!(cache.at(Unix::from_secs(2)), first);
}
