use cellway_core::{Reason, Text};
use cellway_env::fetch::FetchError;

use super::*;
use crate::observe::event::testing::responded;
use crate::observe::event::{Changed, Owner};

fn at(secs: u64) -> Mono {
    Mono::from_origin(Duration::from_secs(secs))
}

fn failed(repeats: &Repeats, secs: u64, endpoint: &str, reason: Reason) -> Option<u64> {
    let event = Event::CellFailed {
        cell: &Text::new("a").unwrap(),
        endpoint,
        reason,
        error: "refused",
    };
    repeats.count(at(secs), &event)
}

#[test]
fn the_first_failure_is_written_and_the_next_line_counts_the_rest() {
    let repeats = Repeats::new();
    let unreachable = |secs| failed(&repeats, secs, "https://a", Reason::CellUnreachable);
    assert_eq!(unreachable(0), Some(0));
    assert!((0..8_422).all(|_| unreachable(4).is_none()));
    assert_eq!(unreachable(10), Some(8_422));
    assert_eq!(unreachable(11), None);
    assert_eq!(unreachable(100), Some(1));
}

/// Catches: an operator who corrects a file, reloads, and reads nothing although it is still wrong.
#[test]
fn after_a_reload_a_source_that_is_still_wrong_is_written_again() {
    let repeats = Repeats::new();
    let error = FetchError::Timeout(Duration::from_secs(1));
    let refused = |secs| {
        let event = Event::SourceFailed {
            source: "registry",
            error: &error,
        };
        repeats.count(at(secs), &event)
    };
    let unreachable = |secs| failed(&repeats, secs, "https://a", Reason::CellUnreachable);
    assert_eq!([refused(0), refused(1)], [Some(0), None]);
    assert_eq!([unreachable(1), unreachable(2)], [Some(0), None]);
    let changed = Changed::default();
    for event in [
        Event::Reloaded { changed: &changed },
        Event::ReloadRefused {
            error: "is missing",
        },
    ] {
        repeats.count(at(3), &event);
        assert_eq!([refused(4), refused(5)], [Some(0), None]);
        // A reload says nothing about cells.
        assert_eq!(unreachable(5), None);
    }
}

#[test]
fn another_endpoint_or_reason_is_another_line() {
    let repeats = Repeats::new();
    for (endpoint, reason) in [
        ("https://a", Reason::CellUnreachable),
        ("https://a", Reason::CellUntrusted),
        ("https://b", Reason::CellUnreachable),
    ] {
        assert_eq!(failed(&repeats, 1, endpoint, reason), Some(0));
        assert_eq!(failed(&repeats, 1, endpoint, reason), None);
    }
}

#[test]
fn lines_stay_bounded_however_many_endpoints_fail() {
    let repeats = Repeats::new();
    let failing = || {
        let endpoints = (0..20_000).map(|n| format!("https://{n}"));
        let written = endpoints
            .filter_map(|endpoint| failed(&repeats, 1, &endpoint, Reason::CellUnreachable));
        written.count()
    };
    let first = failing();
    assert!((SLOTS / 2..=SLOTS + 1).contains(&first), "{first} lines");
    assert_eq!(failing(), 0);
}

#[test]
fn a_slot_is_free_again_when_its_time_is_over() {
    let repeats = Repeats::new();
    for secs in [0, 10, 20] {
        for n in 0..SLOTS * 4 {
            failed(&repeats, secs, &format!("{secs} {n}"), Reason::CellReset);
        }
    }
    let newest = failed(&repeats, 30, "new", Reason::CellReset);
    assert_eq!(newest, Some(0), "it has a place of its own");
    assert_eq!(failed(&repeats, 30, "new", Reason::CellReset), None);
}

fn answered(repeats: &Repeats, reason: Reason, cell: &str) -> Option<u64> {
    let event = Event::Responded(Responded {
        status: Some(503),
        owner: Owner::Router,
        reason: Some(reason),
        cell: Some(&Text::new(cell).unwrap()),
        ..responded()
    });
    repeats.count(at(1), &event)
}

/// Catches: a line for each request to a cell that is down.
#[test]
fn an_outage_is_one_line_and_each_bad_request_has_its_own() {
    let repeats = Repeats::new();
    for (reason, cell) in [
        (Reason::CellUnreachable, "a"),
        (Reason::Overloaded, "a"),
        (Reason::Overloaded, "b"),
    ] {
        assert_eq!(answered(&repeats, reason, cell), Some(0));
        assert_eq!(answered(&repeats, reason, cell), None);
    }
    for _ in 0..2 {
        assert_eq!(answered(&repeats, Reason::BadRequest, "a"), Some(0));
    }
}

#[test]
fn lines_of_other_kinds_are_always_written() {
    let repeats = Repeats::new();
    let event = Event::ReloadRefused { error: "x" };
    assert!((0..100).all(|_| repeats.count(at(1), &event) == Some(0)));
}
