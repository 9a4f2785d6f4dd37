use cellway_core::policy::{Policy, PolicySpecs};
use cellway_router::explain::Rehearsed;

use super::*;

/// A decision of `caller` about `request`, by what the router answers.
fn row(caller: &str, request: &str, what: &'static str) -> Row {
    let specs: PolicySpecs = serde_json::from_value(serde_json::json!({ "policy": [{
        "name": "default", "mode": "disabled", "allow_insecure": true,
        "insecure_identity": { "tenant": "acme" },
    }] }))
    .unwrap();
    let policy = Policy::build(&specs).unwrap();
    Row::new(
        [caller, request, "public"],
        &Rehearsed::Answered { what },
        &policy,
    )
}

fn table(rows: &[[&str; 2]], what: &'static str) -> Decisions {
    Decisions::new(rows.iter().map(|[c, r]| row(c, r, what)).collect())
}

#[test]
fn a_table_is_the_same_as_what_it_wrote() {
    let table = table(&[["a b", "x"], ["ü", "long name"]], "preflight");
    for form in [Form::Text, Form::Json] {
        let written = table.write(form);
        let found = table.compare(&written, form).unwrap();
        assert!(found.is_same() && found.same == 2, "{found}\n{written}");
        // A checkout on Windows, and columns that another row made wider.
        let other = written.replace('\n', "\r\n").replace("  x", "     x");
        assert!(table.compare(&other, form).unwrap().is_same());
    }
    // Widths are steps of 8, and characters count, not bytes.
    let columns = format!("{:8}  {:16}  {:8}  preflight", "ü", "long name", "answer");
    let shown = table.to_string();
    let line = shown.lines().nth(2).unwrap();
    assert!(line.starts_with(&columns), "{columns}\n{line}");
}

/// Catches: a difference that isn't told, or is told as another one.
#[test]
fn a_comparison_tells_what_changed_is_new_is_gone_and_moved() {
    let old = table(&[["a", "x"], ["a", "y"], ["b", "x"]], "preflight");
    for form in [Form::Text, Form::Json] {
        let written = old.write(form);
        let compare = |new: &Decisions| new.compare(&written, form).unwrap();
        let mut rows = vec![
            row("a", "x", "keys of envelopes"),
            row("a", "z", "preflight"),
        ];
        rows.push(row("b", "x", "preflight"));
        let found = compare(&Decisions::new(rows));
        let counts = (found.changed, found.added, found.removed, found.same);
        assert_eq!(counts, (1, 1, 1, 1), "{found}");
        let marks: Vec<_> = found.lines().iter().map(|line| &line[..2]).collect();
        assert_eq!(marks, ["- ", "+ ", "+ ", "- "], "{found}");
        let last = "1 decision changed, 1 is new, 1 is gone; 1 is the same";
        assert!(found.to_string().ends_with(last), "{found}");

        let moved = table(&[["a", "y"], ["a", "x"], ["b", "x"]], "preflight");
        let found = compare(&moved);
        assert!(!found.is_same() && found.reordered, "{found}");
        assert_eq!(found.to_string(), "the order differs; 3 are the same");
    }
}

#[test]
fn another_text_is_no_table() {
    let table = table(&[["a", "x"]], "preflight");
    let refused = table.compare("a  b\n", Form::Text).unwrap_err();
    assert_eq!(refused.to_string(), "line 1 has 2 columns, not 8");
    assert!(table.compare("{}", Form::Json).is_err());
}
