//! The report as text, for a terminal.

use std::fmt::Write;

use super::super::decisions::{Change, Kind};
use super::super::settings::Instead;
use super::super::traffic::Lost;
use super::Report;

/// The most callers or requests that a line names.
const NAMED_MAX: usize = 4;

impl Report {
    /// The report as text. `allowed`: the ways in which decisions may change.
    pub fn text(&self, allowed: &[Kind]) -> String {
        let mut text = format!("Rehearsed the change from {} to {}.\n", self.from, self.to);
        for note in &self.notes {
            let _ = writeln!(
                text,
                "\n{}: {}",
                if note.refused { "REFUSED" } else { "note" },
                note.text
            );
        }
        self.decisions_as_text(&mut text);
        self.traffic_as_text(&mut text);
        self.blast_as_text(&mut text);
        self.not_simulated_as_text(&mut text);
        let _ = writeln!(text, "\n{}", self.verdict(allowed));
        text
    }

    fn decisions_as_text(&self, text: &mut String) {
        let decisions = &self.decisions;
        let _ = writeln!(text, "\nDecisions that change");
        if decisions.changes.is_empty() {
            let _ = writeln!(text, "  none of {}", decisions.compared);
        }
        let mut class = None;
        for change in &decisions.changes {
            if class != Some(&change.class) {
                let _ = writeln!(text, "  {}", headline(change));
                class = Some(&change.class);
            }
            let _ = writeln!(
                text,
                "    {}: {} -> {}",
                who(change),
                change.before,
                change.after
            );
        }
        if decisions.refused_otherwise > 0 {
            let _ = writeln!(
                text,
                "  and {} of callers that neither side ever allows, which are refused for another reason",
                decisions.refused_otherwise
            );
        }
        if decisions.undecided_tenants > 0 {
            let _ = writeln!(
                text,
                "  {} tenants are in too many small classes, and were not decided",
                decisions.undecided_tenants
            );
        }
        if decisions.undecided_requests > 0 {
            let _ = writeln!(
                text,
                "  {} requests of rules were left out, because there are too many rules",
                decisions.undecided_requests
            );
        }
    }

    fn traffic_as_text(&self, text: &mut String) {
        for traffic in &self.traffic {
            let faults = match traffic.runs_with_faults {
                0 => String::new(),
                runs => format!(", {runs} of them with further faults"),
            };
            let _ = writeln!(
                text,
                "\nTraffic at {}: {} requests in {} runs with the change{faults}",
                traffic.listener, traffic.requests, traffic.runs
            );
            let blamed: Vec<_> = traffic.lost.iter().filter(|it| it.counts).collect();
            if blamed.is_empty() {
                let _ = writeln!(text, "  no request is lost because of the change");
            }
            for lost in blamed {
                let _ = writeln!(text, "  LOST {}", told(lost));
            }
            let others = traffic.lost.iter().filter(|it| !it.counts);
            let others: u64 = others.map(|it| it.requests).sum();
            if others > 0 {
                let _ = writeln!(
                    text,
                    "  {others} requests fail, as often as without the change"
                );
            }
            if traffic.broken.is_empty() {
                let _ = writeln!(text, "  no invariant is broken");
            }
            for broken in &traffic.broken {
                let without = if broken.without_change {
                    ", and without the change too"
                } else {
                    ""
                };
                let _ = writeln!(
                    text,
                    "  BROKEN {} in {} runs{}{without}\n    {}",
                    broken.invariant,
                    broken.runs,
                    if broken.with_faults {
                        " with faults"
                    } else {
                        ""
                    },
                    broken.story.replace('\n', "\n    ")
                );
            }
            for remark in &traffic.remarks {
                let _ = writeln!(text, "  note: {remark}");
            }
        }
    }

    fn not_simulated_as_text(&self, text: &mut String) {
        for (instead, title) in GROUPS {
            let theirs = self.not_simulated.iter().filter(|it| it.instead == instead);
            let mut lines = theirs.peekable();
            if lines.peek().is_some() {
                let _ = writeln!(text, "\n{title}");
            }
            for line in lines {
                let _ = writeln!(text, "  {}: {}", line.settings.join(", "), line.why);
            }
        }
    }

    fn blast_as_text(&self, text: &mut String) {
        let blast = &self.blast;
        let _ = writeln!(text, "\nBlast radius");
        let _ = writeln!(
            text,
            "  {} of {} tenants ({}), {} of {} classes",
            blast.tenants,
            blast.tenants_of,
            percent(blast.tenants, blast.tenants_of),
            blast.classes,
            blast.classes_of
        );
        let cells = match blast.cells.is_empty() {
            true => String::new(),
            false => format!(": {}", few(&blast.cells)),
        };
        let _ = writeln!(
            text,
            "  {} of {} cells{cells}",
            blast.cells.len(),
            blast.cells_of
        );
    }
}

/// The groups of settings that aren't simulated, with their titles.
pub(super) const GROUPS: [(Instead, &str); 3] = [
    (Instead::Nothing, "Not rehearsed"),
    (
        Instead::Decisions,
        "Only in the decisions, not in the traffic",
    ),
    (
        Instead::StandIn,
        "Replaced in the traffic by something of the simulator's own",
    ),
];

/// A line about lost requests.
pub(super) fn told(lost: &Lost) -> String {
    let answers = lost.answers.iter();
    let answers: Vec<_> = answers
        .map(|(answer, count)| format!("{answer} {count}"))
        .collect();
    let faults = if lost.with_faults { " with faults" } else { "" };
    format!(
        "{} of {} requests{faults} ({} without the change) of {}: {}",
        lost.requests,
        lost.of,
        lost.without_change,
        of_class(lost.tenants, &lost.class),
        answers.join(", ")
    )
}

/// `412 tenants, premium at gold`
fn of_class(tenants: usize, class: &str) -> String {
    match tenants {
        0 => class.to_owned(),
        1 => format!("1 tenant, {class}"),
        tenants => format!("{tenants} tenants, {class}"),
    }
}

/// `412 tenants, such as acme: premium at gold`
pub(super) fn headline(change: &Change) -> String {
    match change.tenants {
        0 => change.class.clone(),
        1 => format!("1 tenant, {}: {}", change.example, change.class),
        tenants => format!(
            "{tenants} tenants, such as {}: {}",
            change.example, change.class
        ),
    }
}

/// Callers and requests of a change.
pub(super) fn who(change: &Change) -> String {
    let requests = match change.all_requests {
        true => "every request".to_owned(),
        false => few(&change.requests),
    };
    let callers = match change.all_callers {
        true => "of every caller".to_owned(),
        false => format!("with {}", few(&change.callers).replace(", ", " or ")),
    };
    format!("{requests} {callers}")
}

/// The first few, and how many more there are.
pub(super) fn few(all: &[String]) -> String {
    let named = &all[..all.len().min(NAMED_MAX)];
    match all.len() - named.len() {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// `12%`; a small part isn't rounded to nothing, and almost all isn't all.
pub(super) fn percent(part: usize, of: usize) -> String {
    match (part * 100).checked_div(of) {
        None => "0%".to_owned(),
        Some(0) if part > 0 => "under 1%".to_owned(),
        Some(percent) => format!("{percent}%"),
    }
}
