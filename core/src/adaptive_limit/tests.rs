//! A simulated cell: it works on some requests at once, and the others wait inside it.

use super::*;

const SETTINGS: AdaptiveSettings = AdaptiveSettings {
    requests_min: 8,
    tolerance_percent: 50,
    window: Duration::from_millis(250),
    remeasure: Duration::from_secs(60),
};
const MOST: u32 = 1000;

/// A cell that serves this many requests at once, each in this time.
struct Cell {
    width: u32,
    time: Duration,
}

struct World {
    limit: AdaptiveLimit,
    now: Mono,
    cell: Cell,
    /// How many requests clients would have open at once.
    load: u32,
}

impl World {
    fn new(load: u32) -> Self {
        let now = Mono::default();
        Self {
            limit: AdaptiveLimit::new(&SETTINGS, now),
            now,
            cell: Cell {
                width: 50,
                time: Duration::from_millis(20),
            },
            load,
        }
    }

    /// One window: each request waits for those before it. Returns the limit.
    fn window(&mut self) -> u32 {
        let open = self.load.min(self.limit.limit());
        let rounds = open.div_ceil(self.cell.width).max(1);
        let took = self.cell.time * rounds;
        let mut samples = Samples::default();
        for _ in 0..open.max(SAMPLES_MIN) {
            samples.add(took);
        }
        self.now = self.now.after(SETTINGS.window);
        let over = self
            .limit
            .handle_window(&SETTINGS, self.now, MOST, (&samples, open));
        assert!(over, "each window has enough answers");
        self.limit.limit()
    }

    fn windows(&mut self, count: u32) -> Vec<u32> {
        (0..count).map(|_| self.window()).collect()
    }
}

/// Catches: a limit that doesn't follow what the cell can do, and one that starves the cell.
#[test]
fn an_overloaded_cell_gets_what_it_can_serve() {
    let mut world = World::new(600);
    world.windows(40);
    let limits = world.windows(100);
    let (least, most) = (limits.iter().min().unwrap(), limits.iter().max().unwrap());
    // Two rounds of its width take twice the base, which is over the tolerance.
    assert!(*least >= 40, "{limits:?}");
    assert!(*most <= 120, "{limits:?}");
}

/// Catches: a limit that holds back a cell that isn't busy, and one that is too far above the use to
/// have an effect.
#[test]
fn a_cell_that_is_quick_is_not_held_back() {
    let mut world = World::new(40);
    world.windows(10);
    let limits = world.windows(1000);
    let (least, most) = (limits.iter().min().unwrap(), limits.iter().max().unwrap());
    assert!(
        (80..=150).contains(least) && *most <= 150,
        "{least} to {most}"
    );
    world.load = 600;
    world.cell.width = 2000;
    let limits = world.windows(10);
    assert!(*limits.last().unwrap() >= 600, "{limits:?}");
    world.load = 10;
    let limits = world.windows(100);
    assert!((20..=40).contains(&limits[99]), "{limits:?}");
}

/// Catches: a limit that stays small after the overload, or after the usual time has changed for good.
#[test]
fn the_limit_grows_again() {
    let mut world = World::new(600);
    world.windows(60);
    world.cell.width = 2000;
    let limits = world.windows(20);
    assert_eq!(*limits.last().unwrap(), MOST, "{limits:?}");

    let mut world = World::new(600);
    world.windows(60);
    // Four times as slow, but with room for all. Only a new measurement finds out.
    world.cell.time = Duration::from_millis(80);
    world.cell.width = 2000;
    let limits = world.windows(20);
    assert!(*limits.last().unwrap() < 20, "{limits:?}");
    let until_measured = 4 * 60;
    let limits = world.windows(until_measured + 40);
    assert_eq!(*limits.last().unwrap(), MOST, "{limits:?}");
    assert_eq!(world.limit.base(), Some(Duration::from_micros(81_919)));
}

/// Catches: a short burst of quick answers that makes the usual time look slow, and a base that never
/// follows a cell that has become quicker.
#[test]
fn only_lasting_quickness_lowers_the_base() {
    let mut world = World::new(40);
    world.windows(10);
    let base = world.limit.base();
    for _ in 0..10 {
        world.cell.time = Duration::from_millis(1);
        world.windows(QUICKER_WINDOWS - 1);
        world.cell.time = Duration::from_millis(20);
        world.window();
        assert_eq!(world.limit.base(), base);
    }
    let limits = world.windows(10);
    assert!(limits.iter().all(|limit| *limit >= 80), "{limits:?}");
    world.cell.time = Duration::from_millis(1);
    world.windows(QUICKER_WINDOWS - 1);
    world.cell.time = Duration::from_millis(2);
    world.window();
    assert_eq!(world.limit.base(), Some(Duration::from_micros(2047)));
}

