use super::super::testing::*;
use super::*;

fn fed(from: u32, until: Option<u32>, answer: Answer) -> Result<(), String> {
    let bounds = Bounds {
        known_keys: vec![KnownKey {
            issuer: "main".to_owned(),
            key: "key-1".to_owned(),
            from: SECOND * from,
            until: until.map(|until| SECOND * until),
        }],
        ..Bounds::default()
    };
    let facts = [
        answered("x", Answer::Ok),
        with_token("t", "main"),
        answered("t", answer),
    ];
    feed(&mut KeysTaken::new(&bounds), &facts)
}

#[test]
fn notices_a_good_token_that_is_refused_for_its_key() {
    let refused = || Answer::Router("no_matching_key".to_owned());
    assert!(fed(1, None, refused()).is_err());
    assert!(fed(0, Some(3), refused()).is_err());
    assert_eq!(fed(2, None, refused()), Ok(()));
    assert_eq!(fed(0, Some(2), refused()), Ok(()));
    assert_eq!(
        fed(1, None, Answer::Router("expired_token".to_owned())),
        Ok(())
    );
    assert_eq!(fed(1, None, Answer::Ok), Ok(()));
}

/// Catches: an alarm for a new key that no router could fetch yet; and none for one that a router had.
#[test]
fn a_fault_excuses_a_router_that_has_not_had_the_key() {
    let bounds = Bounds {
        known_keys: vec![KnownKey {
            issuer: "main".to_owned(),
            key: "key-1".to_owned(),
            from: Duration::ZERO,
            until: None,
        }],
        key_troubles: vec![("main".to_owned(), Duration::ZERO, SECOND * 9)],
        ..Bounds::default()
    };
    let refused = Answer::Router("jwks_unreachable".to_owned());
    let first = [with_token("t", "main"), answered("t", refused.clone())];
    assert_eq!(feed(&mut KeysTaken::new(&bounds), &first), Ok(()));
    let later = [
        with_token("t", "main"),
        answered("t", Answer::Ok),
        with_token("u", "main"),
        answered("u", refused),
    ];
    assert!(feed(&mut KeysTaken::new(&bounds), &later).is_err());
}
