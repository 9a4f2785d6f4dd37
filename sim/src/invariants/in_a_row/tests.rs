use super::super::testing::*;
use super::super::{EndpointTrouble, Harm};
use super::*;
use crate::fact::Answer;

/// Two failures in a row open a breaker, and three eject an endpoint for four seconds. `a` has the endpoints
/// `a-1` and `a-2`. All endpoints may do this harm all the time.
fn bounds(harm: Option<Harm>) -> Bounds {
    let mut endpoints = one_each();
    if let Some(hosts) = endpoints.hosts.get_mut("a") {
        hosts.insert("a-2".to_owned());
    }
    let hosts = endpoints
        .hosts
        .values()
        .flatten()
        .zip(harm.into_iter().cycle());
    let trouble = |(host, harm): (&String, Harm)| EndpointTrouble {
        host: host.clone(),
        from: Duration::ZERO,
        until: SECOND * 100,
        harm,
    };
    endpoints.troubles = hosts.map(trouble).collect();
    Bounds {
        endpoints,
        delivery_max: SECOND,
        ..with_settings(|it| {
            it.breaker.failures = 2;
            it.outlier.connection_failures = 3;
            it.outlier.answer_failures = 3;
            it.outlier.ejection = [SECOND * 4, SECOND * 8];
            it.outlier.statuses = [503].into();
            it.outlier.grpc_statuses = [14].into();
        })
    }
}

fn fed_with(harm: Option<Harm>, facts: &[Fact]) -> Result<(), String> {
    feed(&mut InARow::new(&bounds(harm)), facts)
}

/// Requests that have arrived may fail.
fn fed(facts: &[Fact]) -> Result<(), String> {
    fed_with(Some(Harm::Answers), facts)
}

/// A request that arrives at a cell and gets this answer.
fn at_cell(cell: &str, tag: &str, answer: Answer) -> Vec<Fact> {
    let arrived = arrived(cell, tag, tag);
    vec![sent(tag, "acme"), arrived, answered(tag, answer)]
}

fn served(tag: &str) -> Vec<Fact> {
    at_cell("a", tag, Answer::Ok)
}

fn fails(tag: &str) -> Vec<Fact> {
    at_cell("a", tag, reset())
}

/// A request that breaks off in this way.
fn unserved(tag: &str, how: Unserved) -> Vec<Fact> {
    let [sent, arrived, answered]: [Fact; 3] = fails(tag).try_into().expect("three facts");
    let unserved = Fact::Unserved {
        cell: "a".to_owned(),
        host: "a-1".to_owned(),
        tag: Some(tag.to_owned()),
        how,
    };
    vec![sent, arrived, unserved, answered]
}

fn opened() -> Vec<Fact> {
    vec![Fact::Circuit {
        life: life(0),
        host: "a-1".to_owned(),
        request_id: "2".to_owned(),
        change: CircuitChange::Opened,
    }]
}

fn ejection(ejected: bool) -> Vec<Fact> {
    vec![Fact::Ejected {
        life: life(0),
        host: "a-1".to_owned(),
        ejected,
    }]
}

fn ejected() -> Vec<Fact> {
    ejection(true)
}

/// A request that arrives at the cell's other endpoint and gets this answer.
fn at_other(tag: &str, answer: Answer) -> Vec<Fact> {
    let arrived = arrived_with("a", tag, tag, |it| it.host = "a-2".to_owned());
    vec![sent(tag, "acme"), arrived, answered(tag, answer)]
}

fn reset() -> Answer {
    Answer::Router("cell_reset".to_owned())
}

#[test]
fn notices_a_breaker_that_counts_over_a_success() {
    let facts = [fails("1"), served("2"), fails("3"), opened()].concat();
    let error = fed(&facts).unwrap_err();
    assert!(
        error.contains("1 failures of connections at most"),
        "{error}"
    );
    let facts = [served("1"), fails("2"), fails("3"), opened()].concat();
    assert_eq!(fed(&facts), Ok(()));
}

#[test]
fn notices_an_ejection_that_counts_over_a_success() {
    let facts = [fails("1"), served("2"), fails("3"), fails("4"), ejected()].concat();
    let error = fed(&facts).unwrap_err();
    assert!(error.contains("ejects a-1"), "{error}");
    let facts = [served("1"), fails("2"), fails("3"), fails("4"), ejected()].concat();
    assert_eq!(fed(&facts), Ok(()));
}

/// Catches: an endpoint on probation that may have no failure, or one that nobody ejected lately.
#[test]
fn one_failure_ejects_an_endpoint_on_probation() {
    let first = [
        fails("1"),
        fails("2"),
        fails("3"),
        ejected(),
        ejection(false),
    ]
    .concat();
    let again = |then: &[Vec<Fact>]| fed(&[first.clone(), then.concat(), ejected()].concat());
    assert_eq!(again(&[fails("4")]), Ok(()));
    assert!(again(&[]).is_err());
    assert!(again(&[served("4"), fails("5")]).is_err(), "after 4 s");
    assert_eq!(
        again(&[served("4"), fails("5"), fails("6"), fails("7")]),
        Ok(())
    );
}

