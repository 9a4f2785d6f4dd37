use std::sync::Barrier;
use std::sync::atomic::AtomicUsize;

use proptest::prelude::*;

use super::*;

const SETTINGS: BreakerSettings = BreakerSettings {
    failures: 3,
    open: Duration::from_secs(5),
};

fn failed(breaker: &Breaker, times: u32) -> Vec<Change> {
    (0..times)
        .map(|_| breaker.connection_failed(SETTINGS))
        .collect()
}

fn word(passage: &Passage) -> &'static str {
    match passage {
        Passage::Free => "free",
        Passage::Suspect => "suspect",
        Passage::Probe(_) => "probe",
        Passage::Refused(_) => "refused",
    }
}

fn slot(passage: Passage) -> ProbeSlot {
    match passage {
        Passage::Probe(slot) => slot,
        Passage::Free | Passage::Suspect | Passage::Refused(_) => panic!("it is no probe"),
    }
}

fn passes(breaker: &Arc<Breaker>) -> &'static str {
    word(&breaker.pass(Sent::Whole))
}

#[test]
fn every_state_fits_into_the_word() {
    for state in [
        State::Closed,
        State::HalfOpen { probe: 0 },
        State::HalfOpen { probe: ROW_MAX },
        State::Open {
            until: 0,
            only_uploads: false,
        },
        State::Open {
            until: MILLIS_MAX,
            only_uploads: true,
        },
        State::Suspect { row: 0, since: 0 },
        State::Suspect {
            row: ROW_MAX,
            since: MILLIS_MAX,
        },
    ] {
        assert_eq!(State::unpack(state.pack()), state);
    }
}

#[tokio::test(start_paused = true)]
async fn opens_after_a_row_of_failures_and_closes_after_a_good_probe() {
    let breaker = Arc::new(Breaker::default());
    assert_eq!(passes(&breaker), "free");
    assert_eq!(
        failed(&breaker, 3),
        [Change::None, Change::None, Change::Opened]
    );
    assert!(matches!(breaker.pass(Sent::Whole), Passage::Refused(after) if after == SETTINGS.open));
    tokio::time::advance(SETTINGS.open).await;
    let Passage::Probe(slot) = breaker.pass(Sent::Whole) else {
        panic!("the time is over")
    };
    assert_eq!(passes(&breaker), "refused", "one at a time");
    slot.failed(SETTINGS);
    assert_eq!(passes(&breaker), "refused");
    tokio::time::advance(SETTINGS.open).await;
    let Passage::Probe(slot) = breaker.pass(Sent::Whole) else {
        panic!("the time is over")
    };
    slot.answered();
    assert_eq!(passes(&breaker), "free");
}

/// Catches: a probe whose client went away and that keeps the endpoint shut for ever.
#[tokio::test(start_paused = true)]
async fn a_probe_without_an_outcome_frees_its_place() {
    let breaker = Arc::new(Breaker::default());
    failed(&breaker, 3);
    tokio::time::advance(SETTINGS.open).await;
    for _ in 0..3 {
        let passage = breaker.pass(Sent::Whole);
        assert_eq!(word(&passage), "probe");
        drop(passage);
    }
}

/// Catches: uploads that hand the place on among themselves, and an endpoint that only serves uploads and
/// never gets one.
#[tokio::test(start_paused = true)]
async fn after_an_upload_only_complete_requests_pass_for_a_while() {
    let breaker = Arc::new(Breaker::default());
    failed(&breaker, 3);
    tokio::time::advance(SETTINGS.open).await;
    let upload = |breaker: &Arc<Breaker>| slot(breaker.pass(Sent::Part));
    assert!(upload(&breaker).waits_for_client());
    assert_eq!(word(&breaker.pass(Sent::Part)), "refused");
    assert!(!breaker.lets_pass(Sent::Part) && breaker.lets_pass(Sent::Whole));
    assert_eq!(passes(&breaker), "probe");
    assert!(upload(&breaker).waits_for_client());
    tokio::time::advance(UPLOAD_PROBES).await;
    assert!(upload(&breaker).freed());
}

