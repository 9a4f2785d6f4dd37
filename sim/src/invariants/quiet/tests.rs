use super::super::testing::*;
use super::*;

fn overloaded(tag: &str) -> Fact {
    answered(tag, Answer::Router("overloaded".to_owned()))
}

fn fed(facts: &[Fact]) -> Result<(), String> {
    feed(&mut QuietServed::new(true), facts)
}

#[test]
fn accepts_while_only_floods_are_refused() {
    let flood: Vec<_> = ["1", "2", "3"].map(|tag| sent(tag, "acme")).into();
    let facts = [flood, vec![overloaded("3"), answered("2", Answer::Ok)]].concat();
    assert_eq!(fed(&facts), Ok(()));
}

#[test]
fn notices_a_quiet_tenant_that_is_refused() {
    let flood = ["1", "2", "3"].map(|tag| sent(tag, "acme"));
    let facts = [&flood[..], &[sent("q", "globex"), overloaded("q")]].concat();
    assert!(fed(&facts).is_err());
    assert_eq!(feed(&mut QuietServed::new(false), &facts), Ok(()));
}

#[test]
fn what_was_answered_is_no_longer_open() {
    let facts = [
        sent("1", "acme"),
        answered("1", Answer::Ok),
        sent("2", "acme"),
        overloaded("2"),
    ];
    assert!(fed(&facts).is_err());
}
