use super::super::testing::*;
use super::*;

fn goes(tag: &str, via: Option<&str>) -> Fact {
    sent_with(tag, "acme", |sent| {
        sent.via = via.map(str::to_owned);
        sent.token = Some(token("main"));
    })
}

fn checked(tag: &str, outcome: CheckOutcome) -> Fact {
    Fact::Checked {
        tag: Some(tag.to_owned()),
        outcome,
    }
}

fn leave(tag: &str, cell: &str) -> Fact {
    let allowed = CheckOutcome::Allowed {
        request_id: tag.to_owned(),
        cell: cell.to_owned(),
    };
    checked(tag, allowed)
}

fn comes(tag: &str, cell: &str) -> Fact {
    with_header(arrived(cell, tag, tag), "x-cellway-sub", "client")
}

fn fed(facts: &[Fact]) -> Result<(), String> {
    feed(&mut EnvoyObeys::new("x-cellway-"), facts)
}

fn asked(tag: &str, then: &[Fact]) -> Result<(), String> {
    let mut facts = vec![goes(tag, Some("envoy")), allowed(tag, "a", 1)];
    facts.extend_from_slice(then);
    fed(&facts)
}

#[test]
fn accepts_with_leave() {
    assert_eq!(asked("t", &[leave("t", "a"), comes("t", "a")]), Ok(()));
}

#[test]
fn notices_an_arrival_without_leave() {
    assert!(asked("t", &[comes("t", "a")]).is_err());
    for other in [CheckOutcome::Denied, CheckOutcome::Error] {
        assert!(asked("t", &[checked("t", other), comes("t", "a")]).is_err());
    }
    assert!(asked("t", &[leave("u", "a"), comes("t", "a")]).is_err());
}

#[test]
fn notices_another_cell_and_another_name() {
    assert!(asked("t", &[leave("t", "b"), comes("t", "a")]).is_err());
    assert!(asked("t", &[leave("t", "b"), comes("t", "b")]).is_err());
    let renamed = with_header(comes("t", "a"), "x-cellway-request-id", "u");
    assert!(asked("t", &[leave("t", "a"), renamed]).is_err());
    let nobody = with_header(comes("t", "a"), "x-cellway-sub", "somebody");
    assert!(asked("t", &[leave("t", "a"), nobody]).is_err());
}

#[test]
fn notices_another_identity_than_a_router_stamps() {
    let proxied = [goes("p", None), allowed("p", "a", 1), comes("p", "a")];
    let through = |arrival: Fact| {
        let mut facts = proxied.to_vec();
        facts.extend([
            goes("t", Some("envoy")),
            allowed("t", "a", 1),
            leave("t", "a"),
            arrival,
        ]);
        fed(&facts)
    };
    assert_eq!(through(comes("t", "a")), Ok(()));
    let more = with_header(comes("t", "a"), "x-cellway-roles", "admin");
    assert!(through(more).is_err());
    let less = with_header(comes("t", "a"), "x-cellway-auth", "insecure");
    assert!(through(less).is_err());
}
