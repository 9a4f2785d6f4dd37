use super::*;

fn order(count: usize, spread: u64, usable: impl Fn(usize) -> bool) -> Vec<usize> {
    let weight = |at| if usable(at) { FULL_WEIGHT } else { 0 };
    let ranked = Ranked::weighted(count, spread, weight, Rest::Last);
    ranked.positions().collect()
}

#[test]
fn ranks_by_spread_and_puts_the_others_last() {
    assert_eq!(order(3, 0, |_| true), [0, 1, 2]);
    assert_eq!(order(3, 1, |_| true), [1, 2, 0]);
    assert_eq!(order(3, 4, |_| true), [1, 2, 0]);
    assert_eq!(order(3, 1, |i| i != 1), [2, 0, 1]);
    assert_eq!(order(6, 0, |i| i == 4), [4, 5, 0, 1, 2, 3]);
    assert_eq!(order(64, 63, |_| true)[0], 63);
    assert!(order(0, 5, |_| true).is_empty());
}

#[test]
fn equal_weights_are_the_same_as_none() {
    for spread in 0..200 {
        for count in [0, 1, 2, 3, 63, 64] {
            let weighted = Ranked::weighted(count, spread, |_| FULL_WEIGHT, Rest::Never);
            assert_eq!(weighted, Ranked::all(count, spread), "{count}");
        }
    }
}

#[test]
fn the_rest_can_be_left_out() {
    let only = |usable: Option<usize>| {
        let weight = |at| if Some(at) == usable { FULL_WEIGHT } else { 0 };
        Ranked::weighted(3, 7, weight, Rest::Never)
    };
    assert_eq!(only(Some(1)).positions().collect::<Vec<_>>(), [1]);
    assert!(!only(Some(1)).is_empty());
    assert!(only(None).is_empty());
    assert_eq!(only(None).positions().count(), 0);
    assert!(Ranked::all(0, 3).is_empty());
}

#[test]
fn a_small_weight_is_a_small_share() {
    let weight = |at| [FULL_WEIGHT, FULL_WEIGHT / 10, FULL_WEIGHT][at];
    let mut firsts = [0; 3];
    for spread in 0..2100 {
        let ranked = Ranked::weighted(3, spread, weight, Rest::Last);
        let order: Vec<_> = ranked.positions().collect();
        assert_eq!(order.len(), 3);
        firsts[order[0]] += 1;
    }
    assert!((70..130).contains(&firsts[1]), "{firsts:?}");
    assert!((900..1100).contains(&firsts[0]), "{firsts:?}");
}
