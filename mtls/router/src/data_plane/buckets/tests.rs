use std::cell::RefCell;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use cellway_core::rate_limit::{RateLimit, RateLimitSpec};

use super::*;

const BURST: u32 = 3;

/// One token a second.
fn rate() -> Rate {
    let limit = RateLimit::new(RateLimitSpec {
        requests: 1,
        window_secs: None,
        burst: Some(BURST),
    });
    limit.unwrap().shared_by(NonZeroU32::MIN)
}

fn at(millis: u64) -> Moment {
    Mono::from_origin(Duration::from_millis(millis)).into()
}

/// How many of `tries` requests of this key pass.
fn passed(buckets: &Buckets, key: Key, now: Moment, tries: u32) -> u32 {
    (0..tries)
        .filter(|_| buckets.take(key, rate(), now).is_ok())
        .count() as u32
}

/// Keys with different tags, for a table of one set.
fn keys(buckets: &Buckets, count: usize) -> Vec<Key> {
    let mut keys: BTreeMap<u64, Key> = BTreeMap::new();
    for name in 0_u32.. {
        if keys.len() == count {
            break;
        }
        let key = buckets.named(name);
        keys.insert((key.hash >> TIME_BITS).max(1), key);
    }
    keys.into_values().collect()
}

#[test]
fn each_key_has_its_own_bucket() {
    let buckets = Buckets::default();
    for name in 0..1000_u32 {
        assert_eq!(passed(&buckets, buckets.named(name), at(0), 5), BURST);
    }
    for name in 0..1000_u32 {
        assert_eq!(passed(&buckets, buckets.named(name), at(1000), 5), 1);
    }
}

/// Catches: a limit that is raised and has no effect until the old debt is paid.
#[test]
fn a_raised_limit_has_an_effect_at_once() {
    let buckets = Buckets::default();
    let key = buckets.named("acme");
    let rate = |requests, window_secs| {
        let limit = RateLimit::new(RateLimitSpec {
            requests,
            window_secs: Some(window_secs),
            burst: None,
        });
        limit.unwrap().shared_by(NonZeroU32::MIN)
    };
    let (slow, fast) = (rate(1, 3600), rate(10, 1));
    assert!(buckets.take(key, slow, at(0)).is_ok());
    assert!(buckets.take(key, slow, at(0)).is_err());
    // It fills no bucket.
    assert!(buckets.take(key, fast, at(0)).is_err());
    assert!(buckets.take(key, fast, at(1200)).is_ok());
    let passed = (0..20).filter(|_| buckets.take(key, fast, at(5000)).is_ok());
    assert_eq!(passed.count(), 10);
}

/// Catches: a raise that forgives what other keys took from a common bucket.
#[test]
fn the_common_bucket_forgives_nothing() {
    let buckets = Buckets::with_sets(1);
    let keys = keys(&buckets, SLOTS + 2);
    let limit = RateLimit::new(RateLimitSpec {
        requests: 1,
        window_secs: Some(3600),
        burst: None,
    });
    let slow = limit.unwrap().shared_by(NonZeroU32::MIN);
    for key in &keys[..=SLOTS] {
        assert!(buckets.take(*key, slow, at(0)).is_ok());
    }
    assert_eq!(passed(&buckets, keys[SLOTS + 1], at(10_000), 5), 0);
    assert!(buckets.take(keys[SLOTS], slow, at(20_000)).is_err());
}

/// Catches: a flood of other keys takes the slot of an empty bucket, which is then full again.
#[test]
fn no_number_of_other_keys_refills_a_bucket() {
    let buckets = Buckets::with_sets(1);
    let keys = keys(&buckets, 100);
    assert_eq!(passed(&buckets, keys[0], at(0), 5), BURST);
    for key in &keys[1..] {
        passed(&buckets, *key, at(0), 5);
    }
    assert_eq!(passed(&buckets, keys[0], at(0), 5), 0);
    assert_eq!(passed(&buckets, keys[0], at(1000), 5), 1);
}

#[test]
fn keys_without_a_slot_share_one_bucket_and_keep_what_they_took_from_it() {
    let buckets = Buckets::with_sets(1);
    let keys = keys(&buckets, SLOTS + 2);
    let (own, rest) = keys.split_at(SLOTS);
    for key in own {
        assert_eq!(passed(&buckets, *key, at(0), 5), BURST);
    }
    assert_eq!(passed(&buckets, rest[0], at(0), 2), 2);
    assert_eq!(
        passed(&buckets, rest[1], at(0), 2),
        1,
        "one is left for both"
    );
    // All buckets are full again, so both get slots.
    let later = at(4100);
    for key in rest {
        assert_eq!(passed(&buckets, *key, later, 5), BURST);
    }
    let buckets = Buckets::with_sets(1);
    let keys = super::tests::keys(&buckets, SLOTS + 1);
    for key in &keys[1..] {
        assert_eq!(passed(&buckets, *key, at(0), 1), 1);
    }
    assert_eq!(passed(&buckets, keys[0], at(1900), 5), BURST);
    // A slot is free now, and the key must not get three more tokens with it.
    assert_eq!(passed(&buckets, keys[0], at(2100), 5), 0);
    assert_eq!(passed(&buckets, keys[0], at(2900), 5), 1);
}

