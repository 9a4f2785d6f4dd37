use super::*;

fn taken(budget: &RetryBudget) -> u32 {
    (0..1000).filter(|_| budget.take()).count() as u32
}

#[test]
fn requests_earn_their_share_and_no_more_than_the_reserve_is_saved() {
    let budget = RetryBudget::default();
    assert_eq!(taken(&budget), RETRIES_RESERVE);
    for _ in 0..24 {
        budget.earn(20);
    }
    assert_eq!(taken(&budget), 4);
    // 4.8 were earned, and the remaining 0.8 counts.
    budget.earn(20);
    assert_eq!(taken(&budget), 1);
    for _ in 0..1000 {
        budget.earn(100);
    }
    assert_eq!(taken(&budget), RETRIES_RESERVE);
}
