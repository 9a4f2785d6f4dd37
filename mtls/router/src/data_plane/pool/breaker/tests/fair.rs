//! One holder must not take the endpoint from all others.

use super::*;

/// Catches: twelve requests of one holder that hang, time out together, and open the breaker for another one
/// that is answered all the time.
#[tokio::test(start_paused = true)]
async fn one_holder_does_not_open_it_while_others_are_answered() {
    let breaker = Arc::new(Breaker::default());
    answers(&breaker, B);
    answers(&breaker, A);
    tokio::time::advance(BREAKER_HEARD).await;
    assert_eq!(failed(&breaker, 12), [Change::None; 12]);
    assert!(!breaker.is_open());
    // The answer is too old now.
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(failed(&breaker, 1), [Change::Opened]);
}

/// Catches: a breaker that stays closed because of the failing holder's own answers.
#[tokio::test(start_paused = true)]
async fn a_holder_without_others_opens_it() {
    let breaker = Arc::new(Breaker::default());
    answers(&breaker, A);
    assert_eq!(failed(&breaker, 3)[2], Change::Opened);
}

/// Catches: a dead endpoint whose breaker stays closed because it answered two holders before, or because one
/// of them fails more often.
#[tokio::test(start_paused = true)]
async fn failures_of_two_holders_open_it() {
    for (first, then) in [(1, 2), (2, 1), (12, 1)] {
        let breaker = Arc::new(Breaker::default());
        answers(&breaker, A);
        answers(&breaker, B);
        assert!(!failed(&breaker, first).contains(&Change::Opened));
        let last = fails(&breaker, Failed::Exchange(B), then).pop();
        assert_eq!(last, Some(Change::Opened), "{first} and {then}");
    }
}

/// Catches: an endpoint that refuses connections, and requests of one holder that wait for it.
#[tokio::test(start_paused = true)]
async fn attempts_to_connect_are_of_nobody() {
    for (connections, exchanges) in [(3, 0), (1, 2)] {
        let breaker = Arc::new(Breaker::default());
        answers(&breaker, B);
        let mut changes = fails(&breaker, Failed::Connection, connections);
        changes.extend(failed(&breaker, exchanges));
        assert_eq!(changes[2], Change::Opened);
    }
    let breaker = Arc::new(Breaker::default());
    answers(&breaker, B);
    failed(&breaker, 2);
    let last = fails(&breaker, Failed::Connection, 1);
    assert_eq!(last, [Change::Opened]);
}

/// Catches: a row that still belongs to its first holder after an answer has ended it.
#[tokio::test(start_paused = true)]
async fn the_next_row_may_be_of_another_holder() {
    let breaker = Arc::new(Breaker::default());
    fails(&breaker, Failed::Exchange(B), 2);
    answers(&breaker, B);
    failed(&breaker, 2);
    breaker.heard(B, Instant::now());
    breaker.answer_failed();
    assert_eq!(failed(&breaker, 12), [Change::None; 12]);
    fails(&breaker, Failed::Exchange(C), 1);
    assert!(breaker.is_open());
}

/// Opens it by failures of A.
async fn opened_by_a() -> Arc<Breaker> {
    let breaker = Arc::new(Breaker::default());
    failed(&breaker, 3);
    assert!(breaker.is_open());
    breaker
}

fn asks(breaker: &Arc<Breaker>, holder: HolderTag) -> &'static str {
    word(&breaker.pass(of(holder)))
}

/// Catches: a breaker that opened because of one holder, and whose probe is always that one's.
#[tokio::test(start_paused = true)]
async fn others_go_first_after_a_holder_has_opened_it() {
    let breaker = opened_by_a().await;
    assert_eq!(asks(&breaker, B), "refused");
    tokio::time::advance(SETTINGS.open).await;
    assert!(matches!(breaker.pass(WHOLE), Passage::Refused(after) if after == SETTINGS.open));
    assert!(!breaker.lets_pass(WHOLE) && breaker.lets_pass(of(B)));
    assert!(slot(breaker.pass(of(B))).answered());
    assert_eq!([asks(&breaker, A), asks(&breaker, B)], ["free", "free"]);
}

