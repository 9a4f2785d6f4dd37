use super::super::testing::*;
use super::*;

/// Two failures in a row open a breaker, and three eject an endpoint.
fn fed(facts: &[Fact]) -> Result<(), String> {
    let bounds = Bounds {
        endpoints: one_each(),
        delivery_max: SECOND,
        ..with_settings(|it| {
            it.breaker.failures = 2;
            it.outlier.connection_failures = 3;
            it.outlier.answer_failures = 3;
            it.outlier.statuses = [503].into();
            it.outlier.grpc_statuses = [14].into();
        })
    };
    feed(&mut InARow::new(&bounds), facts)
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
    at_cell("a", tag, Answer::Router("cell_reset".to_owned()))
}

fn opened() -> Vec<Fact> {
    vec![Fact::Circuit {
        life: life(0),
        host: "a-1".to_owned(),
        request_id: "2".to_owned(),
        change: CircuitChange::Opened,
    }]
}

fn ejected() -> Vec<Fact> {
    vec![Fact::Ejected {
        life: life(0),
        host: "a-1".to_owned(),
        ejected: true,
    }]
}

#[test]
fn notices_a_breaker_that_counts_over_a_success() {
    let facts = [fails("1"), served("2"), fails("3"), opened()].concat();
    let error = fed(&facts).unwrap_err();
    assert!(
        error.contains("at most 1 requests can have failed"),
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
    // It returns on probation.
    let again = [facts, served("5"), fails("6"), ejected()].concat();
    assert_eq!(fed(&again), Ok(()));
}

#[test]
fn a_request_elsewhere_has_not_failed_here() {
    let other = at_cell("b", "2", Answer::Router("cell_reset".to_owned()));
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
        how: cellway_testbed::Unserved::StreamRefused,
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
        assert!(error.contains("at most 0 requests"), "{error}");
    }
    // 403 ends a row, and 429 doesn't.
    let between = |status| [fails("1"), refused("2", status), fails("3"), opened()].concat();
    assert!(fed(&between(403)).is_err());
    assert_eq!(fed(&between(429)), Ok(()));
    let listed = [refused("1", 503), refused("2", 503), opened()].concat();
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
