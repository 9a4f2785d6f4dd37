use std::cell::Cell;

use super::*;

/// Reverifies with these epochs at these times, and returns the times at which the chain was
/// really verified. Lists become stale at 100 and at 200.
fn verified(asked: &[(u64, u64)], result: Result<u64, ChainRefused>) -> Vec<u64> {
    let (last, seen) = (LastVerification::default(), Cell::new(Vec::new()));
    let result = result.map(Unix::from_secs);
    for (epoch, secs) in asked {
        let now = Unix::from_secs(*secs);
        let staling = [100, 200].map(Unix::from_secs);
        let next = staling.into_iter().find(|staling| now < *staling);
        let verify = || {
            let mut all = seen.take();
            all.push(*secs);
            seen.set(all);
            result
        };
        assert_eq!(last.reverify(*epoch, next, now, verify), result.map(drop));
    }
    seen.into_inner()
}

#[test]
fn a_chain_is_verified_once_for_each_change() {
    let asked = [(1, 10), (1, 11), (1, 99), (2, 99), (2, 99)];
    assert_eq!(verified(&asked, Ok(1_000)), [10, 99], "a reload");
    let stale = [(1, 99), (1, 100), (1, 101), (1, 199), (1, 200), (1, 900)];
    assert_eq!(verified(&stale, Ok(1_000)), [99, 100, 200]);
    let refused = Err(ChainRefused::RevocationUnknown);
    assert_eq!(
        verified(&stale, refused),
        [99, 100, 200],
        "and no more often"
    );
}

#[test]
fn no_verdict_outlives_the_first_certificate_or_a_clock_that_was_set_back() {
    let asked = [(1, 10), (1, 49), (1, 50), (1, 51)];
    assert_eq!(verified(&asked, Ok(50)), [10, 50, 51]);
    assert_eq!(verified(&[(1, 30), (1, 29), (1, 30)], Ok(50)), [30, 29]);
    let expired = Err(ChainRefused::Expired);
    assert_eq!(verified(&[(1, 30), (1, 30)], expired), [30, 30]);
}