/// Catches: a holder that is held back for others that have gone away, or that never were there.
#[tokio::test(start_paused = true)]
async fn others_go_first_for_a_bounded_time() {
    let breaker = opened_by_a().await;
    asks(&breaker, B);
    tokio::time::advance(SETTINGS.open * 2).await;
    assert!(slot(breaker.pass(WHOLE)).failed(SETTINGS, FAILED));
    tokio::time::advance(SETTINGS.open).await;
    assert_eq!(asks(&breaker, A), "probe", "nobody else has asked since");
}

#[tokio::test(start_paused = true)]
async fn a_holder_without_others_is_not_held_back() {
    let breaker = opened_by_a().await;
    for _ in 0..3 {
        assert_eq!(asks(&breaker, A), "refused");
        tokio::time::advance(SETTINGS.open).await;
        let probe = slot(breaker.pass(WHOLE));
        assert_eq!(asks(&breaker, A), "refused");
        assert!(probe.failed(SETTINGS, FAILED));
    }
}

/// Catches: others that ask only while the probe hangs, and so never get the place.
#[tokio::test(start_paused = true)]
async fn others_that_ask_during_a_probe_go_first_after_it() {
    for ends in ["fails", "is freed", "waits for its client"] {
        let breaker = opened_by_a().await;
        tokio::time::advance(SETTINGS.open).await;
        let probe = slot(breaker.pass(WHOLE));
        assert_eq!(asks(&breaker, B), "refused");
        match ends {
            "fails" => {
                assert!(probe.failed(SETTINGS, FAILED));
                tokio::time::advance(SETTINGS.open).await;
            }
            "is freed" => drop(probe),
            _ => assert!(probe.waits_for_client()),
        }
        assert_eq!(asks(&breaker, A), "refused", "it {ends}");
        assert_eq!(asks(&breaker, B), "probe", "it {ends}");
    }
}

/// Catches: a holder that is held back because the endpoint couldn't be reached.
#[tokio::test(start_paused = true)]
async fn nobody_is_held_back_after_failures_to_connect() {
    let breaker = Arc::new(Breaker::default());
    fails(&breaker, Failed::Connection, 3);
    for _ in 0..2 {
        assert_eq!([asks(&breaker, A), asks(&breaker, B)], ["refused"; 2]);
        tokio::time::advance(SETTINGS.open).await;
        let probe = slot(breaker.pass(WHOLE));
        assert_eq!(asks(&breaker, B), "refused");
        assert!(probe.failed(SETTINGS, Failed::Connection));
    }
}

/// Two holders whose requests both fail take turns.
#[tokio::test(start_paused = true)]
async fn failing_holders_take_turns() {
    let breaker = opened_by_a().await;
    for holder in [B, A, B, A] {
        asks(&breaker, A);
        asks(&breaker, B);
        tokio::time::advance(SETTINGS.open).await;
        let other = if holder == A { B } else { A };
        assert_eq!(asks(&breaker, other), "refused");
        let probe = slot(breaker.pass(of(holder)));
        assert!(probe.failed(SETTINGS, Failed::Exchange(holder)));
    }
}

/// One worker's requests fail while others answer, on threads. Catches: a worker that doesn't know what the
/// others have heard.
#[test]
fn all_workers_know_whom_the_endpoint_answers() {
    const ROUNDS: usize = 20_000;
    let breaker = Breaker::default();
    answers(&breaker, B);
    std::thread::scope(|scope| {
        for holder in [B, C] {
            let breaker = &breaker;
            scope.spawn(move || (0..ROUNDS).for_each(|_| breaker.heard(holder, Instant::now())));
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    breaker.heard(A, Instant::now());
                    assert_eq!(breaker.connection_failed(SETTINGS, FAILED), Change::None);
                }
            });
        }
    });
    assert!(!breaker.is_open());
}
