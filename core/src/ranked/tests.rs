use super::*;

fn order(count: usize, spread: u64, eligible: impl Fn(usize) -> bool) -> Vec<usize> {
    Ranked::new(count, spread, eligible).positions().collect()
}

#[test]
fn ranks_by_spread_and_puts_the_ineligible_last() {
    assert_eq!(order(3, 0, |_| true), [0, 1, 2]);
    assert_eq!(order(3, 1, |_| true), [1, 2, 0]);
    assert_eq!(order(3, 4, |_| true), [1, 2, 0]);
    assert_eq!(order(3, 1, |i| i != 1), [2, 0, 1]);
    assert_eq!(order(6, 0, |i| i == 4), [4, 5, 0, 1, 2, 3]);
    assert_eq!(order(64, 63, |_| true)[0], 63);
    assert!(order(0, 5, |_| true).is_empty());
}

#[test]
fn an_unhealthy_cell_keeps_all_its_endpoints() {
    assert_eq!(order(2, 1, |_| false), [1, 0]);
}
