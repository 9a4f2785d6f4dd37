use super::super::testing::*;
use super::*;

/// Everything must work from the second fact on.
fn recovery() -> Recovery {
    Recovery::new(&Bounds {
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
