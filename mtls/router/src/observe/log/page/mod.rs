//! Tests that `docs/logs.md` lists every event with its level and its fields, and nothing else.

mod examples;

use std::collections::{BTreeMap, BTreeSet};

use self::examples::tell_all;
use super::tests::AT;
use super::*;

const PAGE: &str = include_str!("../../../../../../docs/logs.md");
const HEADINGS: &str = include_str!("../heading.rs");

/// The fields that every line has.
const ALWAYS: [&str; 3] = ["ts", "level", "event"];

/// Events by name: the levels, and all fields that a line may have.
type Events = BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>;

/// The events that the code emits.
fn told() -> Events {
    let subjects = Subjects::with_key(&[1; 32]);
    let mut events = Events::new();
    tell_all(&mut |event| {
        let line = render(AT, event, Level::Debug, &subjects).unwrap();
        let line: BTreeMap<String, serde_json::Value> = serde_json::from_str(&line).unwrap();
        let word = |key: &str| line[key].as_str().unwrap().to_owned();
        let (levels, fields) = events.entry(word("event")).or_default();
        levels.insert(word("level"));
        let own = line.keys().filter(|key| !ALWAYS.contains(&key.as_str()));
        fields.extend(own.cloned());
    });
    events
}

/// The words in backticks.
fn quoted(cell: &str) -> BTreeSet<String> {
    let words = cell.split('`').skip(1).step_by(2);
    words.map(str::to_owned).collect()
}

/// The events in the page's table.
fn documented() -> Events {
    let section = PAGE
        .split("\n## ")
        .find(|it| it.starts_with("All events\n"));
    let rows = section.expect("a table").lines();
    let rows = rows.filter(|line| line.starts_with("| `"));
    let mut events = Events::new();
    for row in rows {
        let cells: Vec<_> = row.split('|').collect();
        assert_eq!(cells.len(), 6, "{row}");
        let of = (quoted(cells[2]), quoted(cells[3]));
        for name in quoted(cells[1]) {
            let twice = events.insert(name, of.clone());
            assert!(twice.is_none(), "{row}");
        }
    }
    events
}

/// Catches: an event that the page doesn't list, and an event on the page that doesn't exist.
#[test]
fn the_page_lists_every_event_with_its_level_and_fields() {
    let (told, documented) = (told(), documented());
    for (name, of) in &told {
        assert_eq!(documented.get(name), Some(of), "{name}, right is the code");
    }
    for name in documented.keys() {
        assert!(told.contains_key(name), "{name} is no event");
    }
}

/// Catches: an event that `tell_all` leaves out.
#[test]
fn every_heading_is_told_here() {
    let names = HEADINGS.split('"').skip(1).step_by(2);
    let names: BTreeSet<_> = names.map(str::to_owned).collect();
    let told: BTreeSet<_> = told().into_keys().collect();
    assert_eq!(names, told);
}