/// Catches: a router that ejects an endpoint for one failure although it has served a request since it
/// returned, and a false alarm about one that has overlooked this.
#[test]
fn probation_ends_with_a_success() {
    let three = [fails("1"), fails("2"), fails("3"), ejected()].concat();
    let eject_again = |then: &[Vec<Fact>]| {
        let facts = [three.clone(), then.concat(), ejected()].concat();
        // Two facts a second, so that the second ejection comes within four seconds.
        let mut invariant = InARow::new(&bounds(Some(Harm::Answers)));
        for (at, fact) in (0..).zip(&facts) {
            invariant.observe(SECOND * at / 2, fact)?;
        }
        invariant.finish(SECOND * 60)
    };
    let back = || ejection(false);
    assert_eq!(eject_again(&[back(), fails("4")]), Ok(()));
    let error = eject_again(&[back(), served("4"), fails("5")]).unwrap_err();
    assert!(error.contains("1 failures of connections"), "{error}");
    let meanwhile = [served("4"), back(), served("5"), fails("6")];
    assert_eq!(eject_again(&meanwhile), Ok(()));
}

#[test]
fn failures_at_another_endpoint_are_not_counted_here() {
    let listed = || Answer::Cell(503);
    for failed in [reset, listed] {
        let here = |tag| at_cell("a", tag, failed());
        let there = |tag| at_other(tag, failed());
        let mixed = [here("1"), there("2"), there("3"), here("4"), ejected()].concat();
        assert!(fed(&mixed).is_err());
        let enough = [
            here("1"),
            there("2"),
            there("3"),
            here("4"),
            here("5"),
            ejected(),
        ];
        assert_eq!(fed(&enough.concat()), Ok(()));
    }
    let mixed = [fails("1"), at_other("2", reset()), opened()].concat();
    assert!(fed(&mixed).is_err());
    // It may have tried the first endpoint in vain.
    assert_eq!(fed_with(Some(Harm::Connections), &mixed), Ok(()));
}

#[test]
fn a_success_at_another_endpoint_ends_no_row_here() {
    let between = [fails("1"), at_other("2", Answer::Ok), fails("3"), opened()].concat();
    assert_eq!(fed(&between), Ok(()));
}