/// Catches: a base that is measured with the answers to requests that were sent in the overload, and a
/// measurement that never ends.
#[test]
fn measuring_takes_few_requests_and_few_answers() {
    let mut world = World::new(600);
    assert_eq!(world.limit.limit(), SETTINGS.requests_min);
    assert_eq!(world.window(), 2 * SETTINGS.requests_min);
    assert_eq!(world.limit.base(), Some(Duration::from_micros(20_479)));
    let mut measured = 0;
    for _ in 0..1000 {
        let before = world.limit.counts_since();
        world.window();
        if world.limit.counts_since() > before {
            measured += 1;
            assert_eq!(world.limit.counts_since(), world.now);
            assert_eq!(world.limit.limit(), SETTINGS.requests_min);
            let back = world.window();
            assert!(back > SETTINGS.requests_min);
        }
    }
    // 250 seconds, and a measurement each minute.
    assert_eq!(measured, 4);
}

/// Catches: a median of too few answers, and a window that is thrown away for having few.
/// Catches: a measurement that waits for answers which don't come, while the limit is low.
#[test]
fn a_new_measurement_that_takes_too_long_is_given_up() {
    let mut world = World::new(600);
    assert_eq!(
        world.limit.gives_up(),
        None,
        "the first has no limit before it"
    );
    world.windows(60);
    let mut before = world.limit.limit();
    while world.limit.gives_up().is_none() {
        before = world.limit.limit();
        world.window();
    }
    assert_eq!(world.limit.limit(), SETTINGS.requests_min);
    let until = world.now.after(MEASURE_MAX);
    assert_eq!(world.limit.gives_up(), Some(until));
    world.limit.give_up(world.now);
    assert_eq!(
        world.limit.limit(),
        SETTINGS.requests_min,
        "it is too early"
    );
    world.limit.give_up(until);
    assert_eq!(world.limit.limit(), before);
    assert_eq!(world.limit.gives_up(), None);
    assert_eq!(world.limit.base(), Some(Duration::from_micros(20_479)));
}

#[test]
fn few_answers_are_kept() {
    let mut limit = AdaptiveLimit::new(&SETTINGS, Mono::default());
    let now = Mono::default().after(SETTINGS.window);
    let mut samples = Samples::default();
    for _ in 1..SAMPLES_MIN {
        samples.add(Duration::from_millis(1));
        assert!(!limit.handle_window(&SETTINGS, now, MOST, (&samples, 1)));
    }
    samples.add(Duration::from_millis(1));
    let later = now.after(SETTINGS.window);
    assert!(limit.handle_window(&SETTINGS, later, MOST, (&samples, 1)));
}

/// Catches: a bucket that is too wide, out of order or out of range.
#[test]
fn buckets_are_nine_percent_wide() {
    let mut last = 0;
    for micros in [0, 1, 8, 9, 15, 16, 17, 999, 1000, 20_000, 1 << 40, u64::MAX] {
        let bucket = Samples::bucket(Duration::from_micros(micros));
        assert!(bucket >= last);
        last = bucket;
        if (8..1 << 30).contains(&micros) {
            let upper = Samples::micros(bucket);
            assert!(
                upper >= micros && upper - micros <= micros / 8 + 1,
                "{micros}: {upper}"
            );
        }
    }
    assert_eq!(last, Samples::BUCKETS - 1);
}

/// Catches: a configured maximum below the least, and numbers that overflow.
#[test]
fn the_limit_stays_within_its_bounds() {
    for (most, median) in [(0, 1), (1, u64::MAX), (u32::MAX, 1), (u32::MAX, u64::MAX)] {
        let mut limit = AdaptiveLimit::new(&SETTINGS, Mono::default());
        let mut now = Mono::default();
        let mut samples = Samples::default();
        for _ in 0..SAMPLES_MIN {
            samples.add(Duration::from_micros(median));
        }
        for _ in 0..400 {
            now = now.after(SETTINGS.window);
            limit.handle_window(&SETTINGS, now, most, (&samples, u32::MAX));
            assert!(limit.limit() >= 1);
            assert!(limit.limit() <= most.max(SETTINGS.requests_min));
        }
    }
}
