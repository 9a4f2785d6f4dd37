use super::super::testing::*;
use super::*;
use crate::fact::CircuitChange;

/// Two failures open a breaker, three eject one of the two endpoints of `a`.
fn fed(facts: impl IntoIterator<Item = Fact>) -> Result<(), String> {
    fed_with(false, facts)
}

fn fed_with(hedges: bool, facts: impl IntoIterator<Item = Fact>) -> Result<(), String> {
    let hosts = ["a-1", "a-2"].map(str::to_owned);
    let bounds = Bounds {
        endpoints: Endpoints {
            hosts: [("a".to_owned(), hosts.into())].into(),
            troubles: Vec::new(),
        },
        ..with_settings(|it| {
            it.breaker.failures = 2;
            it.outlier.connection_failures = 3;
            it.outlier.answer_failures = 3;
            it.outlier.grpc_statuses = [14].into();
            it.outlier.ejected_percent_max = 50;
            it.retries.hedges = hedges;
        })
    };
    let facts: Vec<_> = facts.into_iter().collect();
    feed(&mut FailuresNoticed::new(&bounds), &facts)
}

/// A request that arrives on a connection of its own and gets this answer.
fn exchange(tag: &str, answer: Answer) -> [Fact; 3] {
    let number = tag.parse().expect("tags are numbers here");
    let came = arrived_with("a", tag, tag, |it| it.connection = number);
    [sent(tag, "acme"), came, answered(tag, answer)]
}

fn reset(tag: &str) -> [Fact; 3] {
    exchange(tag, Answer::Router("cell_reset".to_owned()))
}

fn circuit(change: CircuitChange) -> Fact {
    Fact::Circuit {
        life: life(0),
        host: "a-1".to_owned(),
        request_id: "2".to_owned(),
        change,
    }
}

fn ejected() -> Fact {
    Fact::Ejected {
        life: life(0),
        host: "a-1".to_owned(),
        ejected: true,
    }
}

#[test]
fn notices_a_breaker_that_does_not_open() {
    let two = || reset("1").into_iter().chain(reset("2"));
    let error = fed(two().chain(reset("3"))).unwrap_err();
    assert!(error.contains("after 2 requests in a row"), "{error}");
    let opened = circuit(CircuitChange::Opened);
    assert_eq!(fed(two().chain([opened]).chain(reset("3"))), Ok(()));
}

/// Three requests on one connection that the router answers with this reason.
fn together(reason: &str) -> impl Iterator<Item = Fact> + use<> {
    let requests = ["1", "2", "3"].map(|tag| (sent(tag, "acme"), arrived("a", tag, tag)));
    let (sent, arrived): (Vec<_>, Vec<_>) = requests.into_iter().unzip();
    let failed = ["1", "2", "3"].map(|tag| answered(tag, Answer::Router(reason.to_owned())));
    sent.into_iter().chain(arrived).chain(failed)
}

/// Catches: an ejection that comes one failure too late, because the first one came soon after a success.
#[test]
fn only_a_failure_that_may_be_older_than_a_success_does_not_count() {
    let [sent, came, failed] = reset("1");
    let around = [sent, came]
        .into_iter()
        .chain(exchange("2", Answer::Ok))
        .chain([failed]);
    let two = around.chain(reset("3")).chain(reset("4"));
    assert_eq!(fed(two.clone()), Ok(()));
    assert!(fed(two.chain(reset("5"))).is_err());
}

#[test]
fn a_connection_breaks_once() {
    let broken = together("cell_reset");
    assert_eq!(fed(broken.chain(reset("4"))), Ok(()));
}

#[test]
fn each_request_on_a_connection_may_take_too_long() {
    let late = together("cell_timeout_header");
    let error = fed(late.chain(reset("4"))).unwrap_err();
    assert!(error.contains("after 2 requests in a row"), "{error}");
}

/// A request whose stream the cell resets, and nothing else.
fn stream_reset(tag: &str) -> impl Iterator<Item = Fact> {
    let unserved = Fact::Unserved {
        cell: "a".to_owned(),
        host: "a-1".to_owned(),
        tag: Some(tag.to_owned()),
        how: Unserved::StreamReset,
    };
    let [sent, arrived, answered] = reset(tag);
    [sent, arrived, unserved, answered].into_iter()
}

#[test]
fn a_cell_that_resets_streams_has_answered() {
    let two = || stream_reset("1").chain(stream_reset("2"));
    assert_eq!(fed(two().chain(reset("3"))), Ok(()));
    let late = two().chain(stream_reset("3")).chain([bad("t"), bad("u")]);
    let error = fed(late.chain(reset("4"))).unwrap_err();
    assert!(error.contains("has not ejected"), "{error}");
}

#[test]
fn a_request_that_is_sent_again_elsewhere_ends_the_row() {
    let elsewhere = arrived_with("a", "2", "2", |it| it.host = "a-2".to_owned());
    let again = [sent("2", "acme"), arrived("a", "2", "2"), elsewhere];
    let facts = reset("1").into_iter().chain(again).chain(reset("3"));
    assert_eq!(fed(facts.chain(reset("4"))), Ok(()));
}

