use http::HeaderValue;

use super::*;

/// Catches: a directive that is misread, and a set that is kept for longer than its source
/// allows.
#[test]
fn the_shortest_time_that_the_answer_allows() {
    type Line = (&'static str, &'static str);
    let table: [(&[Line], Option<u64>); 15] = [
        (&[], None),
        (&[("cache-control", "public")], None),
        (&[("cache-control", "max-age=60")], Some(60)),
        (&[("cache-control", "public, Max-Age=60")], Some(60)),
        (&[("cache-control", "max-age=\"60\"")], Some(60)),
        (&[("cache-control", "s-maxage=9, max-age=60")], Some(60)),
        (&[("cache-control", "max-age=60, max-age=5")], Some(5)),
        (&[("cache-control", "max-age=60, no-cache")], Some(0)),
        (&[("cache-control", "no-store")], Some(0)),
        (&[("cache-control", "max-age=soon")], Some(0)),
        (&[("cache-control", "max-age=-1")], Some(0)),
        (
            &[("cache-control", "max-age=99999999999999999999")],
            Some(u64::from(u32::MAX)),
        ),
        (&[("cache-control", "max-age=60"), ("age", "20")], Some(40)),
        (&[("cache-control", "max-age=60"), ("age", "99")], Some(0)),
        (&[("cache-control", "max-age=60"), ("age", "x")], Some(60)),
    ];
    for (lines, expected) in table {
        let line = |(name, value): &Line| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        };
        let headers: HeaderMap = lines.iter().map(line).collect();
        let found = max_age(&headers).map(|age| age.as_secs());
        assert_eq!(found, expected, "{lines:?}");
    }
}
