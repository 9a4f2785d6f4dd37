//! Errors and warnings about settings and the files that they name.

use std::fmt;

use serde::{Serialize, Serializer};

/// How much a finding matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// A router doesn't start with it, and a reload keeps the old settings.
    Error,
    /// A router runs with it. It may refuse requests that should pass, a setting may have no effect,
    /// or something needs care soon, such as a certificate that expires.
    Warning,
}

impl Severity {
    /// The name in messages and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl Serialize for Severity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// The setting, or the table if it is about several settings. Empty if it is about none.
    pub setting: String,
    /// What is wrong.
    pub problem: String,
    /// How to fix it. Empty if the problem already says that.
    pub fix: String,
}

impl Finding {
    /// An error about this setting, whose text says what to do.
    pub fn error(setting: impl Into<String>, problem: impl fmt::Display) -> Self {
        Self {
            severity: Severity::Error,
            setting: setting.into(),
            problem: problem.to_string(),
            fix: String::new(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.setting.is_empty() {
            write!(f, "{}: ", self.setting)?;
        }
        f.write_str(&self.problem)?;
        if !self.fix.is_empty() {
            write!(f, "\n    {}", self.fix)?;
        }
        Ok(())
    }
}

/// Collects findings in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    pub(crate) fn error(
        &mut self,
        setting: impl Into<String>,
        problem: impl fmt::Display,
        fix: impl Into<String>,
    ) {
        self.add(Severity::Error, setting, problem, fix);
    }

    pub(crate) fn warning(
        &mut self,
        setting: impl Into<String>,
        problem: impl fmt::Display,
        fix: impl Into<String>,
    ) {
        self.add(Severity::Warning, setting, problem, fix);
    }

    pub(crate) fn add(
        &mut self,
        severity: Severity,
        setting: impl Into<String>,
        problem: impl fmt::Display,
        fix: impl Into<String>,
    ) {
        self.0.push(Finding {
            severity,
            setting: setting.into(),
            problem: problem.to_string(),
            fix: fix.into(),
        });
    }

    pub(crate) fn extend(&mut self, more: &[Finding]) {
        self.0.extend_from_slice(more);
    }

    /// Whether there is an error about this setting or a table that it is in.
    pub(crate) fn refuse(&self, setting: &str) -> bool {
        let mut errors = self.0.iter().filter(|it| it.severity == Severity::Error);
        errors.any(|error| setting.starts_with(&error.setting))
    }

    /// Returns the value if it is good. Otherwise adds an error about this setting.
    pub(crate) fn take<T, P: fmt::Display>(
        &mut self,
        setting: impl Into<String>,
        result: Result<T, P>,
    ) -> Option<T> {
        match result {
            Ok(good) => Some(good),
            Err(problem) => {
                self.error(setting, problem, "");
                None
            }
        }
    }

    /// Returns the value if it is good. Otherwise adds an error about the setting that came with it.
    pub(crate) fn take_at<T, P: fmt::Display>(
        &mut self,
        result: Result<T, (String, P)>,
    ) -> Option<T> {
        match result {
            Ok(good) => Some(good),
            Err((setting, problem)) => {
                self.error(setting, problem, "");
                None
            }
        }
    }

    /// Separates the errors from the warnings.
    pub(crate) fn parted(self) -> (Vec<Finding>, Vec<Finding>) {
        let is_error = |finding: &Finding| finding.severity == Severity::Error;
        self.0.into_iter().partition(is_error)
    }

    pub(crate) fn into_vec(self) -> Vec<Finding> {
        self.0
    }
}
