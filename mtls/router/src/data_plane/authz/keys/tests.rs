use super::*;
use crate::shares::Holders;

#[test]
fn waiters_are_bounded_for_each_issuer_alone() {
    let waiters = KeyWaiters::default();
    let enter = |issuer| waiters.enter(IssuerId(issuer), Holder::NOBODY);
    let all: Vec<_> = (0..KEY_WAITERS_MAX).map(|_| enter(0).unwrap()).collect();
    assert!(enter(0).is_err());
    assert!(enter(1).is_ok());
    drop(all);
    assert!(enter(0).is_ok());
}

#[test]
fn one_address_cannot_take_all_places() {
    let waiters = KeyWaiters::default();
    let from = |last| Holders::default().address(Share::Address, [192, 0, 2, last].into());
    let enter = |last| {
        waiters
            .enter(IssuerId(0), from(last))
            .map_err(|(full, _)| full)
    };
    let flood: Vec<_> = std::iter::from_fn(|| enter(1).ok()).collect();
    assert_eq!(flood.len(), KEY_WAITERS_MAX / 2);
    assert_eq!(enter(1).err(), Some(LimitRefused::Share(Share::Address)));
    assert!(enter(2).is_ok());
}
