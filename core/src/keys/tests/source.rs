use std::time::Duration;

use bytes::Bytes;

use crate::keys::jwks::Candidates;
use crate::keys::{
    Algorithm, JwksError, JwksErrorReason, JwksFetchError, KeyAction, KeyNotice, KeySource,
    KeyState, KeyTiming, KeyWake, Miss, RestoreError,
};
use crate::testing::{START, Signer, at, jwks};
use crate::time::Unix;

const TIMING: KeyTiming = KeyTiming {
    fresh: Duration::from_secs(600),
    stale_max: Duration::from_secs(3600),
    cooldown: Duration::from_secs(30),
    wait_max: Duration::from_secs(5),
    retry_min: Duration::from_secs(2),
    retry_max: Duration::from_secs(60),
};

/// A source with an issuer that answers when the test says so.
struct World {
    source: KeySource,
    /// The fetches asked for: when, and whether an unknown key forced them.
    fetches: Vec<(u64, bool)>,
    others: Vec<KeyAction>,
}

impl World {
    fn new() -> Self {
        let source = KeySource::new(vec![Algorithm::EdDSA], TIMING, at(0).mono, 7);
        let mut world = Self {
            source,
            fetches: Vec::new(),
            others: Vec::new(),
        };
        world.pass(0..=0);
        world
    }

    /// A source that fetched these keys at 0.
    fn with(kids: &[&str]) -> Self {
        let mut world = Self::new();
        world.answer(0, Ok(document(kids)));
        world.fetches.clear();
        world.others.clear();
        world
    }

    fn drain(&mut self, now: u64) {
        while let Some(action) = self.source.poll_output() {
            match action {
                KeyAction::Fetch { forced } => self.fetches.push((now, forced)),
                other => self.others.push(other),
            }
        }
    }

    fn answer(&mut self, now: u64, result: Result<Bytes, JwksFetchError>) {
        self.source.handle_fetched(at(now), result);
        self.drain(now);
    }

    fn unknown(&mut self, now: u64, kid: &str) {
        self.source.handle_unknown_kid(at(now).mono, Some(kid));
        self.drain(now);
    }

    /// Lets time pass second by second, as a driver that wakes too often would.
    fn pass(&mut self, seconds: std::ops::RangeInclusive<u64>) {
        for now in seconds {
            self.source.handle_timeout(at(now).mono);
            self.drain(now);
        }
    }

