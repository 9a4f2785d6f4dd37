//! Records the steps of a decision.
//!
//! `explain` isn't a second path: [`decide`](crate::decide()) itself reports each check to a
//! [`Recorder`]. In production that is `()`, whose methods are empty and whose details are
//! closures that nobody calls, so the recording compiles to nothing.

use std::fmt;

use serde::Serialize;

/// Receives each check while a decision is made.
pub trait Recorder {
    /// A check passed. `detail` says what was seen; it never holds a token.
    fn pass(&mut self, check: &'static str, detail: impl FnOnce() -> String);

    /// A check failed; it is the last step, because the first failure decides.
    fn fail(&mut self, check: &'static str, detail: impl FnOnce() -> String);
}

/// Records nothing.
impl Recorder for () {
    fn pass(&mut self, _: &'static str, _: impl FnOnce() -> String) {}
    fn fail(&mut self, _: &'static str, _: impl FnOnce() -> String) {}
}

/// Records every step, for `cellway explain` and for operators who ask about their own requests.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Steps(pub Vec<Step>);

/// One check.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Step {
    /// What was checked, such as `token.audience`.
    pub check: &'static str,
    /// Whether it passed.
    pub passed: bool,
    /// What was seen.
    pub detail: String,
}

impl Step {
    /// Whether the detail of a passed check names the caller: a person or a service, not a tenant.
    pub fn names_subject(&self) -> bool {
        self.passed && self.check == "certificate.san"
    }
}

impl Recorder for Steps {
    fn pass(&mut self, check: &'static str, detail: impl FnOnce() -> String) {
        self.0.push(Step {
            check,
            passed: true,
            detail: detail(),
        });
    }

    fn fail(&mut self, check: &'static str, detail: impl FnOnce() -> String) {
        self.0.push(Step {
            check,
            passed: false,
            detail: detail(),
        });
    }
}

/// One aligned line for each step.
impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .0
            .iter()
            .map(|step| step.check.len())
            .max()
            .unwrap_or(0);
        for Step {
            check,
            passed,
            detail,
        } in &self.0
        {
            let mark = if *passed { "pass" } else { "FAIL" };
            writeln!(f, "{mark}  {check:width$}  {detail}")?;
        }
        Ok(())
    }
}
