use super::super::testing::*;
use super::*;
use crate::engine::EPOCH;
use crate::fact::Token;

/// Everything must work from the second fact on.
fn recovery() -> Recovery {
    Recovery::new(&Bounds {
        header_prefix: "x-cellway-".to_owned(),
        websockets_end_with_token: true,
        recovery: SECOND,
        answer_within: SECOND,
        routable: vec!["client".to_owned()],
        ..Bounds::default()
    })
}

fn down(tag: &str) -> Fact {
    answered(tag, Answer::Router("cell_unreachable".to_owned()))
}

#[test]
fn tolerates_what_was_sent_before() {
    let facts = [
        sent("1", "acme"),
        down("1"),
        sent("2", "acme"),
        answered("2", Answer::Ok),
    ];
    assert_eq!(feed(&mut recovery(), &facts), Ok(()));
}

#[test]
fn notices_a_failure_afterwards() {
    let facts = [sent("1", "acme"), sent("2", "acme"), down("2")];
    assert!(
        feed(&mut recovery(), &facts)
            .unwrap_err()
            .contains("cell_unreachable")
    );
}

#[test]
fn notices_silence() {
    let facts = [
        sent("1", "acme"),
        answered("1", Answer::Ok),
        answered("x", Answer::Ok),
    ];
    assert!(
        feed(&mut recovery(), &facts)
            .unwrap_err()
            .contains("never served")
    );
}

/// A WebSocket is opened with a token that expires then, and is closed four seconds later with this code.
fn closed(expires: Duration, code: u16) -> Result<(), String> {
    let token = Token {
        expires,
        ..token("main")
    };
    let facts = [
        sent("1", "acme"),
        answered("1", Answer::Ok),
        sent_with("t", "acme", |sent| {
            sent.websocket = true;
            sent.token = Some(token);
        }),
        allowed("r", "a", 1),
        arrived("a", "t", "r"),
        noted("other"),
        noted("other"),
        answered("t", Answer::Closed(code)),
    ];
    feed(&mut recovery(), &facts)
}

#[test]
fn accepts_a_websocket_that_is_closed_when_its_token_expires() {
    assert_eq!(closed(EPOCH + SECOND * 4, 1008), Ok(()));
}

/// Catches: an invariant that takes every end of a WebSocket for a good one.
#[test]
fn notices_a_websocket_that_is_closed_without_a_reason() {
    // Long before its token expires; and with a code that says something else.
    for (expires, code) in [(3600, 1008), (4, 1001), (4, 1011), (3600, 1001)] {
        let why = closed(EPOCH + SECOND * expires, code).unwrap_err();
        assert!(why.contains(&format!("closed_{code}")), "{why}");
    }
}