#[test]
fn a_slot_is_reused_when_its_bucket_is_full_again() {
    let buckets = Buckets::with_sets(1);
    let keys = keys(&buckets, 600);
    let mut now = 0;
    for round in keys.chunks(SLOTS) {
        for key in round {
            assert_eq!(passed(&buckets, *key, at(now), 5), BURST);
        }
        now += 4001 + 1;
    }
}

/// Runs threads one at a time. Before each access to a word it may let another one run.
struct Turns {
    state: Mutex<(Vec<usize>, u64)>,
    changed: Condvar,
}

thread_local! {
    static TURNS: RefCell<Option<(Arc<Turns>, usize)>> = const { RefCell::new(None) };
}

/// Called before each access to a word.
pub(super) fn pause() {
    let turns = TURNS.with_borrow(Clone::clone);
    if let Some((turns, me)) = turns {
        turns.pass(me, false);
    }
}

impl Turns {
    /// Gives the turn to one of the threads, and waits for the next own turn.
    fn pass(&self, me: usize, ends: bool) {
        let mut state = self.state.lock().unwrap();
        let (running, random) = &mut *state;
        if ends {
            running.retain(|other| *other != me);
        }
        // The current one is the first. A linear congruential generator picks the next.
        *random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        if !running.is_empty() {
            let next = (*random >> 33) as usize % running.len();
            running.swap(0, next);
        }
        self.changed.notify_all();
        while !ends && state.0[0] != me {
            state = self.changed.wait(state).unwrap();
        }
    }

    /// Runs these on one thread each, in an order that follows from the seed.
    fn run(seed: u64, threads: Vec<Box<dyn FnOnce() + Send + '_>>) {
        let turns = Arc::new(Self {
            state: Mutex::new(((0..threads.len()).collect(), seed)),
            changed: Condvar::new(),
        });
        std::thread::scope(|scope| {
            for (me, work) in threads.into_iter().enumerate() {
                let turns = turns.clone();
                scope.spawn(move || {
                    TURNS.set(Some((turns.clone(), me)));
                    {
                        let mut state = turns.state.lock().unwrap();
                        while state.0[0] != me {
                            state = turns.changed.wait(state).unwrap();
                        }
                    }
                    work();
                    TURNS.set(None);
                    turns.pass(me, true);
                });
            }
        });
    }
}

/// Catches: two workers give two slots to one key, a key gets a new slot and forgets what it took
/// from the common bucket, or a slot is given away while its owner uses it. Then a key gets more
/// than its limit at one time.
#[test]
fn threads_together_get_no_more_than_the_limit_whatever_their_order() {
    /// The workers' clocks, in milliseconds. One bucket becomes free between the first two.
    const CLOCKS: [u64; 3] = [4000, 4002, 4010];
    for seed in 0..1000_u64 {
        let buckets = Buckets::with_sets(1);
        buckets.key(seed);
        let keys = keys(&buckets, SLOTS + 3);
        let busy = seed as usize % (SLOTS + 1);
        // The first of these buckets is full again at 4001, the others are not.
        for (i, key) in keys[..busy].iter().enumerate() {
            let now = if i == 0 { 2000 } else { 3500 };
            assert_eq!(passed(&buckets, *key, at(now), 1), 1);
        }
        let passes: Vec<_> = keys.iter().map(|_| AtomicU32::new(0)).collect();
        // Two or three keys compete: the one whose bucket is full, and new ones.
        let asked = [0, SLOTS, SLOTS + 1];
        let ask = |i: usize, now, tries| {
            passes[i].fetch_add(passed(&buckets, keys[i], at(now), tries), SeqCst);
        };
        let threads = CLOCKS.iter().enumerate();
        let threads = threads.map(|(thread, now)| -> Box<dyn FnOnce() + Send + '_> {
            Box::new(move || {
                for i in 0..asked.len() {
                    ask(
                        asked[(i + thread * (seed as usize / 7 % 2)) % asked.len()],
                        *now,
                        2,
                    );
                }
            })
        });
        Turns::run(seed, threads.collect());
        for i in asked {
            ask(i, CLOCKS[2], 4);
            let passed = passes[i].load(SeqCst);
            assert!(passed <= BURST, "seed {seed}, key {i}: {passed}");
        }
    }
}

#[test]
fn keys_of_different_seeds_differ() {
    let of = |seed| {
        let buckets = Buckets::default();
        buckets.key(seed);
        buckets.named("acme")
    };
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

#[test]
fn an_intent_survives_its_word() {
    for (tag, at, full_at) in [(1, 0, 0), (u64::MAX >> TIME_BITS, 7, EXPECTED_MAX)] {
        let intent = Intent::of(Intent { tag, at, full_at }.word()).unwrap();
        assert_eq!((intent.tag, intent.at, intent.full_at), (tag, at, full_at));
    }
    let first = Set::default().intent.load();
    assert!(Intent::of(first).is_none());
    for at in 0..SLOTS {
        let done = Intent {
            tag: 0,
            at,
            full_at: 0,
        };
        assert_ne!(done.word(), first, "no word occurs twice");
    }
}