/// Catches: an answer that is forgotten because its request gave up its place, and a request that ends a
/// later one's place.
#[tokio::test(start_paused = true)]
async fn a_late_answer_closes_it() {
    let breaker = Arc::new(Breaker::default());
    let probe = async || {
        failed(&breaker, 3);
        tokio::time::advance(SETTINGS.open).await;
        slot(breaker.pass(Sent::Whole))
    };
    assert!(!breaker.answered_after_all());
    assert!(probe().await.waits_for_client());
    assert!(breaker.answered_after_all());
    let earlier = probe().await;
    assert!(breaker.answered_after_all());
    let later = probe().await;
    assert!(!earlier.failed(SETTINGS));
    assert_eq!(passes(&breaker), "refused", "the later one has the place");
    assert!(later.answered());
    assert_eq!(passes(&breaker), "free");
}

/// Catches: a breaker that was open when it was turned off, and that stays open.
#[tokio::test(start_paused = true)]
async fn a_failed_probe_closes_a_breaker_that_is_turned_off() {
    let breaker = Arc::new(Breaker::default());
    failed(&breaker, 3);
    tokio::time::advance(SETTINGS.open).await;
    let off = BreakerSettings {
        failures: 0,
        ..SETTINGS
    };
    assert!(slot(breaker.pass(Sent::Whole)).failed(off));
    assert_eq!(passes(&breaker), "free");
}

/// Catches: a request from before the breaker opened that closes it, or that counts as its probe.
#[tokio::test(start_paused = true)]
async fn earlier_requests_say_nothing_about_an_open_breaker() {
    let breaker = Arc::new(Breaker::default());
    failed(&breaker, 3);
    assert_eq!(breaker.succeeded(), Change::None);
    breaker.answer_failed();
    assert_eq!(passes(&breaker), "refused");
    tokio::time::advance(SETTINGS.open).await;
    let passage = breaker.pass(Sent::Whole);
    assert_eq!(word(&passage), "probe");
    assert_eq!(breaker.succeeded(), Change::None);
    assert_eq!(failed(&breaker, 9), [Change::None; 9]);
    breaker.answer_failed();
    assert_eq!(passes(&breaker), "refused");
    drop(passage);
}

#[tokio::test(start_paused = true)]
async fn answers_end_the_row() {
    let breaker = Arc::new(Breaker::default());
    failed(&breaker, 2);
    breaker.answer_failed();
    assert_eq!(failed(&breaker, 2), [Change::None; 2]);
    assert_eq!(breaker.succeeded(), Change::Cleared);
    assert_eq!(breaker.succeeded(), Change::None, "told once");
    assert_eq!(failed(&breaker, 2), [Change::None; 2]);
    assert!(!breaker.is_open());
}

#[tokio::test(start_paused = true)]
async fn one_request_in_a_while_tries_a_suspect_endpoint() {
    let breaker = Arc::new(Breaker::default());
    failed(&breaker, 1);
    assert_eq!(passes(&breaker), "suspect");
    tokio::time::advance(SUSPECT).await;
    assert_eq!([passes(&breaker), passes(&breaker)], ["free", "suspect"]);
    tokio::time::advance(SUSPECT).await;
    assert_eq!(passes(&breaker), "free");
    breaker.succeeded();
    assert_eq!([passes(&breaker), passes(&breaker)], ["free", "free"]);
}

#[test]
fn without_a_limit_it_never_opens() {
    let breaker = Arc::new(Breaker::default());
    let settings = BreakerSettings {
        failures: 0,
        ..SETTINGS
    };
    for _ in 0..20_000 {
        assert_eq!(breaker.connection_failed(settings), Change::None);
    }
    assert!(!breaker.is_open());
}

