use super::super::testing::*;
use super::*;
use crate::engine::EPOCH;

fn fed(facts: &[Fact]) -> Result<(), String> {
    let bounds = with_settings(|it| {
        it.reload_within = SECOND * 3;
        it.routing_key.max_age = SECOND * 60;
        it.routing_key.skew = SECOND * 5;
    });
    feed(&mut RoutingKeys::new(&bounds), facts)
}

fn lists(kids: &[&str]) -> Fact {
    configured(|said| said.signers = kids.iter().map(|kid| (*kid).to_owned()).collect())
}

fn showing(behind: RoutingKeyProof) -> Fact {
    sent_with("t", "acme", |sent| sent.routing_key = Some(behind))
}

fn signed(kid: &str, time: Duration) -> Fact {
    let kid = kid.to_owned();
    showing(RoutingKeyProof::Signer { kid, time })
}

#[test]
fn accepts_with_gateways_and_listed_signers() {
    for shown in [showing(RoutingKeyProof::Gateway), signed("edge", EPOCH)] {
        let facts = [
            lists(&["edge"]),
            shown,
            allowed("r", "a", 1),
            arrived("a", "t", "r"),
        ];
        assert_eq!(fed(&facts), Ok(()));
    }
}

#[test]
fn notices_a_spoofed_key_that_passes() {
    let facts = [
        lists(&["edge"]),
        showing(RoutingKeyProof::None),
        allowed("r", "a", 1),
        arrived("a", "t", "r"),
    ];
    assert!(
        fed(&facts)
            .unwrap_err()
            .contains("no gateway's certificate")
    );
}

#[test]
fn notices_a_signer_that_was_taken_out() {
    let facts = |passes_after| {
        let mut facts = vec![lists(&["edge"]), signed("edge", EPOCH), lists(&["next"])];
        facts.extend((0..passes_after).map(|_| Fact::FaultBegins(String::new())));
        facts.extend([allowed("r", "a", 1), arrived("a", "t", "r")]);
        facts
    };
    assert_eq!(fed(&facts(2)), Ok(()), "the router may not have looked yet");
    assert!(fed(&facts(3)).unwrap_err().contains("doesn't list"));
}

#[test]
fn notices_a_signature_out_of_its_time() {
    // `allowed` is decided when the router's clock shows the epoch.
    for (time, passes) in [
        (EPOCH - SECOND * 60, true),
        (EPOCH - SECOND * 61, false),
        (EPOCH + SECOND * 5, true),
        (EPOCH + SECOND * 6, false),
    ] {
        let facts = [
            lists(&["edge"]),
            signed("edge", time),
            allowed("r", "a", 1),
            arrived("a", "t", "r"),
        ];
        assert_eq!(fed(&facts).is_ok(), passes, "{time:?}");
    }
}

#[test]
fn notices_its_names_at_a_cell() {
    for name in ["x-routing-key", "x_routing_key", "x-routing-key-signature"] {
        let fact = with_header(arrived("a", "t", "r"), name, "acme");
        assert!(fed(&[fact]).unwrap_err().contains(name));
        let named = vec![(name.to_owned(), "acme".to_owned())];
        let trailers = body_ended("t", |ended| ended.trailers = named);
        assert!(fed(&[trailers]).unwrap_err().contains(name));
    }
}
