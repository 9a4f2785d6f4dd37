//! The report as JSON, for other programs.

use serde_json::{Value, json};

use super::super::decisions::Kind;
use super::Report;

impl Report {
    /// The report as one JSON object. `allowed`: the ways in which decisions may change.
    pub fn json(&self, allowed: &[Kind]) -> String {
        // Plain strings, numbers and lists can always be written.
        let mut report = serde_json::to_value(self).unwrap_or(Value::Null);
        report["passed"] = json!(self.passed(allowed));
        report["verdict"] = json!(self.verdict(allowed));
        format!("{report:#}\n")
    }
}
