use cellway_core::adaptive_limit::SAMPLES_MIN;

use super::*;

const SETTINGS: AdaptiveSettings = AdaptiveSettings {
    requests_min: 8,
    tolerance_percent: 50,
    window: Duration::from_millis(250),
    remeasure: Duration::from_secs(60),
};

/// Tells of a window's answers, each after this time.
async fn window(adaptive: &Adaptive, took: Duration, in_flight: usize) {
    for _ in 0..SAMPLES_MIN {
        let began = Instant::now();
        tokio::time::advance(took).await;
        adaptive.took(&SETTINGS, at(began, in_flight));
    }
    tokio::time::advance(SETTINGS.window).await;
    let began = Instant::now();
    tokio::time::advance(took).await;
    adaptive.took(&SETTINGS, at(began, in_flight));
}

fn at(began: Instant, in_flight: usize) -> Took {
    Took {
        began,
        most: 100,
        in_flight,
    }
}

/// Catches: a limit that is not what core says, streams that use it up, and one that stays after it was
/// turned off.
#[tokio::test(start_paused = true)]
async fn the_limit_follows_core_and_leaves_streams_alone() {
    let adaptive = Adaptive::default();
    assert_eq!(adaptive.places(None, 100), 100);
    assert_eq!(adaptive.places_now(), NONE);
    assert_eq!(adaptive.places(Some(&SETTINGS), 100), 8, "it measures");
    for _ in 0..30 {
        adaptive.begins();
    }
    assert_eq!(adaptive.places(Some(&SETTINGS), 100), 38);
    window(&adaptive, Duration::from_millis(10), 38).await;
    assert_eq!(adaptive.limit(), Some(16));
    window(&adaptive, Duration::from_millis(40), 130).await;
    assert_eq!(adaptive.limit(), Some(12), "half, and the root of 16");
    for _ in 0..30 {
        adaptive.ends();
    }
    assert_eq!(adaptive.places(Some(&SETTINGS), 100), 12);
    assert_eq!(adaptive.places(None, 100), 100);
    assert_eq!(adaptive.limit(), None);
    assert_eq!(adaptive.places(Some(&SETTINGS), 100), 8, "it begins anew");
}

/// Catches: answers to requests that were sent before the measurement and count in it.
#[tokio::test(start_paused = true)]
async fn a_measurement_ignores_earlier_requests() {
    let adaptive = Adaptive::default();
    let early = Instant::now();
    tokio::time::advance(Duration::from_secs(1)).await;
    adaptive.places(Some(&SETTINGS), 100);
    for _ in 0..100 {
        tokio::time::advance(SETTINGS.window).await;
        adaptive.took(&SETTINGS, at(early, 8));
    }
    assert_eq!(adaptive.limit(), Some(8), "it still measures");
}
