use cellway_core::rate_limit::RateLimitSpec;

use super::super::testing::*;
use super::*;

/// One request in three seconds, two at once.
fn limit() -> RateLimit {
    RateLimit::new(RateLimitSpec {
        requests: 1,
        window_secs: Some(3),
        burst: Some(2),
    })
    .unwrap()
}

fn fed(facts: &[Fact]) -> Result<(), String> {
    let bounds = with_settings(|it| it.rates.tenant = Some(limit()));
    let facts = [&[Fact::Started(life(0))], facts].concat();
    feed(&mut RatesKept::new(&bounds), &facts)
}

/// Requests of this tenant that arrive, a second apart.
fn arrivals(tenant: &str, count: usize) -> Vec<Fact> {
    let header = ("x-cellway-tenant".to_owned(), tenant.to_owned());
    let arrival = |i: usize| {
        let tag = i.to_string();
        arrived_with("gold", &tag, &tag, |arrived| {
            arrived.headers = vec![header.clone()]
        })
    };
    (0..count).map(arrival).collect()
}

fn limited(tag: &str) -> Fact {
    answered(tag, Answer::Router("rate_limited".to_owned()))
}

#[test]
fn notices_more_requests_than_the_limit_allows() {
    // In n seconds with a second of jitter, 2 + n / 3 may pass.
    assert_eq!(fed(&arrivals("acme", 3)), Ok(()));
    assert!(fed(&arrivals("acme", 4)).is_err());
}

#[test]
fn a_request_that_is_sent_again_counts_once() {
    let same: Vec<_> = (0..9).map(|_| arrivals("acme", 1)).collect();
    assert_eq!(fed(&same.concat()), Ok(()));
}

#[test]
fn notices_a_tenant_that_is_refused_within_its_limit() {
    assert!(fed(&[sent("1", "acme"), limited("1")]).is_err());
    let third = [
        sent("1", "acme"),
        sent("2", "acme"),
        sent("3", "acme"),
        limited("3"),
    ];
    assert_eq!(fed(&third), Ok(()));
}

#[test]
fn notices_a_refusal_where_there_is_no_limit() {
    let facts = [Fact::Started(life(0)), sent("1", "acme"), limited("1")];
    let bounds = with_settings(|_| ());
    assert!(feed(&mut RatesKept::new(&bounds), &facts).is_err());
}