/// Catches: a failure that counts at the endpoint that was asked last, although the first one failed.
#[test]
fn a_hedge_says_nothing_about_either_endpoint() {
    let hedged = |tag: &str| {
        let first = arrived_with("a", tag, tag, |it| it.host = "a-2".to_owned());
        let [sent, second, answered] = exchange(tag, Answer::Router("cell_reset".to_owned()));
        [sent, first, second, answered]
    };
    let facts = || hedged("1").into_iter().chain(hedged("2")).chain(reset("3"));
    assert_eq!(fed_with(true, facts()), Ok(()));
    // Alone, they still count.
    let alone = facts().chain(reset("4")).chain(reset("5"));
    assert!(fed_with(true, alone).is_err());
}

#[test]
fn an_answer_ends_the_row_of_connection_failures() {
    for answer in [Answer::Ok, Answer::Cell(500), Answer::Cell(503)] {
        let between = exchange("2", answer);
        let facts = reset("1").into_iter().chain(between);
        assert_eq!(fed(facts.chain(reset("3")).chain(reset("4"))), Ok(()));
    }
}

#[test]
fn notices_an_endpoint_that_is_not_ejected() {
    let failing = |n: usize| (1..=n).flat_map(|n| exchange(&n.to_string(), Answer::Cell(503)));
    assert_eq!(fed(failing(3)), Ok(()));
    let late = || failing(3).chain([bad("t"), bad("u")]);
    let error = fed(late().chain(reset("4"))).unwrap_err();
    assert!(error.contains("has not ejected"), "{error}");
    assert_eq!(fed(late().chain([ejected()]).chain(reset("4"))), Ok(()));
}

#[test]
fn a_cell_that_may_lose_no_other_endpoint_keeps_it() {
    let other = Fact::Ejected {
        life: life(0),
        host: "a-2".to_owned(),
        ejected: true,
    };
    let failing = (1..=3).flat_map(|n| exchange(&n.to_string(), Answer::Cell(503)));
    let facts = [other].into_iter().chain(failing);
    assert_eq!(
        fed(facts.chain([bad("t"), bad("u")]).chain(reset("4"))),
        Ok(())
    );
}

/// A request of this tenant on a connection of its own.
fn of(tenant: &str, tag: &str, answer: Answer) -> [Fact; 3] {
    let [_, came, answered] = exchange(tag, answer);
    [sent(tag, tenant), came, answered]
}

/// Catches: a breaker that must open because of one tenant, although it answers another one, and one that
/// needn't open although that was long ago.
#[test]
fn a_breaker_may_stay_closed_for_failures_of_one_tenant_among_others() {
    let late = || Answer::Router("cell_timeout_header".to_owned());
    let failing = |tenants: [&'static str; 3]| {
        let tags = ["1", "2", "3"].into_iter().zip(tenants);
        tags.flat_map(move |(tag, tenant)| of(tenant, tag, late()))
    };
    let others = || of("globex", "9", Answer::Ok).into_iter();
    let acme = || failing(["acme"; 3]);
    assert_eq!(fed(others().chain(acme())), Ok(()));
    for facts in [
        acme().collect::<Vec<_>>(),
        of("acme", "9", Answer::Ok)
            .into_iter()
            .chain(acme())
            .collect(),
        others()
            .chain(failing(["acme", "globex", "acme"]))
            .collect(),
        others()
            .chain((0..30).map(|_| bad("t")))
            .chain(acme())
            .collect(),
    ] {
        let error = fed(facts).unwrap_err();
        assert!(error.contains("after 2 requests in a row"), "{error}");
    }
}

/// Catches: a connection with requests of two tenants that counts for the wrong one.
#[test]
fn a_connection_that_breaks_may_be_of_each_tenant_that_used_it() {
    let requests = [("1", "globex"), ("2", "acme")];
    let came = requests.map(|(tag, tenant)| [sent(tag, tenant), arrived("a", tag, tag)]);
    let broken = requests.map(|(tag, _)| answered(tag, Answer::Router("cell_reset".to_owned())));
    let others = of("initech", "9", Answer::Ok).into_iter();
    let facts = others.chain(came.into_iter().flatten()).chain(broken);
    let row = facts.chain(reset("3")).chain(reset("4"));
    assert_eq!(fed(row), Ok(()));
}

/// Catches: a router that doesn't count a gRPC status in an answer without a message.
#[test]
fn notices_calls_that_fail() {
    let calls = |status, has_message| {
        let call = move |tag: &str| {
            let [sent, arrived, answered] = exchange(tag, Answer::CellGrpc(status));
            let ended = Fact::CallEnded {
                host: "a-1".to_owned(),
                tag: Some(tag.to_owned()),
                status,
                has_message,
            };
            [sent, arrived, ended, answered]
        };
        fed(["1", "2", "3", "4", "5"].into_iter().flat_map(call))
    };
    let error = calls(14, false).unwrap_err();
    assert!(error.contains("has not ejected"), "{error}");
    assert_eq!(calls(14, true), Ok(()));
    assert_eq!(calls(7, false), Ok(()));
}
