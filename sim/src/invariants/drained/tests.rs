use super::super::testing::*;
use super::*;

fn connected() -> Fact {
    Fact::Connected {
        client: "client".to_owned(),
        to: "router-1".to_owned(),
        leaf: Vec::new(),
    }
}

/// Delays of three seconds, drains of five.
fn bounds() -> Bounds {
    Bounds {
        delivery_max: SECOND,
        ..with_settings(|it| {
            it.drain.delay = SECOND * 3;
            it.drain.idle = SECOND * 3;
            it.drain.deadline = SECOND * 5;
        })
    }
}

/// A request is forwarded, its router closes its listeners, and then these facts follow.
fn fed(more: &[Fact]) -> Result<(), String> {
    let mut facts = vec![
        sent("t", "acme"),
        allowed("r", "a", 1),
        arrived("a", "t", "r"),
        noted("draining"),
        noted("x"),
        noted("x"),
        noted("listeners_closed"),
    ];
    facts.extend_from_slice(more);
    feed(&mut Drained::new(&bounds()), &facts)
}

#[test]
fn notices_what_is_refused_before_the_listeners_close() {
    let announced = [noted("draining"), sent("t", "acme")];
    for answer in [Answer::Refused, Answer::None] {
        let facts = [&announced[..], &[answered("t", answer.clone())]].concat();
        let why = feed(&mut Drained::new(&bounds()), &facts).unwrap_err();
        assert!(why.contains("began to drain"), "{answer}: {why}");
        let trouble = Bounds {
            troubles: vec![(SECOND * 2, SECOND * 3)],
            ..bounds()
        };
        assert_eq!(feed(&mut Drained::new(&trouble), &facts), Ok(()));
    }
    assert_eq!(
        fed(&[sent("u", "acme"), answered("u", Answer::Refused)]),
        Ok(())
    );
}

#[test]
fn notices_listeners_that_close_before_the_delay_is_over() {
    let early = [noted("draining"), noted("x"), noted("listeners_closed")];
    // It has not listened yet.
    assert_eq!(feed(&mut Drained::new(&bounds()), &early), Ok(()));
    let open = [&[connected()], &early[..]].concat();
    let why = feed(&mut Drained::new(&bounds()), &open).unwrap_err();
    assert!(why.contains("before the delay"), "{why}");
}

/// Catches: a connection that is closed while its first or next request is on its way.
#[test]
fn notices_a_request_that_is_not_even_decided() {
    let why = fed(&[sent("u", "acme"), answered("u", Answer::None)]).unwrap_err();
    assert!(why.contains("u, sent at"), "{why}");
    let late = [noted("x"), noted("x"), noted("x"), sent("u", "acme")];
    let facts = [&late[..], &[answered("u", Answer::None)]].concat();
    assert_eq!(fed(&facts), Ok(()));
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
    assert!(why.contains("t, sent at"), "{why}");
    let why = fed(&[noted("drained")]).unwrap_err();
    assert!(why.contains("is still open"), "{why}");
}

#[test]
fn notices_a_drain_without_end() {
    let mut facts = vec![responded("r")];
    facts.extend((0..7).map(|n| answered(&n.to_string(), Answer::Ok)));
    facts.push(noted("drained"));
    assert!(fed(&facts).unwrap_err().contains("longer than"));
}

#[test]
fn notices_a_request_that_passes_a_router_which_drains() {
    let request = passing("t", "r");
    let pause = || vec![answered("x", Answer::Ok); 5];
    let late = [pause(), request.to_vec()].concat();
    assert!(fed(&late).unwrap_err().contains("has been draining"));
    let early = request.to_vec();
    assert_eq!(fed(&early), Ok(()));
}
