//! SAN templates.

use std::fmt;

/// The parsed `[trust] san`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SanTemplates {}

/// Why a template isn't one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TemplateError(pub(crate) &'static str);

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for TemplateError {}
