use super::super::testing::*;
use super::*;
use crate::engine::EPOCH;
use crate::fact::Token;

/// A WebSocket is opened, and then these facts follow, a second apart. Its token is valid for an
/// hour.
fn fed(certificate: Option<Duration>, more: &[Fact]) -> Result<(), String> {
    opened_with(true, token("main"), certificate, more)
}

/// The same with this token, which ends the WebSocket or doesn't.
fn opened_with(
    end_with_token: bool,
    token: Token,
    certificate: Option<Duration>,
    more: &[Fact],
) -> Result<(), String> {
    let bounds = Bounds {
        streams_within: SECOND * 2,
        delivery_max: SECOND,
        websockets_end_with_token: end_with_token,
        ..with_settings(|_| ())
    };
    let opened = [
        sent_with("t", "acme", |sent| {
            sent.websocket = true;
            sent.token = Some(token);
        }),
        Fact::Presented {
            tag: "t".to_owned(),
            certificate_expires: certificate,
            authority: 0,
        },
        allowed("r", "a", 1),
        arrived("a", "t", "r"),
    ];
    feed(&mut Tunnels::new(&bounds), &[&opened[..], more].concat())
}

fn heard() -> Fact {
    Fact::Streamed {
        tag: "t".to_owned(),
    }
}

fn answer(answer: Answer) -> Fact {
    answered("t", answer)
}

#[test]
fn accepts_what_ends_in_time() {
    let long = EPOCH + SECOND * 1000;
    assert_eq!(fed(Some(long), &[heard(), answer(Answer::Ok)]), Ok(()));
    let told = [
        noted("listeners_closed"),
        heard(),
        answer(Answer::Closed(1001)),
    ];
    assert_eq!(fed(Some(long), &told), Ok(()));
    // It is over, so a drain is of no concern to it.
    let mut over = vec![answer(Answer::Closed(1008)), noted("listeners_closed")];
    over.extend((0..10).map(|_| noted("other")));
    assert_eq!(fed(Some(long), &over), Ok(()));
}

#[test]
fn notices_a_websocket_that_outlives_its_certificate() {
    let heard: Vec<Fact> = (0..9).map(|_| heard()).collect();
    // The router decided at its epoch, which is the third second of the run.
    let why = fed(Some(EPOCH + SECOND), &heard).unwrap_err();
    assert!(why.contains("its certificate has expired"), "{why}");
    assert_eq!(fed(Some(EPOCH + SECOND * 20), &heard), Ok(()));
}

#[test]
fn notices_a_websocket_that_outlives_its_token_if_a_setting_ends_it() {
    let heard: Vec<Fact> = (0..9).map(|_| heard()).collect();
    let short = || Token {
        expires: EPOCH + SECOND,
        ..token("main")
    };
    let why = opened_with(true, short(), None, &heard).unwrap_err();
    assert!(why.contains("its token has expired"), "{why}");
    assert_eq!(opened_with(false, short(), None, &heard), Ok(()));
    assert_eq!(opened_with(true, token("main"), None, &heard), Ok(()));
}

#[test]
fn notices_a_websocket_that_is_not_told_of_a_drain() {
    let cut = [noted("listeners_closed"), answer(Answer::None)];
    let why = fed(None, &cut).unwrap_err();
    assert!(why.contains("was not told"), "{why}");
    let mut left = vec![noted("listeners_closed")];
    left.extend((0..5).map(|_| heard()));
    let why = fed(None, &left).unwrap_err();
    assert!(why.contains("is still open"), "{why}");
}