/// Many threads ask at the same moment, round after round, while others report outcomes of old
/// requests. Catches: two probes that pass at the same time.
#[test]
fn never_do_two_probes_pass_at_once() {
    const THREADS: usize = 8;
    const ROUNDS: usize = 4_000;
    let settings = BreakerSettings {
        failures: 1,
        open: Duration::ZERO,
    };
    let breaker = Arc::new(Breaker::default());
    let (probing, probes) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let together = Barrier::new(THREADS);
    breaker.connection_failed(settings);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (breaker, probing, probes, together) = (&breaker, &probing, &probes, &together);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    if round % 64 == 0 {
                        together.wait();
                    }
                    match breaker.pass(Sent::Whole) {
                        Passage::Probe(slot) => {
                            assert_eq!(probing.fetch_add(1, Ordering::SeqCst), 0);
                            probes.fetch_add(1, Ordering::SeqCst);
                            std::hint::spin_loop();
                            assert_eq!(probing.fetch_sub(1, Ordering::SeqCst), 1);
                            match (thread + round) % 4 {
                                0 => assert!(slot.answered()),
                                1 => assert!(slot.failed(settings)),
                                2 => assert!(slot.waits_for_client()),
                                _ => drop(slot),
                            }
                        }
                        Passage::Free | Passage::Suspect => {
                            breaker.connection_failed(settings);
                        }
                        Passage::Refused(_) => {
                            breaker.succeeded();
                            breaker.answer_failed();
                        }
                    }
                }
            });
        }
    });
    assert!(probes.load(Ordering::SeqCst) > 0);
    let left = breaker.pass(Sent::Whole);
    assert_ne!(word(&left), "refused", "no place is lost");
}

/// What a random sequence does.
#[derive(Clone, Copy, Debug)]
enum Step {
    Pass,
    Fail,
    AnswerFail,
    Succeed,
    ProbeAnswers,
    ProbeFails,
    ProbeGoes,
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Pass),
        4 => Just(Step::Fail),
        1 => Just(Step::AnswerFail),
        1 => Just(Step::Succeed),
        1 => Just(Step::ProbeAnswers),
        1 => Just(Step::ProbeFails),
        1 => Just(Step::ProbeGoes),
        2 => (0..7_u64).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..80)
}

proptest! {
    /// Catches: a passage through an open breaker, an early or a second probe, and one that is
    /// missing.
    #[test]
    fn passages_follow_the_model(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let breaker = Arc::new(Breaker::default());
            // The model: failures in a row, until when it is open, and the probe on its way.
            let (mut row, mut open, mut probe) = (0, None, None);
            let mut now = 0;
            for step in steps {
                match step {
                    Step::Pass => {
                        let passage = breaker.pass(Sent::Whole);
                        let expected = match open {
                            Some(_) if probe.is_some() => "refused",
                            Some(until) if now < until => "refused",
                            Some(_) => "probe",
                            None => "passes",
                        };
                        let got = match word(&passage) {
                            "free" | "suspect" => "passes",
                            other => other,
                        };
                        assert_eq!(got, expected, "at {now}");
                        if let Passage::Probe(slot) = passage {
                            probe = Some(slot);
                        }
                    }
                    Step::Fail => {
                        breaker.connection_failed(SETTINGS);
                        if open.is_none() {
                            row += 1;
                            if row == 3 {
                                (row, open) = (0, Some(now + 5));
                            }
                        }
                    }
                    Step::AnswerFail => {
                        breaker.answer_failed();
                        row = 0;
                    }
                    Step::Succeed => {
                        breaker.succeeded();
                        row = 0;
                    }
                    Step::ProbeAnswers => {
                        if let Some(slot) = probe.take() {
                            slot.answered();
                            open = None;
                        }
                    }
                    Step::ProbeFails => {
                        if let Some(slot) = probe.take() {
                            slot.failed(SETTINGS);
                            open = Some(now + 5);
                        }
                    }
                    Step::ProbeGoes => {
                        if probe.take().is_some() {
                            open = Some(now);
                        }
                    }
                    Step::Wait(secs) => {
                        tokio::time::advance(Duration::from_secs(secs)).await;
                        now += secs;
                    }
                }
            }
        });
    }
}
