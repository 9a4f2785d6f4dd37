use super::super::testing::*;
use super::*;
use crate::fact::Answer;

fn fed(client: &str, late: u32) -> Result<(), String> {
    let bounds = Bounds {
        short_requests: [client.to_owned()].into(),
        ..with_settings(|it| it.timeouts.header = SECOND * 2)
    };
    let mut facts = vec![sent("t", "acme"), arrived("a", "t", "r")];
    facts.extend((1..late).map(|_| answered("x", Answer::Ok)));
    facts.push(answered("t", Answer::Ok));
    feed(&mut CellWaits::new(&bounds), &facts)
}

#[test]
fn notices_a_router_that_waits_too_long() {
    assert_eq!(fed("client", 2), Ok(()));
    assert!(fed("client", 3).is_err());
    assert_eq!(fed("another", 9), Ok(()));
}
