use super::super::RouterSettings;
use super::super::testing::*;
use super::*;

fn connected() -> Fact {
    Fact::Connected {
        client: "client".to_owned(),
        to: "router-1".to_owned(),
        leaf: Vec::new(),
    }
}

/// A request is forwarded, its router drains for at most five seconds, and then these facts
/// follow.
fn fed(more: &[Fact]) -> Result<(), String> {
    let mut facts = vec![
        sent("t", "acme"),
        allowed("r", "a", 1),
        arrived("a", "t", "r"),
        noted("draining"),
    ];
    facts.extend_from_slice(more);
    let bounds = Bounds {
        delivery_max: SECOND,
        ..with_settings(RouterSettings {
            drain: SECOND * 5,
            ..RouterSettings::default()
        })
    };
    feed(&mut Drained::new(&bounds), &facts)
}

#[test]
fn accepts_with_what_is_finished() {
    let ok = answered("t", Answer::Ok);
    assert_eq!(
        fed(&[connected(), responded("r"), ok, noted("drained")]),
        Ok(())
    );
    // After a restart it accepts connections again.
    let again = [noted("drained"), Fact::Started(life(1)), connected()];
    assert_eq!(fed(&[&[responded("r")], &again[..]].concat()), Ok(()));
}

#[test]
fn notices_a_new_connection() {
    let why = fed(&[responded("r"), connected()]).unwrap_err();
    assert!(why.contains("new connection"), "{why}");
}

#[test]
fn notices_what_is_cut_off_or_left_open() {
    let why = fed(&[answered("t", Answer::None)]).unwrap_err();
    assert!(why.contains("in flight"), "{why}");
    let why = fed(&[noted("drained")]).unwrap_err();
    assert!(why.contains("is still open"), "{why}");
}

#[test]
fn notices_a_drain_without_end() {
    let mut facts = vec![responded("r")];
    facts.extend((0..6).map(|n| answered(&n.to_string(), Answer::Ok)));
    facts.push(noted("drained"));
    assert!(fed(&facts).unwrap_err().contains("longer than"));
}

#[test]
fn notices_a_request_that_passes_a_router_which_drains() {
    let request = passing("t", "r");
    let pause = || vec![answered("x", Answer::Ok); 2];
    let late = [vec![noted("draining")], pause(), request.to_vec()].concat();
    assert!(fed(&late).unwrap_err().contains("has been draining"));
    let early = [request.to_vec(), vec![noted("draining")]].concat();
    assert_eq!(fed(&early), Ok(()));
}
