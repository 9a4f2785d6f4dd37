use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000;

fn limit(requests: u32, window_secs: u32, burst: u32) -> RateLimit {
    RateLimit::new(RateLimitSpec {
        requests,
        window_secs: Some(window_secs),
        burst: Some(burst),
    })
    .unwrap()
}

fn alone(limit: RateLimit) -> Rate {
    limit.shared_by(NonZeroU32::MIN)
}

#[test]
fn a_full_bucket_gives_its_burst_and_then_one_request_each_interval() {
    let rate = alone(limit(10, 1, 3));
    let mut full_at = 0;
    let now = 50 * SECOND;
    for remaining in [2, 1, 0] {
        let taken = rate.take(full_at, now).unwrap();
        assert_eq!(taken.remaining, remaining);
        full_at = taken.full_at;
    }
    let empty = rate.take(full_at, now).unwrap_err();
    assert_eq!(empty.retry_after, Duration::from_millis(100));
    assert!(rate.take(full_at, now + SECOND / 10 - 1).is_err());
    let next = rate.take(full_at, now + SECOND / 10).unwrap();
    assert_eq!(next.remaining, 0);
    // Quiet for longer than it takes to fill: no more than the burst.
    assert_eq!(
        rate.take(next.full_at, now + 60 * SECOND)
            .unwrap()
            .remaining,
        2
    );
}

/// Catches: a bucket that is emptier than its limit allows, one that gets a token from a raise, and one
/// that two clocks give tokens.
#[test]
fn a_bucket_is_never_emptier_than_empty() {
    let (slow, fast) = (alone(limit(1, 3600, 1)), alone(limit(10, 1, 10)));
    let now = 50 * SECOND;
    let emptied = slow.take(0, now).unwrap().full_at;
    assert_eq!(slow.capped(emptied, now, SECOND), None);
    assert_eq!(
        slow.capped(emptied, now - SECOND, SECOND),
        None,
        "another clock"
    );
    let capped = fast.capped(emptied, now, SECOND).unwrap();
    let wait = fast.take(capped, now).unwrap_err().retry_after;
    assert!(
        wait > Duration::ZERO && wait <= Duration::from_millis(1100),
        "{wait:?}"
    );
    assert_eq!(fast.capped(capped, now, SECOND), None);
    // A lower limit takes nothing away.
    let some = fast.take(0, now).unwrap().full_at;
    assert_eq!(slow.capped(some, now, SECOND), None);
}

#[test]
fn the_wait_that_a_refusal_names_is_long_enough_and_not_longer() {
    let rate = alone(limit(7, 3, 5));
    let (mut full_at, now) = (0, SECOND);
    while let Ok(taken) = rate.take(full_at, now) {
        full_at = taken.full_at;
    }
    let wait = rate.take(full_at, now).unwrap_err().retry_after;
    let at = now + wait.as_micros() as u64;
    assert!(rate.take(full_at, at).is_ok());
    assert!(rate.take(full_at, at - 1).is_err());
}

#[test]
fn routers_that_share_a_limit_stay_within_it_together() {
    let limit = limit(100, 1, 50);
    let shared = limit.shared_by(NonZeroU32::new(3).unwrap());
    assert_eq!(shared.interval, 30_000);
    assert_eq!(shared.burst, 16);
    let few = super::tests::limit(100, 1, 2).shared_by(NonZeroU32::new(3).unwrap());
    assert_eq!(few.burst, 1, "no router refuses everything");
}

#[test]
fn numbers_that_no_bucket_can_have_are_refused() {
    let check = |requests, window_secs, burst| {
        RateLimit::new(RateLimitSpec {
            requests,
            window_secs,
            burst,
        })
        .map(|limit| (limit.requests(), limit.window_secs(), limit.burst()))
    };
    assert_eq!(check(100, None, None), Ok((100, 1, 100)));
    assert_eq!(check(0, None, None), Err(RateLimitError::NoRequests));
    assert_eq!(check(1, Some(0), None), Err(RateLimitError::NoWindow));
    assert_eq!(check(1, None, Some(0)), Err(RateLimitError::NoBurst));
    assert_eq!(check(100_001, None, None), Err(RateLimitError::TooFast));
    assert!(check(200_000, Some(2), Some(u32::MAX / 2)).is_ok());
    assert!(check(1, Some(86_400), None).is_ok());
    assert_eq!(
        check(1, Some(86_401), None),
        Err(RateLimitError::WindowTooLong)
    );
    assert_eq!(check(1, Some(60), Some(1441)), Err(RateLimitError::TooSlow));
    assert_eq!(
        check(u32::MAX, Some(u32::MAX), Some(u32::MAX)),
        Err(RateLimitError::TooSlow)
    );
}

proptest! {
    /// The rule of a token bucket: in any time, no more requests than the burst and what comes back
    /// meanwhile.
    #[test]
    fn no_stretch_of_time_has_more_than_the_limit(
        requests in 1_u32..200,
        window in 1_u32..5,
        burst in 1_u32..50,
        routers in 1_u32..4,
        steps in prop::collection::vec(0_u64..300_000, 1..300),
    ) {
        let limit = limit(requests, window, burst);
        let rate = limit.shared_by(NonZeroU32::new(routers).unwrap());
        let (mut now, mut full_at) = (SECOND, 0);
        let mut admitted = Vec::new();
        for step in steps {
            now += step;
            if let Ok(taken) = rate.take(full_at, now) {
                prop_assert!(taken.full_at > full_at);
                full_at = taken.full_at;
                admitted.push(now);
            }
        }
        let back = |span: u64| span * u64::from(requests) / (u64::from(window * routers) * SECOND);
        for (i, from) in admitted.iter().enumerate() {
            for (j, to) in admitted.iter().enumerate().skip(i) {
                let most = u64::from(burst / routers).max(1) + back(to - from);
                prop_assert!((j - i + 1) as u64 <= most);
            }
        }
    }
}
