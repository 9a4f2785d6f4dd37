use super::super::testing::*;
use super::*;
use crate::fact::{Answer, Life};

/// So many routers share the limit of `acme`, of two requests. A cell may have three. The end of an answer is
/// on its way for at most `delivery_max`.
fn fed_late(delivery_max: Duration, shared_by: u32, facts: &[Fact]) -> Result<(), String> {
    let bounds = Bounds {
        tenant_requests: [("acme".to_owned(), 2)].into(),
        delivery_max,
        short_requests: ["client".to_owned()].into(),
        ..with_settings(|it| {
            it.rates.shared_by = shared_by;
            it.limits.requests_max = 3;
            it.limits.connections_max = 2;
        })
    };
    let facts = [&[Fact::Started(life(0))], facts].concat();
    feed(&mut LimitsKept::new(&bounds), &facts)
}

fn fed(shared_by: u32, facts: &[Fact]) -> Result<(), String> {
    fed_late(Duration::ZERO, shared_by, facts)
}

/// Requests of this tenant that are sent, and arrive on one connection.
fn arrivals(tenant: &str, tags: &[&str]) -> Vec<Fact> {
    let sent = tags.iter().map(|tag| sent(tag, tenant));
    let arrived = tags
        .iter()
        .map(|tag| with_header(arrived("gold", tag, tag), "x-cellway-tenant", tenant));
    sent.chain(arrived).collect()
}

fn answers(tags: &[&str]) -> Vec<Fact> {
    let ok = |tag: &&str| answered(tag, Answer::Ok);
    tags.iter().map(ok).collect()
}

#[test]
fn notices_a_tenant_with_more_requests_than_its_limit() {
    let two = [arrivals("acme", &["1", "2"]), answers(&["1", "2"])].concat();
    assert_eq!(fed(1, &[two.clone(), two].concat()), Ok(()));
    let three = ["1", "2", "3"];
    let three = [arrivals("acme", &three), answers(&three)].concat();
    let broken = fed(1, &three).unwrap_err();
    assert!(broken.contains("of tenant acme"), "{broken}");
}

#[test]
fn notices_that_a_router_grants_more_than_its_part() {
    let two = [arrivals("acme", &["1", "2"]), answers(&["1", "2"])].concat();
    assert!(fed(2, &two).is_err());
    let other = Life {
        router: "router-2".to_owned(),
        ..life(0)
    };
    let other = [vec![Fact::Started(other)], two].concat();
    assert_eq!(fed(2, &other), Ok(()));
}

/// Catches: a router that starts again after a drain and is counted twice from then on.
#[test]
fn a_router_that_starts_again_is_one() {
    let again = vec![Fact::Started(life(1))];
    let three = ["1", "2", "3"];
    let three = [again, arrivals("acme", &three), answers(&three)].concat();
    assert!(fed(1, &three).is_err());
}

#[test]
fn notices_a_cell_with_more_requests_than_requests_max() {
    let three = ["1", "2", "3"];
    let three = [arrivals("globex", &three), answers(&three)].concat();
    assert_eq!(fed(1, &three), Ok(()));
    let four = ["1", "2", "3", "4"];
    let four = [arrivals("globex", &four), answers(&four)].concat();
    let broken = fed(1, &four).unwrap_err();
    assert!(broken.contains("at cell gold"), "{broken}");
}

/// Catches: a router that opens more connections to a cell than `connections_max`.
#[test]
fn notices_a_cell_with_too_many_connections() {
    let on = |connections: [u64; 3]| {
        let tags = ["1", "2", "3"];
        let sent = tags.map(|tag| sent(tag, "globex"));
        let arrived = tags.iter().zip(connections).map(|(tag, connection)| {
            let arrived = arrived_with("gold", tag, tag, |it| it.connection = connection);
            with_header(arrived, "x-cellway-tenant", "globex")
        });
        fed(
            1,
            &sent
                .into_iter()
                .chain(arrived)
                .chain(answers(&tags))
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(on([1, 2, 2]), Ok(()));
    let broken = on([1, 2, 3]).unwrap_err();
    assert!(broken.contains("connections to cell gold"), "{broken}");
}

/// Catches: a false alarm about answers that are on their way, and about a router that has crashed.
#[test]
fn requests_that_may_have_ended_dont_count() {
    let three = ["1", "2", "3"];
    let three = [arrivals("acme", &three), answers(&three)].concat();
    assert!(fed_late(Duration::ZERO, 1, &three).is_err());
    assert_eq!(fed_late(SECOND, 1, &three), Ok(()));
    let crashed = [
        arrivals("acme", &["1", "2"]),
        vec![Fact::Crashed(life(0)), Fact::Started(life(0))],
        arrivals("acme", &["3", "4"]),
        answers(&["1", "2", "3", "4"]),
    ];
    assert_eq!(fed(1, &crashed.concat()), Ok(()));
}
