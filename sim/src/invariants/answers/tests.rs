use cellway_core::Reason;

use super::super::testing::*;
use super::*;
use crate::fact::Answer;

fn fed(facts: &[Fact]) -> Result<(), String> {
    feed(&mut OneAnswer::new(SECOND), facts)
}

#[test]
fn accepts_with_one_of_each() {
    let facts = [
        sent("t", "acme"),
        allowed("r", "a", 1),
        arrived("a", "t", "r"),
        responded("r"),
        answered("t", Answer::Ok),
    ];
    assert_eq!(fed(&facts), Ok(()));
}

#[test]
fn notices_doubles() {
    assert!(fed(&[allowed("r", "a", 1), denied("r", Reason::MissingToken)]).is_err());
    assert!(fed(&[allowed("r", "a", 1), responded("r"), responded("r")]).is_err());
    assert!(fed(&[allowed("r", "a", 1), responded("r"), allowed("r", "a", 1)]).is_err());
    assert!(fed(&[answered("t", Answer::Ok), answered("t", Answer::Ok)]).is_err());
    let twice = [
        sent("t", "acme"),
        arrived("a", "t", "r"),
        arrived("a", "t", "r"),
    ];
    assert!(fed(&twice).is_err());
}

#[test]
fn notices_what_is_forgotten_and_tolerates_what_is_young_or_crashed() {
    let noise = || answered("other", Answer::Ok);
    assert!(fed(&[allowed("r", "a", 1), noise()]).is_err());
    assert!(fed(&[sent("t", "acme"), noise()]).is_err());
    assert_eq!(fed(&[noise(), sent("t", "acme")]), Ok(()));
    let stopped = Fact::ClientStopped("client".to_owned());
    assert_eq!(fed(&[sent("t", "acme"), stopped, noise()]), Ok(()));
    assert_eq!(
        fed(&[allowed("r", "a", 1), Fact::Crashed(life(0)), noise()]),
        Ok(())
    );
}
