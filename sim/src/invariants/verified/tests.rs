use super::super::testing::*;
use super::*;
use crate::engine::EPOCH;
use crate::fact::Token;

fn fed(facts: &[Fact]) -> Result<(), String> {
    let bounds = with_settings(|it| it.issuer.leeway = SECOND * 60);
    feed(&mut OnlyVerified::new(&bounds), facts)
}

#[test]
fn accepts_with_good_credentials() {
    let facts = passing("t", "r");
    assert_eq!(fed(&facts), Ok(()));
}

#[test]
fn notices_bad_credentials_that_pass() {
    let facts = [bad("t"), allowed("r", "a", 1), arrived("a", "t", "r")];
    assert!(fed(&facts).unwrap_err().contains("bad credentials"));
}

#[test]
fn notices_a_token_out_of_its_time() {
    // `allowed` is decided when the router's clock shows the epoch.
    for (issued, expires, passes) in [
        (EPOCH, EPOCH, false),
        (EPOCH, EPOCH + SECOND, true),
        (EPOCH + SECOND * 60, EPOCH + SECOND * 99, true),
        (EPOCH + SECOND * 61, EPOCH + SECOND * 99, false),
    ] {
        let sent = sent_with("t", "acme", |sent| {
            sent.token = Some(Token {
                issued,
                expires,
                ..token("main")
            });
        });
        let facts = [sent, allowed("r", "a", 1), arrived("a", "t", "r")];
        assert_eq!(fed(&facts).is_ok(), passes);
    }
}

#[test]
fn notices_a_wrong_stamp() {
    for (name, value) in [
        ("x-cellway-auth", "anonymous"),
        ("x-cellway-tenant", "other"),
    ] {
        let arrival = with_header(arrived("a", "t", "r"), name, value);
        assert!(
            fed(&[sent("t", "acme"), allowed("r", "a", 1), arrival]).is_err(),
            "{name}"
        );
    }
}