#[test]
fn failures_of_connections_and_failing_answers_are_counted_apart() {
    let stream_reset = |tag: &str| unserved(tag, Unserved::StreamReset);
    let timeout = |tag| at_cell("a", tag, Answer::Router("cell_timeout_header".to_owned()));
    let listed = |tag| at_cell("a", tag, Answer::Cell(503));
    for answer in [&listed as &dyn Fn(&'static str) -> Vec<Fact>, &stream_reset] {
        let mixed = [answer("1"), timeout("2"), timeout("3"), ejected()].concat();
        assert!(fed(&mixed).is_err());
        let three = [
            answer("1"),
            timeout("2"),
            answer("3"),
            answer("4"),
            ejected(),
        ]
        .concat();
        assert_eq!(fed(&three), Ok(()));
        // The endpoint is there.
        let breaker = [timeout("1"), answer("2"), timeout("3"), opened()].concat();
        assert!(fed(&breaker).is_err());
        assert!(fed(&[answer("1"), answer("2"), opened()].concat()).is_err());
    }
}

/// Catches: a connection that an endpoint closes and that may count as a failing answer.
#[test]
fn a_connection_that_is_closed_is_no_answer() {
    let closed = |tag: &str| unserved(tag, Unserved::ConnectionClosed);
    let listed = |tag| at_cell("a", tag, Answer::Cell(503));
    let mixed = [closed("1"), closed("2"), listed("3"), ejected()].concat();
    assert!(fed(&mixed).is_err());
    let three = [listed("1"), closed("2"), closed("3"), closed("4")];
    assert_eq!(fed(&[three.concat(), ejected()].concat()), Ok(()));
}

/// Catches: a client that breaks off, or waits no longer, and is taken for a failure of the endpoint.
#[test]
fn nothing_fails_at_an_endpoint_without_a_fault() {
    let gone = |tag| at_cell("a", tag, Answer::None);
    let facts = [gone("1"), gone("2"), gone("3"), opened()].concat();
    assert!(fed_with(None, &facts).is_err());
    assert!(fed_with(Some(Harm::Excused), &facts).is_err());
    assert_eq!(fed(&facts), Ok(()));
    let slow = |tag| at_cell("a", tag, Answer::Router("client_timeout".to_owned()));
    assert!(fed(&[slow("1"), slow("2"), slow("3"), opened()].concat()).is_err());
}

/// Catches: the failed attempts of a request that another endpoint serves in the end.
#[test]
fn a_request_fails_at_each_endpoint_but_the_last() {
    let moves_on = |tag: &str| {
        let first = arrived("a", tag, tag);
        let [sent, arrived, answered]: [Fact; 3] =
            at_other(tag, Answer::Ok).try_into().expect("three");
        vec![sent, first, arrived, answered]
    };
    assert_eq!(
        fed(&[moves_on("1"), moves_on("2"), opened()].concat()),
        Ok(())
    );
    let back = |tag: &str| {
        let other = arrived_with("a", tag, tag, |it| it.host = "a-2".to_owned());
        let [sent, arrived, answered]: [Fact; 3] = served(tag).try_into().expect("three facts");
        vec![sent, other, arrived, answered]
    };
    assert!(fed(&[fails("1"), back("2"), fails("3"), opened()].concat()).is_err());
}

#[test]
fn a_request_elsewhere_has_not_failed_here() {
    let other = at_cell("b", "2", reset());
    let facts = [fails("1"), other, opened()].concat();
    assert!(fed(&facts).is_err());
}

#[test]
fn a_request_whose_answer_is_on_its_way_may_have_failed() {
    let [sent, arrived, answered]: [Fact; 3] = fails("2").try_into().expect("three facts");
    let facts = [served("0"), fails("1"), vec![sent, arrived], opened()].concat();
    assert_eq!(fed(&[facts, vec![answered]].concat()), Ok(()));
}

#[test]
fn a_breaker_that_was_open_opens_again_after_one_failure() {
    let first = [fails("1"), fails("2"), opened()].concat();
    assert_eq!(
        fed(&[first, served("3"), fails("4"), opened()].concat()),
        Ok(())
    );
}

/// Catches: a count of requests where one may come to the endpoint several times.
#[test]
fn a_request_fails_each_time_that_it_is_handed_back() {
    let handed_back = Fact::Unserved {
        cell: "a".to_owned(),
        host: "a-1".to_owned(),
        tag: Some("2".to_owned()),
        how: Unserved::StreamRefused,
    };
    let refused = answered("2", Answer::Router("cell_refused".to_owned()));
    let times = |count| {
        let tries = vec![handed_back.clone(); count];
        let of_one = [vec![sent("2", "acme")], tries, vec![refused.clone()]].concat();
        fed(&[served("1"), of_one, ejected()].concat())
    };
    assert_eq!(times(3), Ok(()));
    assert!(times(2).is_err());
}

/// Catches: a breaker that opens because an endpoint refuses its callers.
#[test]
fn an_answer_with_a_status_that_is_not_listed_is_no_failure() {
    let refused = |tag, status| at_cell("a", tag, Answer::Cell(status));
    for status in [403, 429] {
        let facts = [refused("1", status), refused("2", status), opened()].concat();
        let error = fed(&facts).unwrap_err();
        assert!(error.contains("0 failures of connections"), "{error}");
    }
    // 403 ends a row, and 429 doesn't.
    let between = |status| [fails("1"), refused("2", status), fails("3"), opened()].concat();
    assert!(fed(&between(403)).is_err());
    assert_eq!(fed(&between(429)), Ok(()));
    let listed = [
        refused("1", 503),
        refused("2", 503),
        refused("3", 503),
        ejected(),
    ]
    .concat();
    assert_eq!(fed(&listed), Ok(()));
}

/// Catches: a router that counts a gRPC status for a failure that the settings don't list, or that comes
/// after a message.
#[test]
fn notices_a_grpc_status_that_is_no_failure() {
    let call = |tag: &str, status, has_message| {
        let [sent, arrived, answered]: [Fact; 3] = at_cell("a", tag, Answer::CellGrpc(status))
            .try_into()
            .expect("three facts");
        let ended = Fact::CallEnded {
            host: "a-1".to_owned(),
            tag: Some(tag.to_owned()),
            status,
            has_message,
        };
        vec![sent, arrived, ended, answered]
    };
    let three = |status, has_message| {
        let calls = ["1", "2", "3"].map(|tag| call(tag, status, has_message));
        fed(&[calls.concat(), ejected()].concat())
    };
    assert_eq!(three(14, false), Ok(()));
    assert!(three(14, true).is_err());
    assert!(three(7, false).is_err());
    assert!(three(8, false).is_err());
    // 8 says neither, so the row goes on.
    let row = [
        call("1", 14, false),
        call("2", 8, false),
        call("3", 14, false),
    ];
    let row = [row.concat(), call("4", 14, false), ejected()].concat();
    assert_eq!(fed(&row), Ok(()));
}
