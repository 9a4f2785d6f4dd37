use super::super::testing::*;
use super::*;

/// Facts are a second apart.
fn fed(facts: &[Fact], status_max_age: u32) -> Result<(), String> {
    let mut all = facts.to_vec();
    all.extend([
        with_token("t", "main"),
        allowed("r", "a", 1),
        arrived("a", "t", "r"),
    ]);
    feed(&mut revoked(status_max_age), &all)
}

fn revoked(status_max_age: u32) -> Revoked {
    Revoked::new(&with_settings(|it| {
        it.registry.status_max_age = SECOND * status_max_age
    }))
}

#[test]
fn accepts_while_the_router_may_not_know() {
    assert_eq!(fed(&[revoking(1, &["client"])], 9), Ok(()));
    assert_eq!(fed(&[revoking(1, &["other"]), applied(0, 1)], 0), Ok(()));
}

#[test]
fn notices_a_router_that_knows() {
    let why = fed(&[revoking(1, &["client"]), applied(0, 1)], 9).unwrap_err();
    assert!(why.contains("had applied"), "{why}");
}

#[test]
fn notices_a_router_that_has_heard_nothing_for_too_long() {
    let why = fed(&[revoking(1, &["client"])], 1).unwrap_err();
    assert!(why.contains("since 0ns"), "{why}");
}

#[test]
fn accepts_once_the_subject_is_restored_and_with_who_shows_nothing() {
    let restored = [
        revoking(1, &["client"]),
        applied(0, 1),
        revoking(2, &[]),
        applied(0, 2),
    ];
    assert_eq!(fed(&restored, 1), Ok(()));
    let facts = [
        revoking(1, &["client"]),
        applied(0, 1),
        sent_by_nobody("t"),
        allowed("r", "a", 1),
        arrived("a", "t", "r"),
    ];
    assert_eq!(feed(&mut revoked(1), &facts), Ok(()));
}

#[test]
fn notices_a_request_that_stays_open() {
    let open = || {
        let request = [
            with_token("t", "main"),
            allowed("r", "a", 1),
            arrived("a", "t", "r"),
        ];
        let revoked = [revoking(2, &["client"]), applied(0, 2)];
        request.into_iter().chain(revoked).collect::<Vec<_>>()
    };
    let feed_all = |more: &[Fact]| {
        let facts: Vec<_> = open().into_iter().chain(more.iter().cloned()).collect();
        feed(&mut revoked(9), &facts)
    };
    let why = feed_all(&[bad("u")]).unwrap_err();
    assert!(why.contains("still has request r of client open"), "{why}");
    assert_eq!(feed_all(&[responded("r"), bad("u")]), Ok(()));
    let late = [
        with_token("t", "main"),
        allowed("r", "a", 1),
        responded("r"),
        arrived("a", "t", "r"),
        revoking(2, &["client"]),
        applied(0, 2),
        bad("u"),
    ];
    assert_eq!(feed(&mut revoked(9), &late), Ok(()), "answered before");
    assert_eq!(feed_all(&[Fact::Crashed(life(0)), bad("u")]), Ok(()));
}
