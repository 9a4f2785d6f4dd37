mod fair;
mod model;

use std::sync::Barrier;
use std::sync::atomic::AtomicUsize;

use super::state::SINCE_UNIT_BITS;
use super::*;

const SETTINGS: BreakerSettings = BreakerSettings {
    failures: 3,
    open: Duration::from_secs(5),
};

/// The holder of most requests.
const A: HolderTag = HolderTag::from_bits(0x0a01);
const B: HolderTag = HolderTag::from_bits(0x0b01);
const C: HolderTag = HolderTag::from_bits(0x0c01);

const FAILED: Failed = Failed::Exchange(A);

fn failed(breaker: &Breaker, times: u32) -> Vec<Change> {
    fails(breaker, FAILED, times)
}

fn fails(breaker: &Breaker, what: Failed, times: u32) -> Vec<Change> {
    (0..times)
        .map(|_| breaker.connection_failed(SETTINGS, what))
        .collect()
}

/// The endpoint answers a request of this holder that has just come.
fn answers(breaker: &Breaker, holder: HolderTag) {
    breaker.heard(holder, Instant::now());
    breaker.succeeded();
}

/// A complete request of this holder.
fn of(holder: HolderTag) -> Asker {
    Asker {
        sent: Sent::Whole,
        holder,
    }
}

const WHOLE: Asker = Asker {
    sent: Sent::Whole,
    holder: A,
};

const PART: Asker = Asker {
    sent: Sent::Part,
    holder: A,
};

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
    word(&breaker.pass(WHOLE))
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
        State::failed_once(0),
        State::Suspect {
            row: ROW_MAX,
            by: HolderTag::from_bits(u16::MAX),
            since: (u64::from(u32::MAX)) << SINCE_UNIT_BITS,
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
    assert!(matches!(breaker.pass(WHOLE), Passage::Refused(after) if after == SETTINGS.open));
    tokio::time::advance(SETTINGS.open).await;
    let Passage::Probe(slot) = breaker.pass(WHOLE) else {
        panic!("the time is over")
    };
    assert_eq!(passes(&breaker), "refused", "one at a time");
    slot.failed(SETTINGS, FAILED);
    assert_eq!(passes(&breaker), "refused");
    tokio::time::advance(SETTINGS.open).await;
    let Passage::Probe(slot) = breaker.pass(WHOLE) else {
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
        let passage = breaker.pass(WHOLE);
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
    let upload = |breaker: &Arc<Breaker>| slot(breaker.pass(PART));
    assert!(upload(&breaker).waits_for_client());
    assert_eq!(word(&breaker.pass(PART)), "refused");
    assert!(!breaker.lets_pass(PART) && breaker.lets_pass(WHOLE));
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
        slot(breaker.pass(WHOLE))
    };
    assert!(!breaker.answered_after_all());
    assert!(probe().await.waits_for_client());
    assert!(breaker.answered_after_all());
    let earlier = probe().await;
    assert!(breaker.answered_after_all());
    let later = probe().await;
    assert!(!earlier.failed(SETTINGS, FAILED));
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
    assert!(slot(breaker.pass(WHOLE)).failed(off, FAILED));
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
    let passage = breaker.pass(WHOLE);
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
        assert_eq!(breaker.connection_failed(settings, FAILED), Change::None);
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
    breaker.connection_failed(settings, FAILED);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (breaker, probing, probes, together) = (&breaker, &probing, &probes, &together);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    if round % 64 == 0 {
                        together.wait();
                    }
                    match breaker.pass(WHOLE) {
                        Passage::Probe(slot) => {
                            assert_eq!(probing.fetch_add(1, Ordering::SeqCst), 0);
                            probes.fetch_add(1, Ordering::SeqCst);
                            std::hint::spin_loop();
                            assert_eq!(probing.fetch_sub(1, Ordering::SeqCst), 1);
                            match (thread + round) % 4 {
                                0 => assert!(slot.answered()),
                                1 => assert!(slot.failed(settings, FAILED)),
                                2 => assert!(slot.waits_for_client()),
                                _ => drop(slot),
                            }
                        }
                        Passage::Free | Passage::Suspect => {
                            breaker.connection_failed(settings, FAILED);
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
    let left = breaker.pass(WHOLE);
    assert_ne!(word(&left), "refused", "no place is lost");
}
