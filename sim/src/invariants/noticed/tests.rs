use super::super::RouterSettings;
use super::super::testing::*;
use super::*;
use crate::fact::CircuitChange;

/// Two failures open a breaker, three eject one of the two endpoints of `a`.
fn fed(facts: impl IntoIterator<Item = Fact>) -> Result<(), String> {
    let hosts = ["a-1", "a-2"].map(str::to_owned);
    let bounds = Bounds {
        endpoints: Endpoints {
            hosts: [("a".to_owned(), hosts.into())].into(),
            troubles: Vec::new(),
        },
        ..with_settings(RouterSettings {
            breaker_failures: 2,
            connection_failures: 3,
            answer_failures: 3,
            ejected_percent_max: 50,
            ..RouterSettings::default()
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

#[test]
fn a_connection_breaks_once() {
    let requests = ["1", "2", "3"].map(|tag| (sent(tag, "acme"), arrived("a", tag, tag)));
    let (sent, arrived): (Vec<_>, Vec<_>) = requests.into_iter().unzip();
    let failed = ["1", "2", "3"].map(|tag| answered(tag, Answer::Router("cell_reset".to_owned())));
    let facts = sent.into_iter().chain(arrived).chain(failed);
    assert_eq!(fed(facts.chain(reset("4"))), Ok(()));
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
