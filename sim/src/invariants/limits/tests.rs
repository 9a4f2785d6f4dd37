use std::sync::Arc;

use super::super::testing::*;
use super::*;
use crate::fact::{Answer, Life, Published};

/// So many routers share the limits of `acme` and of the placement `shared`, of two requests each. A cell may
/// have three. The end of an answer is
/// on its way for at most `delivery_max`.
fn fed_late(delivery_max: Duration, shared_by: u32, facts: &[Fact]) -> Result<(), String> {
    fed_by("client", delivery_max, shared_by, facts)
}

/// The same. Only the requests of this client end with their answer.
fn fed_by(
    short: &str,
    delivery_max: Duration,
    shared_by: u32,
    facts: &[Fact],
) -> Result<(), String> {
    let bounds = Bounds {
        tenant_requests: [("acme".to_owned(), 2)].into(),
        placement_requests: [("shared".to_owned(), 2)].into(),
        delivery_max,
        endpoints: one_each(),
        short_requests: [short.to_owned()].into(),
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

fn left(tag: &str) -> Fact {
    Fact::Left {
        host: "gold-1".to_owned(),
        tag: Some(tag.to_owned()),
    }
}

fn answers(tags: &[&str]) -> Vec<Fact> {
    let ok = |tag: &&str| answered(tag, Answer::Ok);
    tags.iter().map(ok).collect()
}

/// The cell begins its answers, and then the clients have them.
fn begun_answers(tags: &[&str]) -> Vec<Fact> {
    let left = tags.iter().map(|tag| left(tag));
    left.chain(answers(tags)).collect()
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

/// Catches: a router that counts the requests of a placement for each tenant or each cell, or not at all.
#[test]
fn notices_a_placement_with_more_requests_than_its_limit() {
    let homes = |version, tenants: &[&str]| {
        let home = |tenant: &&str| ((*tenant).to_owned(), "shared".to_owned());
        Fact::Published(Arc::new(Published {
            homes: tenants.iter().map(home).collect(),
            ..document(version, &[])
        }))
    };
    let of = |tag: &str, tenant: &str, (cell, version): (&str, &str)| {
        let arrived = with_header(arrived(cell, tag, tag), "x-cellway-tenant", tenant);
        let arrived = with_header(arrived, "x-cellway-placement-epoch", version);
        [sent(tag, tenant), arrived]
    };
    let fed = |third: (&str, &str)| {
        let facts = [
            vec![homes(1, &["globex", "hooli"]), homes(2, &["globex"])],
            of("1", "globex", ("gold", "1")).into(),
            of("2", "globex", ("iron", "1")).into(),
            of("3", "hooli", third).into(),
            answers(&["1", "2", "3"]),
        ];
        fed(1, &facts.concat())
    };
    let broken = fed(("iron", "1")).unwrap_err();
    assert!(broken.contains("of placement shared"), "{broken}");
    assert_eq!(fed(("iron", "2")), Ok(()), "it has a cell of its own");
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

/// Catches: a request that a crash makes this forget, although it hadn't arrived anywhere.
#[test]
fn requests_that_arrive_after_a_crash_count() {
    let three = ["1", "2", "3"];
    let (sent, arrived): (Vec<_>, Vec<_>) =
        (arrivals("acme", &three).into_iter()).partition(|fact| matches!(fact, Fact::Sent(_)));
    let again = vec![Fact::Crashed(life(0)), Fact::Started(life(1))];
    let facts = [sent, again, arrived, answers(&three)].concat();
    assert!(fed(1, &facts).is_err());
}

/// Catches: a router that counts a request once and sends it to two endpoints.
#[test]
fn a_request_counts_once_for_each_endpoint_that_works_on_it() {
    let at = |tag: &str, host: &str| {
        let arrived = arrived_with("gold", tag, tag, |arrived| arrived.host = host.to_owned());
        with_header(arrived, "x-cellway-tenant", "globex")
    };
    let left_other = |tag: &str| Fact::Left {
        host: "gold-2".to_owned(),
        tag: Some(tag.to_owned()),
    };
    let tags = ["1", "2"];
    let both = |tag: &&str| [sent(tag, "globex"), at(tag, "gold-1"), at(tag, "gold-2")];
    let both: Vec<_> = tags.iter().flat_map(both).collect();
    let over = [vec![left_other("1"), left_other("2")], begun_answers(&tags)].concat();
    let broken = fed(1, &[both.clone(), over].concat()).unwrap_err();
    assert!(broken.contains("4 requests at cell gold"), "{broken}");
    // The first one leaves the first endpoint before the second request comes.
    let [first, second] = [&both[..3], &both[3..]];
    let one_after_the_other = [first, &[left("1")], second, &[left_other("1")]].concat();
    let over = [vec![left("2"), left_other("2")], answers(&tags)].concat();
    assert_eq!(fed(1, &[one_after_the_other, over].concat()), Ok(()));
}

/// Catches: a router that sends a request again over a connection that is one too many.
#[test]
fn each_attempt_of_a_request_has_its_connection() {
    let on = |hosts: [&str; 3]| {
        let at = |host: &str| {
            let arrived = arrived_with("gold", "1", "1", |it| it.host = host.to_owned());
            with_header(arrived, "x-cellway-tenant", "globex")
        };
        let left = |host: &str| Fact::Left {
            host: host.to_owned(),
            tag: Some("1".to_owned()),
        };
        let over = answers(&["1"]);
        let facts = [
            vec![sent("1", "globex")],
            hosts.map(at).into(),
            hosts.map(left).into(),
            over,
        ];
        fed(1, &facts.concat())
    };
    assert_eq!(on(["gold-1", "gold-2", "gold-2"]), Ok(()));
    let broken = on(["gold-1", "gold-2", "gold-3"]).unwrap_err();
    assert!(broken.contains("3 connections to cell gold"), "{broken}");
}

/// Catches: a false alarm about a cell that notices late that its router has gone away.
#[test]
fn an_attempt_is_over_with_its_request() {
    let three = ["1", "2", "3"];
    let gone = |tag: &&str| answered(tag, Answer::Ok);
    let gone: Vec<_> = three.iter().map(gone).collect();
    let four = arrivals("globex", &["4"]);
    let late = three.iter().map(|tag| left(tag)).collect();
    let facts = [
        arrivals("globex", &three),
        gone,
        four,
        late,
        answers(&["4"]),
    ]
    .concat();
    for short in ["client", "another"] {
        assert_eq!(fed_by(short, Duration::ZERO, 1, &facts), Ok(()));
    }
}

/// Catches: clients that ask for streams, or don't read, whose requests nobody counts.
#[test]
fn requests_that_outlast_their_answer_count_until_it_begins() {
    let by_cell = |facts: &[Fact]| fed_by("another", Duration::ZERO, 1, facts);
    let four = ["1", "2", "3", "4"];
    let at_once = [arrivals("globex", &four), begun_answers(&four)].concat();
    assert!(by_cell(&at_once).is_err());
    let begun = [
        arrivals("globex", &["1", "2", "3"]),
        vec![left("1")],
        arrivals("globex", &["4"]),
        ["2", "3", "4"].iter().map(|tag| left(tag)).collect(),
        answers(&four),
    ]
    .concat();
    assert_eq!(by_cell(&begun), Ok(()));
    assert!(fed(1, &begun).is_err());
}

#[test]
fn an_endpoint_that_stops_works_on_nothing() {
    let four = ["1", "2", "3", "4"];
    let stopped = vec![Fact::EndpointStopped("gold-1".to_owned())];
    let gone = four.iter().map(|tag| answered(tag, Answer::Ok)).collect();
    let facts = [arrivals("globex", &four), stopped, gone].concat();
    assert!(fed(1, &facts).is_err());
}
