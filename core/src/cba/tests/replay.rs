//! The replay cache.

use super::*;

fn claim(source: &str, jti: &str) -> Claim {
    let text = |value| Text::new(value).unwrap();
    Claim::new(&text(source), &text(jti), START + 60, at(0))
}

#[test]
fn an_authorization_is_accepted_once_until_it_expires() {
    let mut table = ReplayCache::new(8);
    let now = |secs| at(secs).mono;
    assert_eq!(table.claim(&claim("a", "1"), now(0)), Claimed::First);
    assert_eq!(table.claim(&claim("a", "1"), now(59)), Claimed::Again);
    // Another cell's number is another authorization.
    assert_eq!(table.claim(&claim("b", "1"), now(59)), Claimed::First);
    let text = |value| Text::new(value).unwrap();
    let next = Claim::new(&text("a"), &text("2"), START + 120, at(60));
    assert_eq!(table.claim(&next, now(60)), Claimed::First);
    assert_eq!(table.len(), 1, "what can't be shown any more is let go");
}

/// The wall clock is set back after the cache has dropped an authorization. It is valid again, and
/// must not be accepted a second time.
#[test]
fn none_is_used_twice_when_the_clock_is_set_back() {
    let mut table = ReplayCache::new(8);
    let shown = |jti: &str, exp: u64, mono: u64, unix: u64| {
        let now = Now {
            mono: at(mono).mono,
            unix: at(unix).unix,
        };
        let text = |value| Text::new(value).unwrap();
        (
            Claim::new(&text("a"), &text(jti), START + exp, now),
            now.mono,
        )
    };
    for (what, (claim, mono), claimed) in [
        ("first", shown("1", 60, 0, 0), Claimed::First),
        ("later, in time", shown("2", 90, 61, 61), Claimed::First),
        ("again", shown("1", 60, 62, 30), Claimed::Forgotten),
        (
            "never seen, but of the time that is forgotten",
            shown("3", 60, 62, 30),
            Claimed::Forgotten,
        ),
        ("known still", shown("2", 90, 62, 30), Claimed::Again),
        ("expires later", shown("4", 61, 62, 30), Claimed::First),
        (
            "the rest of it",
            shown("2", 90, 120, 88),
            Claimed::Forgotten,
        ),
    ] {
        assert_eq!(table.claim(&claim, mono), claimed, "{what}");
    }
}

/// The limit never matters while the clock runs forward: an authorization that expires in the same
/// second as a dropped one has expired too.
#[test]
fn no_entry_is_dropped_before_it_expires() {
    let mut table = ReplayCache::new(1_000);
    for second in 0..300 {
        let now = at(second);
        for lifetime in [1, 30, 60] {
            let jti = Text::new(&format!("{second} {lifetime}")).unwrap();
            let exp = START + second + lifetime;
            let claim = Claim::new(&Text::new("a").unwrap(), &jti, exp, now);
            assert_eq!(table.claim(&claim, now.mono), Claimed::First, "{jti:?}");
        }
    }
}

#[test]
fn a_full_table_takes_no_more_and_forgets_nothing() {
    let mut table = ReplayCache::new(2);
    let zero = Mono::default();
    for (source, jti, claimed) in [
        ("a", "1", Claimed::First),
        ("a", "2", Claimed::Full),
        ("b", "1", Claimed::First),
        ("c", "1", Claimed::Full),
        ("a", "1", Claimed::Again),
        ("b", "1", Claimed::Again),
    ] {
        let claim = claim(source, jti);
        assert_eq!(table.claim(&claim, zero), claimed, "{source} {jti}");
    }
}

#[test]
fn a_noisy_cell_leaves_room_for_the_others() {
    let mut table = ReplayCache::new(12);
    let zero = Mono::default();
    let mut fill = |source: &str| {
        let claims = (0..100).map(|jti| claim(source, &jti.to_string()));
        claims
            .filter(|claim| table.claim(claim, zero) == Claimed::First)
            .count()
    };
    assert_eq!([fill("a"), fill("a"), fill("b")], [6, 0, 3]);
    assert_eq!([fill("c"), fill("d")], [2, 1], "half of what is free");
    // All space is free again for any cell.
    assert_eq!(table.len(), 12);
    let later = at(60);
    for jti in 0..6 {
        let late = Claim::new(
            &Text::new("a").unwrap(),
            &Text::new(&format!("late {jti}")).unwrap(),
            START + 120,
            later,
        );
        assert_eq!(table.claim(&late, later.mono), Claimed::First, "{jti}");
    }
    assert_eq!(table.len(), 6);
}