    fn find(&self, now: u64, kid: &str, waited: bool) -> Result<(), Miss> {
        let found = self
            .source
            .view()
            .find(at(now).mono, Some(kid), Algorithm::EdDSA, waited);
        found.map(|_: Candidates<'_>| ())
    }

    fn notices(&mut self) -> Vec<KeyNotice> {
        let notice = |action| match action {
            KeyAction::Notice(notice) => Some(notice),
            _ => None,
        };
        self.others.drain(..).filter_map(notice).collect()
    }

    fn state(&self, now: u64) -> KeyState {
        self.source.view().state(at(now).mono)
    }
}

fn document(kids: &[&str]) -> Bytes {
    let key = |(seed, kid): (u8, &&str)| Signer::ed25519(seed).jwk(kid);
    jwks(&(1..).zip(kids).map(key).collect::<Vec<_>>())
}

fn wait(until: u64) -> Result<(), Miss> {
    Err(Miss::Wait(at(until).mono))
}

#[test]
fn a_new_source_asks_at_once_and_again_before_its_keys_age() {
    let mut world = World::new();
    assert_eq!(world.fetches, [(0, false)]);
    assert_eq!(world.state(0), KeyState::Empty);
    assert_eq!(world.source.poll_timeout(), None, "the fetch is awaited");

    world.answer(1, Ok(document(&["a"])));
    assert_eq!(world.state(1), KeyState::Fresh);
    assert_eq!(world.find(1, "a", false), Ok(()));
    let saved = KeyAction::Save {
        body: document(&["a"]),
        fetched_at: Unix::from_secs(START + 1),
    };
    assert!(world.others.contains(&saved));
    let (due, KeyWake::Refresh) = world.source.poll_timeout().unwrap() else {
        panic!("only a refresh is ahead");
    };
    let early = due.since(at(1).mono);
    assert!(
        early >= TIMING.fresh * 3 / 4 && early <= TIMING.fresh * 9 / 10,
        "{early:?}"
    );
    world.pass(2..=601);
    assert_eq!(world.fetches.len(), 2);
}

#[test]
fn keys_that_cannot_be_refreshed_expire() {
    let mut world = World::with(&["a"]);
    let mut fetches = 0;
    for now in 1..=4200 {
        world.pass(now..=now);
        if world.fetches.len() > fetches {
            fetches = world.fetches.len();
            world.answer(now, Err(JwksFetchError::Timeout));
        }
        let (state, usable) = match now {
            ..600 => (KeyState::Fresh, Ok(())),
            600..4200 => (KeyState::Stale, Ok(())),
            _ => (KeyState::Expired, Err(Miss::NoKeys)),
        };
        assert_eq!(
            (world.state(now), world.find(now, "a", true)),
            (state, usable),
            "{now}"
        );
    }
    let retries = world.fetches.windows(2).map(|pair| pair[1].0 - pair[0].0);
    let retries: Vec<u64> = retries.collect();
    assert!(
        retries[0] <= 3 && retries[1] <= 5,
        "soon at first: {retries:?}"
    );
    assert!(
        retries.iter().all(|delay| *delay <= 76),
        "never much later than the bound"
    );
    assert!(retries.len() < 100, "and not often: {}", retries.len());
}

#[test]
fn a_bad_answer_never_replaces_a_good_set() {
    use JwksErrorReason::*;
    let refused = |reason, detail| KeyNotice::Refused(JwksError::new(reason, detail));
    let mut world = World::with(&["a"]);
    let generation = world.source.view().generation;
    for (bad, expected) in [
        (
            Err(JwksFetchError::Status(500)),
            KeyNotice::Failed(JwksFetchError::Status(500)),
        ),
        (
            Ok(Bytes::new()),
            refused(Malformed, "empty; expected {\"keys\": [...]}"),
        ),
        (
            Ok(jwks(&[])),
            refused(
                NoUsableKey,
                "no key is usable for EdDSA: there are no entries",
            ),
        ),
        (
            Ok(Bytes::from(vec![b' '; 1 << 21])),
            refused(Oversized, "2097152 bytes; at most 1048576 are read"),
        ),
    ] {
        let epoch = world.source.view().epoch;
        world.answer(10, bad);
        assert_eq!(world.notices(), [expected]);
        let view = world.source.view();
        assert_eq!((view.epoch, view.generation), (epoch + 1, generation));
        assert!(view.last_failed);
        assert_eq!(world.find(10, "a", false), Ok(()));
    }
}

#[test]
fn a_new_set_without_a_key_withdraws_it() {
    let mut world = World::with(&["a", "b"]);
    world.answer(10, Ok(document(&["a"])));
    assert_eq!(world.find(10, "a", false), Ok(()));
    assert_eq!(world.find(10, "b", false), wait(15));
    let view = world.source.view();
    assert_eq!((view.epoch, view.generation), (2, 2));

    world.answer(20, Ok(document(&["a"])));
    let view = world.source.view();
    assert_eq!(
        (view.epoch, view.generation),
        (3, 2),
        "the content is the same"
    );
}

#[test]
fn an_unknown_key_is_fetched_while_the_request_waits() {
    let mut world = World::with(&["a"]);
    assert_eq!(world.find(100, "b", false), wait(105));
    world.unknown(100, "b");
    world.unknown(100, "b");
    assert_eq!(world.fetches, [(100, true)]);
    assert_eq!(
        world.find(101, "c", false),
        wait(106),
        "shared by all waiters"
    );
    assert_eq!(
        world.find(105, "b", true),
        Err(Miss::NotRefreshed),
        "the answer is late"
    );

    world.answer(105, Ok(document(&["a", "b"])));
    assert_eq!(world.find(105, "b", true), Ok(()));
}

#[test]
fn a_key_that_a_fetch_did_not_bring_is_refused_for_a_cooldown() {
    let mut world = World::with(&["a"]);
    world.unknown(100, "b");
    world.answer(101, Ok(document(&["a"])));
    assert_eq!(world.find(101, "b", true), Err(Miss::NoMatchingKey));
    assert_eq!(
        world.find(128, "b", false),
        Err(Miss::NoMatchingKey),
        "without a wait"
    );
    world.unknown(128, "b");
    world.pass(128..=131);
    assert_eq!(world.fetches.len(), 1, "nor another fetch");

    assert_eq!(
        world.find(131, "b", false),
        wait(136),
        "it may have been published by now"
    );
    world.unknown(131, "b");
    world.answer(131, Ok(document(&["a", "b"])));
    assert_eq!(world.find(131, "b", true), Ok(()));
}

#[test]
fn the_same_keys_written_otherwise_change_nothing() {
    let mut world = World::with(&["a", "b"]);
    world.unknown(100, "c");
    world.answer(100, Ok(document(&["a", "b"])));
    let before = world.source.view().generation;
    let digest = *world.source.view().set.as_ref().unwrap().digest();
    world.notices();
    let [a, b] = [1, 2].map(Signer::ed25519);
    let other = jwks(&[
        b.jwk("b"),
        serde_json::json!({"kty": "oct", "kid": "c", "k": "AAAA"}),
        a.jwk("a"),
    ]);
    world.answer(101, Ok(other));
    let view = world.source.view();
    assert_eq!(view.generation, before);
    assert_eq!(
        view.set.as_ref().unwrap().digest(),
        &digest,
        "the memo stays warm"
    );
    assert_eq!(world.find(102, "c", false), Err(Miss::NoMatchingKey));
    let [
        KeyNotice::Fetched {
            keys,
            skipped,
            changed,
        },
    ] = &world.notices()[..]
    else {
        panic!("one fetch, one notice");
    };
    assert_eq!((*keys, *changed), (2, false));
    assert_eq!(skipped[0].kid.as_deref(), Some("c"));
    assert_eq!(skipped[0].why, "of type \"oct\"");
}

#[test]
fn a_new_set_clears_the_absent_keys() {
    let mut world = World::with(&["a"]);
    world.unknown(100, "b");
    world.answer(100, Ok(document(&["a"])));
    assert_eq!(world.find(101, "b", false), Err(Miss::NoMatchingKey));
    world.answer(102, Ok(document(&["a", "b"])));
    assert_eq!(world.find(102, "b", false), Ok(()));
    assert!(world.source.view().absent.is_empty());
}

#[test]
fn an_unknown_key_is_unavailable_while_the_refresh_fails() {
    let mut world = World::with(&["a"]);
    world.unknown(100, "b");
    world.answer(100, Err(JwksFetchError::Unreachable));
    assert_eq!(world.find(100, "b", true), Err(Miss::NotRefreshed));
    assert_eq!(
        world.find(101, "c", false),
        Err(Miss::Wait(at(101).mono)),
        "no use to wait"
    );
    world.pass(101..=200);
    assert_eq!(
        world.fetches,
        [(100, true), (130, true)],
        "it counts against the cooldown"
    );
}

#[test]
fn a_flood_of_unknown_keys_causes_one_fetch_per_cooldown() {
    let mut world = World::with(&["a"]);
    let mut published = document(&["a"]);
    for now in 100..=400 {
        if now == 215 {
            published = document(&["a", "real"]);
        }
        for n in 0..200 {
            let kid = format!("made-up-{now}-{n}");
            if let Err(Miss::Wait(_)) = world.find(now, &kid, false) {
                world.unknown(now, &kid);
            }
        }
        if let Err(Miss::Wait(_)) = world.find(now, "real", false) {
            world.unknown(now, "real");
        }
        let before = world.fetches.len();
        world.pass(now..=now);
        assert_eq!(
            world.fetches.len(),
            before,
            "nothing is due that wasn't asked for"
        );
        if world.source.poll_timeout().is_none() {
            world.answer(now, Ok(published.clone()));
        }
        let (wanted, absent) = (world.source.wanted_len(), world.source.view().absent.len());
        assert!(wanted <= KeySource::WANTED_MAX && absent <= KeySource::ABSENT_MAX);
        if now >= 215 + 30 {
            assert_eq!(
                world.find(now, "real", false),
                Ok(()),
                "cooldown and one fetch: {now}"
            );
        }
    }
    let forced: Vec<u64> = world.fetches.iter().map(|(now, _)| *now).collect();
    assert_eq!(forced.len(), 11, "{forced:?}");
    assert!(
        forced.windows(2).all(|pair| pair[1] - pair[0] >= 30),
        "{forced:?}"
    );
}

#[test]
fn a_wanted_key_is_fetched_as_soon_as_the_cooldown_ends() {
    let mut world = World::with(&["a"]);
    world.unknown(100, "b");
    world.answer(100, Ok(document(&["a"])));
    assert_eq!(
        world.find(110, "c", false),
        Err(Miss::Wait(at(110).mono)),
        "too far to wait"
    );
    world.unknown(110, "c");
    assert_eq!(world.find(110, "c", true), Err(Miss::NoMatchingKey));
    assert_eq!(
        world.source.poll_timeout(),
        Some((at(130).mono, KeyWake::Cooldown))
    );
    assert_eq!(
        world.find(127, "c", false),
        Err(Miss::Wait(at(127).mono)),
        "the wait would end as the fetch begins"
    );
    assert_eq!(
        world.find(128, "c", false),
        wait(133),
        "near enough to wait"
    );
    world.pass(111..=140);
    assert_eq!(world.fetches, [(100, true), (130, true)]);
}

#[test]
fn a_request_waits_for_keys_only_if_a_fetch_may_help() {
    let mut world = World::new();
    assert_eq!(world.find(0, "a", false), wait(5));
    assert_eq!(world.find(5, "a", true), Err(Miss::NoKeys));
    world.unknown(0, "a");
    assert_eq!(world.fetches.len(), 1, "the first fetch will tell");

    world.answer(0, Err(JwksFetchError::Unreachable));
    let (due, _) = world.source.poll_timeout().unwrap();
    assert!(due <= at(3).mono, "the first retry is near: {due:?}");
    assert_eq!(world.find(0, "a", false), wait(5));

    let mut answered = 1;
    for now in 1..100 {
        world.pass(now..=now);
        if world.fetches.len() > answered {
            answered = world.fetches.len();
            world.answer(now, Err(JwksFetchError::Unreachable));
        }
    }
    world.pass(100..=100);
    assert!(answered < 12, "{:?}", world.fetches);
    let (due, _) = world.source.poll_timeout().unwrap();
    assert!(due > at(105).mono, "retries are far apart by now");
    assert_eq!(world.find(100, "a", false), Err(Miss::Wait(at(100).mono)));
}

#[test]
fn a_saved_set_is_used_until_it_expires() {
    let kept = |age: u64, body: &[u8]| {
        let mut world = World::new();
        let now = at(10_000);
        let fetched_at = Unix::from_secs(START + 10_000 - age);
        let result = world.source.handle_restored(now, body, fetched_at);
        (world, result)
    };
    let body = document(&["a"]);
    let (world, result) = kept(100, &body);
    assert_eq!(result, Ok(()));
    assert_eq!(world.find(10_000, "a", false), Ok(()));
    assert_eq!(world.state(10_499), KeyState::Fresh);
    assert_eq!(world.state(10_500), KeyState::Stale);
    assert_eq!(world.state(10_000 + 4_200 - 100), KeyState::Expired);

    assert_eq!(kept(4_199, &body).1, Ok(()));
    assert_eq!(kept(4_200, &body).1, Err(RestoreError::Age));
    let Err(RestoreError::Keys(torn)) = kept(0, b"torn").1 else {
        panic!("it is no key set");
    };
    assert_eq!(torn.reason, JwksErrorReason::Malformed);

    let mut world = World::with(&["a"]);
    let newer = world
        .source
        .handle_restored(at(1), &document(&["b"]), at(1).unix);
    assert_eq!(newer, Err(RestoreError::NotNeeded));
    let mut world = World::new();
    let future = world
        .source
        .handle_restored(at(0), &body, Unix::from_secs(START + 301));
    assert_eq!(future, Err(RestoreError::Age));
}
