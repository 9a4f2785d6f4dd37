use std::time::Duration;

use super::Recording;
use crate::fact::Answer;
use crate::record::Changed;
use crate::scenario::Scenario;

const SMALL: &str = include_str!("../../../examples/small.toml");

fn recording() -> Recording {
    let text = format!("{SMALL}[expect]\nrecovery = \"1s\"\n");
    let scenario = Scenario::parse("shop.toml", &text).unwrap_or_else(|error| panic!("{error}"));
    scenario.run(1).into_recording()
}

#[test]
fn a_run_does_not_differ_from_itself() {
    let run = recording();
    assert!(!run.requests.is_empty() && !run.changes.is_empty());
    assert_eq!(run.difference(&run), None);
    let mut later = run.clone();
    for request in &mut later.requests {
        request.sent += Duration::from_millis(1);
    }
    assert_eq!(
        run.difference(&later),
        None,
        "a time alone is no difference"
    );
}

#[test]
fn the_first_request_that_goes_otherwise() {
    let run = recording();
    let mut other = run.clone();
    for index in [7, 4] {
        other.requests[index].answer = Some(Answer::Router("overloaded".to_owned()));
    }
    let found = run.difference(&other).expect("there is one");
    assert_eq!(found.tag.as_ref(), Some(&run.requests[4].tag));
    assert_eq!(found.at, run.requests[4].sent);
    assert!(found.here.ends_with("answered ok"), "{found}");
    assert!(found.there.ends_with("answered overloaded"), "{found}");
    assert_eq!(run.different(&other).len(), 2);
}

/// A run that failed early has not answered what was open, and has sent nothing later.
#[test]
fn a_run_that_ended_early_differs_only_before() {
    let run = recording();
    let mut short = run.clone();
    short.requests.truncate(6);
    short.requests[5].answer = None;
    assert_eq!(run.difference(&short), None);
}

#[test]
fn the_first_change_that_goes_otherwise() {
    let run = recording();
    let mut other = run.clone();
    let applied = |what: &Changed| matches!(what, Changed::Applied { .. });
    let index = run.changes.iter().position(|change| applied(&change.what));
    let index = index.expect("a router applies a registry");
    other.changes[index].what = Changed::Applied { version: 99 };
    let found = run.difference(&other).expect("there is one");
    assert_eq!(found.tag, None);
    assert!(found.there.contains("registry version 99"), "{found}");
}
