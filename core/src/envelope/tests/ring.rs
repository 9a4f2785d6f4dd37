use super::*;
use crate::time::{Mono, Now, Unix};

const TIMING: RingTiming = RingTiming {
    max_age: Duration::from_secs(300),
    lifetime: Duration::from_secs(30),
};

fn entry(seed: u8, added: u64, sign_from: u64) -> RingEntry {
    RingEntry {
        key: key(seed),
        added: Unix::from_secs(START + added),
        sign_from: Unix::from_secs(START + sign_from),
    }
}

fn ring(entries: &[RingEntry], now: Now) -> KeyRing {
    KeyRing::new(entries.to_vec(), TIMING, now, None).unwrap()
}

fn signs(ring: &KeyRing, now: Now) -> &str {
    ring.signing(now).kid()
}

fn published_by(ring: &KeyRing, now: Now) -> Vec<&str> {
    ring.published(now).map(|key| key.kid()).collect()
}

#[test]
fn a_rotation_overlaps_on_both_sides() {
    let ring = ring(&[entry(2, 1000, 1300), entry(1, 0, 0)], at(0));
    for (secs, signer, published) in [
        (0, "k1", &["k1", "k2"][..]),
        (1299, "k1", &["k1", "k2"]),
        (1300, "k2", &["k1", "k2"]),
        // 30 s of its last envelope, 300 s of the set, 60 s of clocks apart.
        (1689, "k2", &["k1", "k2"]),
        (1690, "k2", &["k2"]),
    ] {
        assert_eq!(signs(&ring, at(secs)), signer, "{secs}");
        assert_eq!(published_by(&ring, at(secs)), published, "{secs}");
    }
}

#[test]
fn published_keys_verify_envelopes() {
    let ring = ring(&[entry(1, 0, 0), entry(2, 0, 400), entry(3, 0, 800)], at(0));
    let verifier = Verifier::new(spec()).unwrap();
    for secs in (0..2000).step_by(10) {
        let now = at(secs);
        // A set that a service fetched as long ago as it may keep it.
        let then = at(secs.saturating_sub(300));
        let jwks = ring.jwks(then);
        let keys = KeySet::parse(jwks.as_bytes(), &Verifier::ALGORITHMS).unwrap();
        let case = Case::default();
        let sealing = EnvelopeContents {
            now: now.unix,
            ..case.sealing()
        };
        let name = HeaderRules::default().envelope().clone();
        let headers = [(name, seal(ring.signing(now), &sealing))];
        let headers = headers.into_iter().collect();
        let checked = verifier.check(Some(&keys), &case.method, &case.target, &headers, now.unix);
        assert!(checked.is_ok(), "{secs}: {checked:?}");
    }
}

#[test]
fn a_key_without_an_overlap_is_refused_with_the_earliest_time() {
    let entries = vec![entry(1, 0, 0), entry(2, 1000, 1299)];
    let refused = KeyRing::new(entries, TIMING, at(1000), None).unwrap_err();
    let earliest = Unix::from_secs(START + 1300);
    let kid = "k2".into();
    assert_eq!(refused, KeyRingError::NoOverlap { kid, earliest });
    assert!(refused.to_string().contains("1001300"), "{refused}");
    // The first of all has nothing to overlap with.
    assert!(KeyRing::new(vec![entry(1, 1000, 0)], TIMING, at(0), None).is_ok());
}

/// A file may say that a key was added long ago; this router has published it only since now.
#[test]
fn a_key_that_is_added_late_does_not_sign_yet() {
    let before = ring(&[entry(1, 0, 0)], at(0));
    let late = vec![entry(1, 0, 0), entry(2, 0, 500)];
    let after = KeyRing::new(late.clone(), TIMING, at(1000), Some(&before)).unwrap();
    assert_eq!(signs(&after, at(1299)), "k1");
    assert_eq!(signs(&after, at(1300)), "k2");
    assert_eq!(published_by(&after, at(1689)), ["k1", "k2"]);
    assert_eq!(published_by(&after, at(1690)), ["k2"]);
    // Reading the same file again doesn't begin the wait anew.
    let again = KeyRing::new(late, TIMING, at(1200), Some(&after)).unwrap();
    assert_eq!(signs(&again, at(1300)), "k2");
}

#[test]
fn a_stolen_key_is_replaced_at_once() {
    let before = ring(&[entry(1, 0, 0)], at(0));
    let after = KeyRing::new(vec![entry(2, 1000, 1000)], TIMING, at(1000), Some(&before));
    let after = after.unwrap();
    assert_eq!(signs(&after, at(1000)), "k2");
    assert_eq!(published_by(&after, at(1000)), ["k2"]);
}

#[test]
fn the_first_key_signs_before_its_time() {
    let ring = ring(&[entry(1, 0, 500), entry(2, 0, 900)], at(0));
    assert_eq!(signs(&ring, at(0)), "k1");
    // So it does when the wall clock is stepped back an hour.
    let stepped = Now {
        mono: Mono::from_origin(Duration::from_secs(1000)),
        unix: Unix::from_secs(START - 3600),
    };
    assert_eq!(signs(&ring, stepped), "k1");
    assert_eq!(published_by(&ring, stepped), ["k1", "k2"]);
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    let refused =
        |entries: Vec<RingEntry>, before| KeyRing::new(entries, TIMING, at(0), before).unwrap_err();
    assert_eq!(refused(vec![], None), KeyRingError::Empty);
    let many = (1..=9).map(|seed| entry(seed, 0, 1000 * u64::from(seed)));
    assert_eq!(refused(many.collect(), None), KeyRingError::TooMany);
    let same = |name: &str| KeyRingError::Repeated(name.into());
    let twice = vec![entry(1, 0, 0), entry(1, 0, 900)];
    assert_eq!(refused(twice, None), same("k1"));
    let at_once = vec![entry(1, 0, 900), entry(2, 0, 900)];
    assert_eq!(refused(at_once, None), same("k2"));
    let named = |kid: &str, seed, sign_from| RingEntry {
        key: Arc::new(SigningKey::from_seed(kid, &[seed; 32]).unwrap()),
        ..entry(1, 0, sign_from)
    };
    let under_two_names = vec![named("a", 1, 0), named("b", 1, 900)];
    assert_eq!(refused(under_two_names, None), same("b"));
    let before = ring(&[named("a", 1, 0)], at(0));
    let replaced = refused(vec![named("a", 2, 0)], Some(&before));
    assert_eq!(replaced, KeyRingError::Replaced("a".into()));
}
