//! The report as Markdown, for a comment on a pull request.

use std::fmt::Write;

use super::super::decisions::Kind;
use super::Report;
use super::text::{GROUPS, few, percent, who};

/// The most lines of a table. Comments have a limit.
const ROWS_MAX: usize = 50;

impl Report {
    /// The report as Markdown. `allowed`: the ways in which decisions may change.
    pub fn markdown(&self, allowed: &[Kind]) -> String {
        let mut text = format!(
            "### Rehearsal: {} to {}\n",
            plain(&self.from),
            plain(&self.to)
        );
        let _ = writeln!(text, "\n**{}**", plain(&self.verdict(allowed)));
        for note in &self.notes {
            let _ = writeln!(text, "\n> {}", plain(&note.text));
        }
        let blast = &self.blast;
        let _ = writeln!(
            text,
            "\nBlast radius: {} of {} tenants ({}), {} of {} classes, {} of {} cells{}",
            blast.tenants,
            blast.tenants_of,
            percent(blast.tenants, blast.tenants_of),
            blast.classes,
            blast.classes_of,
            blast.cells.len(),
            blast.cells_of,
            match blast.cells.is_empty() {
                true => String::new(),
                false => format!(" ({})", plain(&few(&blast.cells))),
            }
        );
        self.decisions_as_markdown(&mut text);
        self.traffic_as_markdown(&mut text);
        self.not_simulated_as_markdown(&mut text);
        text
    }

    fn decisions_as_markdown(&self, text: &mut String) {
        let changes = &self.decisions.changes;
        if changes.is_empty() {
            let _ = writeln!(
                text,
                "\nNo decision changes ({} compared).",
                self.decisions.compared
            );
            return;
        }
        let _ = writeln!(
            text,
            "\n| tenants | class | requests | before | after | |\n| ---: | --- | --- | --- | --- | --- |"
        );
        for change in changes.iter().take(ROWS_MAX) {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} |",
                change.tenants,
                plain(&change.class),
                plain(&who(change)),
                plain(&change.before),
                plain(&change.after),
                change.kind.as_str()
            );
        }
        if changes.len() > ROWS_MAX {
            let _ = writeln!(
                text,
                "\nand {} more; `--format text` lists all.",
                changes.len() - ROWS_MAX
            );
        }
    }

    fn traffic_as_markdown(&self, text: &mut String) {
        for traffic in &self.traffic {
            let _ = writeln!(
                text,
                "\n#### Traffic at {}\n\n{} requests in {} runs with the change, {} of them with further faults.",
                plain(&traffic.listener),
                traffic.requests,
                traffic.runs,
                traffic.runs_with_faults
            );
            let blamed: Vec<_> = traffic.lost.iter().filter(|it| it.counts).collect();
            match blamed.is_empty() {
                true => {
                    let _ = writeln!(text, "No request is lost because of the change.");
                }
                false => {
                    let _ = writeln!(
                        text,
                        "\n| lost | of | without the change | tenants | class | answers |\n\
                         | ---: | ---: | ---: | ---: | --- | --- |"
                    );
                }
            }
            for lost in blamed {
                let answers = lost.answers.iter();
                let answers: Vec<_> = answers.map(|(it, count)| format!("{it} {count}")).collect();
                let _ = writeln!(
                    text,
                    "| {} | {} | {} | {} | {}{} | {} |",
                    lost.requests,
                    lost.of,
                    lost.without_change,
                    lost.tenants,
                    plain(&lost.class),
                    if lost.with_faults {
                        " (with faults)"
                    } else {
                        ""
                    },
                    plain(&answers.join(", "))
                );
            }
            for broken in &traffic.broken {
                let without = if broken.without_change {
                    ", and without the change too"
                } else {
                    ""
                };
                let _ = writeln!(
                    text,
                    "\n<details><summary>Broken: {} in {} runs{without}</summary>\n\n```\n{}\n```\n\n</details>",
                    broken.invariant,
                    broken.runs,
                    broken.story.replace("```", "'''")
                );
            }
            for remark in &traffic.remarks {
                let _ = writeln!(text, "\nNote: {}", plain(remark));
            }
        }
    }

    fn not_simulated_as_markdown(&self, text: &mut String) {
        if self.not_simulated.is_empty() {
            return;
        }
        let _ = writeln!(
            text,
            "\n<details><summary>What is not in the traffic</summary>"
        );
        for (instead, title) in GROUPS {
            let theirs = self.not_simulated.iter().filter(|it| it.instead == instead);
            let mut lines = theirs.peekable();
            if lines.peek().is_some() {
                let _ = writeln!(text, "\n{title}:\n");
            }
            for line in lines {
                let settings = line.settings.iter().map(|it| format!("`{it}`"));
                let settings: Vec<_> = settings.collect();
                let _ = writeln!(text, "- {}: {}", settings.join(", "), plain(&line.why));
            }
        }
        let _ = writeln!(text, "\n</details>");
    }
}

/// Text that Markdown shows as it is.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        if matches!(c, '\\' | '*' | '_' | '`' | '<' | '[' | ']' | '#' | '|') {
            plain.push('\\');
        }
        plain.push(if c == '\n' { ' ' } else { c });
    }
    plain
}
