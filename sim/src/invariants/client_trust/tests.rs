use super::super::testing::*;
use super::*;

/// Facts are a second apart, and routers read their files within one.
fn fed(facts: &[Fact]) -> Result<(), String> {
    fed_while(&[], facts)
}

/// The same, with these times in which a router can't read its files.
fn fed_while(stuck: &[(u32, u32)], facts: &[Fact]) -> Result<(), String> {
    let stuck = stuck.iter();
    let bounds = Bounds {
        streams_within: SECOND,
        delivery_max: SECOND,
        reloads_stuck: stuck
            .map(|(from, until)| ("router-1".to_owned(), SECOND * *from, SECOND * *until))
            .collect(),
        ..with_settings(|it| it.reload_within = SECOND)
    };
    feed(&mut ClientTrust::new(&bounds), facts)
}

/// A request with a certificate of this authority passes.
fn passes(authority: usize, tag: &str) -> [Fact; 4] {
    let presented = Fact::Presented {
        tag: tag.to_owned(),
        certificate_expires: None,
        authority,
    };
    let [sent, decided, arrived] = passing(tag, tag);
    [sent, presented, decided, arrived]
}

/// A request with a certificate of this authority is open while the first authority is dropped, and these
/// facts follow.
fn open(authority: usize, more: &[Fact]) -> Vec<Fact> {
    let dropped = [Fact::ClientTrustChanged(1)];
    [&passes(authority, "t")[..], &dropped, more].concat()
}

fn streamed() -> Fact {
    Fact::Streamed {
        tag: "t".to_owned(),
    }
}

#[test]
fn notices_a_new_request_with_an_untrusted_certificate() {
    let dropped = || vec![Fact::ClientTrustChanged(1)];
    let late = |authority| {
        [
            dropped(),
            passes(authority, "t").to_vec(),
            vec![responded("t")],
        ]
        .concat()
    };
    let error = fed(&late(0)).unwrap_err();
    assert!(error.contains("forwarded t"), "{error}");
    assert_eq!(fed(&late(1)), Ok(()));
    // Others were trusted before.
    let trusted = [vec![Fact::ClientTrustChanged(0)], passes(0, "t").to_vec()];
    assert_eq!(fed(&trusted.concat()), Ok(()));
}

#[test]
fn notices_a_request_that_stays_open() {
    let waits = [bad("u"), bad("v"), bad("w")];
    let error = fed(&open(0, &waits)).unwrap_err();
    assert!(error.contains("still has t open"), "{error}");
    assert_eq!(fed(&open(1, &waits)), Ok(()));
    let ended = [responded("t"), bad("u"), bad("v")];
    assert_eq!(fed(&open(0, &ended)), Ok(()));
}

#[test]
fn notices_an_answer_that_goes_on() {
    let ended = [responded("t"), bad("u"), streamed(), streamed()];
    let error = fed(&open(0, &ended)).unwrap_err();
    assert!(error.contains("still gets an answer"), "{error}");
    // The network already carried it.
    assert_eq!(fed(&open(0, &ended[..3])), Ok(()));
}

#[test]
fn a_router_that_cannot_read_its_files_may_not_know() {
    let waits = [bad("u"), bad("v"), bad("w")];
    assert_eq!(fed_while(&[(4, 20)], &open(0, &waits)), Ok(()));
    assert!(fed_while(&[(0, 2)], &open(0, &waits)).is_err());
}
