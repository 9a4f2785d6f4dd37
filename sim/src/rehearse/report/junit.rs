//! The report as JUnit XML, which pipelines show as tests.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::super::decisions::{Change, Kind};
use super::super::traffic::Traffic;
use super::Report;
use super::text::{few, headline, told, who};

/// A test: its name, and why it failed.
struct Case {
    name: String,
    failure: Option<(String, String)>,
}

impl Case {
    fn passed(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            failure: None,
        }
    }

    /// `what` is one line, `story` all of it.
    fn failed(name: impl Into<String>, what: impl Into<String>, story: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            failure: Some((what.into(), story.into())),
        }
    }
}

impl Report {
    /// The report as JUnit XML: a test for each class whose decisions change, for each class that loses
    /// requests, and for each invariant that breaks. `allowed`: the ways in which decisions may change.
    pub fn junit(&self, allowed: &[Kind]) -> String {
        let mut suites = vec![
            ("change".to_owned(), vec![self.taken()]),
            ("decisions".to_owned(), self.decided(allowed)),
        ];
        for traffic in &self.traffic {
            let name = format!("traffic at {}", traffic.listener);
            suites.push((name, simulated(traffic)));
        }
        let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"cellway-sim rehearse\">\n"
            .to_owned();
        for (name, cases) in suites {
            suite(&mut xml, &name, &cases);
        }
        xml + "</testsuites>\n"
    }

    fn taken(&self) -> Case {
        const NAME: &str = "running routers take it";
        let refused = self.notes.iter().filter(|note| note.refused);
        let refused: Vec<_> = refused.map(|note| note.text.clone()).collect();
        match refused.is_empty() {
            true => Case::passed(NAME),
            false => Case::failed(NAME, "running routers refuse it", refused.join("\n")),
        }
    }

    fn decided(&self, allowed: &[Kind]) -> Vec<Case> {
        let mut by_class: BTreeMap<_, Vec<&Change>> = BTreeMap::new();
        for change in &self.decisions.changes {
            let place = (change.of.is_none(), change.of);
            by_class.entry(place).or_default().push(change);
        }
        let mut cases: Vec<_> = by_class
            .values()
            .map(|changes| {
                let line = |it: &&Change| format!("{}: {} -> {}", who(it), it.before, it.after);
                let name = headline(changes[0]);
                let forbidden: Vec<_> = changes
                    .iter()
                    .filter(|it| !allowed.contains(&it.kind))
                    .collect();
                let kinds: Vec<_> = forbidden
                    .iter()
                    .map(|it| it.kind.as_str().to_owned())
                    .collect();
                let lines: Vec<_> = changes.iter().map(line).collect();
                match forbidden.is_empty() {
                    true => Case::passed(name),
                    false => {
                        let what = format!("decisions change: {}", few(&unique(kinds)));
                        Case::failed(name, what, lines.join("\n"))
                    }
                }
            })
            .collect();
        let same = self.blast.classes_of - self.blast.classes;
        if same > 0 {
            cases.push(Case::passed(format!(
                "{same} classes of tenants without a change"
            )));
        }
        cases
    }
}

fn unique(mut all: Vec<String>) -> Vec<String> {
    all.sort();
    all.dedup();
    all
}

fn simulated(traffic: &Traffic) -> Vec<Case> {
    let blamed = traffic.lost.iter().filter(|it| it.counts);
    let mut cases: Vec<_> = blamed
        .map(|lost| {
            let faults = if lost.with_faults {
                ", with faults"
            } else {
                ""
            };
            let name = format!("no requests are lost: {}{faults}", lost.class);
            Case::failed(
                name,
                format!("{} requests are lost", lost.requests),
                told(lost),
            )
        })
        .collect();
    let broken = traffic.broken.iter().filter(|it| !it.without_change);
    cases.extend(broken.map(|broken| {
        let faults = if broken.with_faults {
            ", with faults"
        } else {
            ""
        };
        let name = format!("invariant {}{faults}", broken.invariant);
        Case::failed(
            name,
            format!("broken in {} runs", broken.runs),
            broken.story.clone(),
        )
    }));
    if cases.is_empty() {
        cases.push(Case::passed(
            "no requests are lost, and no invariant is broken",
        ));
    }
    cases
}

fn suite(xml: &mut String, name: &str, cases: &[Case]) {
    let failures = cases.iter().filter(|case| case.failure.is_some()).count();
    let _ = writeln!(
        xml,
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\">",
        escaped(name),
        cases.len()
    );
    for case in cases {
        let (class, name) = (escaped(name), escaped(&case.name));
        let _ = match &case.failure {
            None => writeln!(xml, "    <testcase classname=\"{class}\" name=\"{name}\"/>"),
            Some((what, story)) => writeln!(
                xml,
                "    <testcase classname=\"{class}\" name=\"{name}\">\n      <failure message=\"{}\">{}</failure>\n    </testcase>",
                escaped(what),
                escaped(story)
            ),
        };
    }
    let _ = writeln!(xml, "  </testsuite>");
}

/// Text for XML 1.0, which has no other control characters.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() => escaped.push('\u{FFFD}'),
            c => escaped.push(c),
        }
    }
    escaped
}
