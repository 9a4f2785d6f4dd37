use cellway_core::adaptive_limit::{MEASURE_MAX, SAMPLES_MIN};

use super::*;

const SETTINGS: AdaptiveSettings = AdaptiveSettings {
    requests_min: 8,
    tolerance_percent: 50,
    window: Duration::from_millis(250),
    remeasure: Duration::from_secs(60),
};

/// Tells of a window's answers, each after this time, while so many requests wait for theirs.
async fn window(adaptive: &Adaptive, took: Duration, waiting: usize) {
    for _ in 0..waiting {
        adaptive.unanswered().take(waiting, &[]).unwrap();
    }
    for _ in 0..SAMPLES_MIN {
        answer(adaptive, took).await;
    }
    tokio::time::advance(SETTINGS.window).await;
    answer(adaptive, took).await;
    for _ in 0..waiting {
        adaptive.unanswered().give_back([]);
    }
}

async fn answer(adaptive: &Adaptive, took: Duration) {
    let began = Instant::now();
    tokio::time::advance(took).await;
    adaptive.took(&SETTINGS, at(began));
}

fn at(began: Instant) -> Took {
    Took {
        began,
        most: 100,
        gave_up: false,
    }
}

/// Catches: a limit that is not what core says, and one that stays after it was turned off.
#[tokio::test(start_paused = true)]
async fn the_limit_follows_core() {
    let adaptive = Adaptive::default();
    adaptive.follow(None);
    assert_eq!(adaptive.limit(), None);
    adaptive.follow(Some(&SETTINGS));
    assert_eq!(adaptive.limit(), Some(8), "it measures");
    window(&adaptive, Duration::from_millis(10), 8).await;
    assert_eq!(adaptive.limit(), Some(16));
    window(&adaptive, Duration::from_millis(40), 100).await;
    assert_eq!(adaptive.limit(), Some(12), "half, and the root of 16");
    adaptive.follow(Some(&SETTINGS));
    assert_eq!(adaptive.limit(), Some(12));
    adaptive.follow(None);
    assert_eq!(adaptive.limit(), None);
    adaptive.follow(Some(&SETTINGS));
    assert_eq!(adaptive.limit(), Some(8), "it begins anew");
}

/// Catches: answers that were counted before the limit was turned off and count after it was turned
/// on.
#[tokio::test(start_paused = true)]
async fn turning_the_limit_on_forgets_what_was_counted() {
    let adaptive = Adaptive::default();
    adaptive.follow(Some(&SETTINGS));
    for _ in 1..SAMPLES_MIN {
        answer(&adaptive, Duration::from_millis(1)).await;
    }
    adaptive.follow(None);
    adaptive.follow(Some(&SETTINGS));
    tokio::time::advance(SETTINGS.window).await;
    answer(&adaptive, Duration::from_millis(1)).await;
    assert_eq!(adaptive.limit(), Some(8), "one answer is too few");
}

/// Catches: answers to requests that were sent before the measurement and count in it.
#[tokio::test(start_paused = true)]
async fn a_measurement_ignores_earlier_requests() {
    let adaptive = Adaptive::default();
    let early = Instant::now();
    tokio::time::advance(Duration::from_secs(1)).await;
    adaptive.follow(Some(&SETTINGS));
    for _ in 0..100 {
        tokio::time::advance(SETTINGS.window).await;
        adaptive.took(&SETTINGS, at(early));
    }
    assert_eq!(adaptive.limit(), Some(8), "it still measures");
}

/// Catches: waits in vain that don't show that a cell is slow, and short deadlines that make it look
/// quick.
#[tokio::test(start_paused = true)]
async fn only_a_long_wait_in_vain_counts() {
    let adaptive = Adaptive::default();
    adaptive.follow(Some(&SETTINGS));
    window(&adaptive, Duration::from_millis(10), 8).await;
    assert_eq!(adaptive.limit(), Some(16));
    let counted = || {
        let counts = adaptive.counts().iter();
        counts.map(|count| count.load(Relaxed)).sum::<u32>()
    };
    for (waited, counts) in [(1, 0), (40, 1)] {
        let began = Instant::now();
        tokio::time::advance(Duration::from_millis(waited)).await;
        let took = Took {
            gave_up: true,
            ..at(began)
        };
        adaptive.took(&SETTINGS, took);
        assert_eq!(counted(), counts, "{waited} ms");
    }
}

/// Catches: a new measurement during which no request passes, because long polls have all places.
#[tokio::test(start_paused = true)]
async fn requests_that_wait_longer_keep_their_places_beside_a_measurement() {
    const POLLS: usize = 50;
    let adaptive = Adaptive::default();
    adaptive.follow(Some(&SETTINGS));
    let (quick, polls) = (Duration::from_millis(10), Instant::now());
    while adaptive.limit() < Some(POLLS) {
        window(&adaptive, quick, adaptive.limit().unwrap()).await;
    }
    for _ in 0..POLLS {
        adaptive.unanswered().take(POLLS, &[]).unwrap();
    }
    let slow = quick * 2;
    let mut before = 0;
    while adaptive.gives_up.load(Relaxed) == u64::MAX {
        before = adaptive.limit().unwrap();
        for _ in 0..SAMPLES_MIN {
            adaptive
                .peak
                .fetch_max(u32::try_from(before).unwrap(), Relaxed);
            answer(&adaptive, slow).await;
        }
        tokio::time::advance(SETTINGS.window).await;
    }
    assert_eq!(adaptive.limit(), Some(8 + POLLS));
    adaptive.took(&SETTINGS, at(polls));
    assert_eq!(adaptive.limit(), Some(8 + POLLS - 1), "one has ended");
    // No answers come.
    adaptive.follow(Some(&SETTINGS));
    assert_eq!(adaptive.limit(), Some(8 + POLLS - 1));
    tokio::time::advance(MEASURE_MAX).await;
    adaptive.follow(Some(&SETTINGS));
    assert_eq!(adaptive.limit(), Some(before));
}
