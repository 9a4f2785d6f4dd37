use std::hash::{BuildHasher, RandomState};

use super::*;

const EPOCH: Duration = Duration::from_secs(1_700_000_000);

/// A hash under a fresh thread's `RandomState`, which std seeds by `getrandom`.
fn hash_in_fresh_thread(seed: Option<u64>) -> u64 {
    std::thread::spawn(move || {
        let _guard = seed.map(|seed| simulate(seed, EPOCH));
        RandomState::new().hash_one("key")
    })
    .join()
    .expect("the thread returns a hash")
}

#[test]
fn hash_maps_follow_the_seed_and_only_in_threads_that_opted_in() {
    assert_eq!(hash_in_fresh_thread(Some(1)), hash_in_fresh_thread(Some(1)));
    assert_ne!(hash_in_fresh_thread(Some(1)), hash_in_fresh_thread(Some(2)));
    assert_ne!(hash_in_fresh_thread(None), hash_in_fresh_thread(None));
}

#[test]
fn clocks_stand_still_until_moved_and_run_again_afterwards() {
    let guard = simulate(1, EPOCH);
    let before = Instant::now();
    set_elapsed(Duration::from_millis(1500));
    assert_eq!(before.elapsed(), Duration::from_millis(1500));
    assert_eq!(
        SystemTime::now(),
        UNIX_EPOCH + EPOCH + Duration::from_millis(1500)
    );
    drop(guard);
    assert!(SystemTime::now() > UNIX_EPOCH + EPOCH + Duration::from_secs(3600));
}
