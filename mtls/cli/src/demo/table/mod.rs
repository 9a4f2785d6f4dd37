//! The results of the sample requests.

use std::fmt::Write as _;
use std::time::Duration;

use cellway_testbed::{Answer, ClientError};
use http::StatusCode;
use serde_json::Value;

use super::callers::{Caller, Expected};

const HEADINGS: [&str; 5] = ["CALLER", "DECISION", "REASON", "CELL", "LATENCY"];

/// One line of the table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Row {
    caller: &'static str,
    decision: String,
    reason: String,
    cell: String,
    latency: String,
    /// What is not as expected.
    wrong: Option<String>,
}

impl Row {
    /// Reads the answer to a request as its caller would. Nothing here asks the router.
    pub(super) fn new(caller: &Caller, answer: Result<&Answer, &ClientError>) -> Self {
        let answer = match answer {
            Ok(answer) => answer,
            Err(why) => return Self::failed(caller, why),
        };
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let seen = Seen::new(answer.status, &body);
        Self {
            caller: caller.name,
            wrong: seen.differs(&caller.expected),
            decision: seen.decision,
            reason: seen.reason,
            cell: seen.cell.unwrap_or_else(|| "-".to_owned()),
            latency: milliseconds(answer.latency),
        }
    }

    fn failed(caller: &Caller, why: &ClientError) -> Self {
        Self {
            caller: caller.name,
            decision: "no answer".to_owned(),
            reason: "-".to_owned(),
            cell: "-".to_owned(),
            latency: "-".to_owned(),
            wrong: Some(why.to_string()),
        }
    }

    pub(super) fn as_expected(&self) -> bool {
        self.wrong.is_none()
    }

    /// Whether a cell answered.
    pub(super) fn served(&self) -> bool {
        self.cell != "-"
    }

    fn columns(&self) -> [&str; 5] {
        [
            self.caller,
            &self.decision,
            &self.reason,
            &self.cell,
            &self.latency,
        ]
    }
}

/// What an answer says.
struct Seen {
    status: StatusCode,
    decision: String,
    reason: String,
    cell: Option<String>,
    tenant: Option<String>,
}

impl Seen {
    /// A cell's echo says which headers the router stamped; the router's own answers give their
    /// reason.
    fn new(status: StatusCode, body: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let denied = text(&body["error"]["reason"]);
        let stamped = &body["headers"];
        let (word, reason, cell) = match denied {
            Some(reason) => ("deny", Some(reason), None),
            None => (
                "allow",
                text(&stamped["x-cellway-auth"]),
                text(&body["cell"]),
            ),
        };
        Self {
            status,
            decision: format!("{word} {}", status.as_u16()),
            reason: reason.unwrap_or_else(|| "-".to_owned()),
            cell,
            tenant: text(&stamped["x-cellway-tenant"]),
        }
    }

    fn differs(&self, expected: &Expected) -> Option<String> {
        let status = expected.reason.status().unwrap_or(StatusCode::OK);
        let reason = expected.reason.as_str();
        let served = match &self.cell {
            None => expected.cells.is_empty(),
            Some(cell) => expected.cells.contains(&cell.as_str()),
        };
        let told = self.tenant.as_deref() == expected.tenant;
        if self.status == status && self.reason == reason && served && told {
            return None;
        }
        let mut wrong = format!("expected {} {reason}", status.as_u16());
        if let Some(tenant) = expected.tenant {
            let cells = expected.cells.join(" or ");
            // Writing to a string can't fail.
            let _ = write!(wrong, ", {tenant} served by {cells}");
        }
        Some(wrong)
    }
}

fn milliseconds(latency: Duration) -> String {
    format!("{:.1} ms", latency.as_secs_f64() * 1000.0)
}

/// All rows, aligned.
pub(super) fn render(rows: &[Row]) -> String {
    let mut widths = HEADINGS.map(str::len);
    for row in rows {
        for (width, column) in widths.iter_mut().zip(row.columns()) {
            *width = (*width).max(column.len());
        }
    }
    let mut table = line(HEADINGS, widths);
    for row in rows {
        table.push_str(&line(row.columns(), widths));
        if let Some(wrong) = &row.wrong {
            let _ = writeln!(table, "  ^ {wrong}");
        }
    }
    table
}

/// Formats a line. The last column is aligned to the right, because it has numbers.
fn line(columns: [&str; 5], widths: [usize; 5]) -> String {
    let [caller, decision, reason, cell, latency] = columns;
    let [a, b, c, d, e] = widths;
    format!("{caller:a$}  {decision:b$}  {reason:c$}  {cell:d$}  {latency:>e$}\n")
}

#[cfg(test)]
mod tests;
