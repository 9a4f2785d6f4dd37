use super::super::testing::*;
use super::*;

fn fed(facts: &[Fact]) -> Result<(), String> {
    feed(&mut TrueExchange::default(), facts)
}

#[test]
fn a_request_as_it_was_sent_passes() {
    let facts = [
        sent("t", "acme"),
        arrived("a", "t", "r"),
        body_ended("t", |_| ()),
    ];
    assert_eq!(fed(&facts), Ok(()));
}

/// Catches: a part of a body that a cell takes for the next request on the connection.
#[test]
fn notices_a_request_that_no_client_has_sent() {
    let smuggled = arrived_with("a", "", "", |it| {
        it.tag = None;
        "/smuggled".clone_into(&mut it.path);
    });
    let error = fed(&[sent("t", "acme"), arrived("a", "t", "r"), smuggled]).unwrap_err();
    assert!(error.contains("/smuggled arrived at a-1"), "{error}");
}

#[test]
fn notices_another_method_or_path() {
    let changed = |change: fn(&mut Arrived)| {
        fed(&[sent("t", "acme"), arrived_with("a", "t", "r", change)]).unwrap_err()
    };
    assert!(changed(|it| "GET".clone_into(&mut it.method)).contains("its method is POST"));
    assert!(changed(|it| "/".clone_into(&mut it.path)).contains("its path is /orders"));
}

/// A cell takes the next request for what is missing.
#[test]
fn notices_a_length_that_is_not_that_of_the_body() {
    let stated = |body, length: &str| {
        let sent = sent_with("t", "acme", |sent| sent.body = body);
        let arrived = with_header(arrived("a", "t", "r"), "content-length", length);
        fed(&[sent, arrived])
    };
    assert_eq!(stated(Some(8), "8"), Ok(()));
    assert_eq!(stated(None, "60"), Ok(()));
    let error = stated(Some(0), "60").unwrap_err();
    assert!(error.contains("the length 60"), "{error}");
}

#[test]
fn only_a_websocket_arrives_as_connect() {
    let connect = |websocket| {
        let sent = sent_with("t", "acme", |sent| sent.websocket = websocket);
        let arrived = arrived_with("a", "t", "r", |it| "CONNECT".clone_into(&mut it.method));
        fed(&[sent, arrived])
    };
    assert_eq!(connect(true), Ok(()));
    assert!(connect(false).is_err());
}

#[test]
fn notices_a_body_that_a_cell_takes_for_complete() {
    let unfinished = sent_with("t", "acme", |sent| sent.body = None);
    let cut = body_ended("t", |ended| ended.bytes = 3);
    let error = fed(&[unfinished.clone(), cut.clone()]).unwrap_err();
    assert!(error.contains("never ended it"));
    assert!(
        fed(&[sent("t", "acme"), cut])
            .unwrap_err()
            .contains("3 bytes")
    );

    let broken = body_ended("t", |ended| (ended.bytes, ended.complete) = (3, false));
    assert_eq!(fed(&[unfinished, broken.clone()]), Ok(()));
    assert_eq!(fed(&[sent("t", "acme"), broken]), Ok(()));
}

#[test]
fn notices_the_answer_to_another_request() {
    let mixed = Fact::AnswerMixed {
        tag: "t".to_owned(),
        found: "it is the answer to u".to_owned(),
    };
    assert!(fed(&[mixed]).unwrap_err().contains("the answer to u"));
}

#[test]
fn notices_a_trailer_that_is_lost() {
    let sent = || sent_with("t", "acme", |sent| sent.trailers = true);
    let with = |value: &str| {
        let trailer = (TRAILER.to_owned(), value.to_owned());
        fed(&[
            sent(),
            body_ended("t", |ended| ended.trailers.push(trailer)),
        ])
    };
    assert_eq!(with("t"), Ok(()));
    assert!(with("u").unwrap_err().contains("without the trailer"));
    let lost = body_ended("t", |_| ());
    assert!(fed(&[sent(), lost]).is_err());
    let cut = body_ended("t", |ended| ended.complete = false);
    assert_eq!(fed(&[sent(), cut]), Ok(()));
}
