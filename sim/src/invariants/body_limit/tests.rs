use super::super::testing::*;
use super::*;

/// The route of `client` allows ten bytes. `t` has so many bytes, or is endless.
fn fed(body: Option<u64>, facts: impl IntoIterator<Item = Fact>) -> Result<(), String> {
    let bounds = with_settings(|it| it.body_max = [("client".to_owned(), 10)].into());
    let sent = sent_with("t", "acme", |sent| sent.body = body);
    let facts: Vec<_> = [sent].into_iter().chain(facts).collect();
    feed(&mut BodyLimit::new(&bounds), &facts)
}

fn got(bytes: u64) -> Fact {
    body_ended("t", |ended| ended.bytes = bytes)
}

fn told(length: &str) -> Fact {
    with_header(arrived("a", "t", "r"), "content-length", length)
}

fn refused() -> Fact {
    answered("t", Answer::Router("body_too_large".to_owned()))
}

#[test]
fn what_is_short_enough_passes_and_what_is_longer_is_refused() {
    assert_eq!(fed(Some(10), [told("10"), got(10)]), Ok(()));
    assert_eq!(fed(Some(11), [got(10), refused()]), Ok(()));
    assert_eq!(fed(None, [got(10), refused()]), Ok(()));
}

#[test]
fn notices_a_byte_too_many() {
    let error = fed(Some(11), [got(11)]).unwrap_err();
    assert!(error.contains("lets through 11 bytes"), "{error}");
    let error = fed(Some(11), [told("11")]).unwrap_err();
    assert!(error.contains("lets through 11 bytes"), "{error}");
}

#[test]
fn notices_a_refusal_without_cause() {
    let error = fed(Some(10), [refused()]).unwrap_err();
    assert!(error.contains("allows 10"), "{error}");
}

#[test]
fn others_have_no_limit() {
    let bounds = with_settings(|it| it.body_max = [("other".to_owned(), 10)].into());
    let sent = sent_with("t", "acme", |sent| sent.body = Some(11));
    let facts = [sent, told("11"), got(11)];
    assert_eq!(feed(&mut BodyLimit::new(&bounds), &facts), Ok(()));
}
