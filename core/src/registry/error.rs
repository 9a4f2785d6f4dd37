//! Why a document is not used.

use std::fmt;

#[cfg(doc)]
use super::RegistryLimits;

/// Why a document is not used. The current registry stays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegistryError {
    /// The rule that it breaks, for metrics. The first one if it breaks several.
    pub reason: RegistryErrorReason,
    /// What is wrong, as text. It begins with the field's path, if there is one.
    pub detail: String,
    /// The other mistakes; at most [`RegistryError::MISTAKES_MAX`].
    pub others: Vec<String>,
}

impl RegistryError {
    /// The most bytes of [`RegistryError::detail`], because it quotes the document and is logged.
    pub const DETAIL_LEN_MAX: usize = 512;
    /// The most mistakes that are listed after the first.
    pub const MISTAKES_MAX: usize = 64;

    pub(crate) fn new(reason: RegistryErrorReason, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if let Some(cut) = (0..=Self::DETAIL_LEN_MAX).rfind(|&at| detail.is_char_boundary(at)) {
            detail.truncate(cut);
        }
        Self {
            reason,
            detail,
            others: Vec::new(),
        }
    }

    /// Every mistake that was found, as text.
    pub fn mistakes(&self) -> impl Iterator<Item = &str> {
        let others = self.others.iter().map(String::as_str);
        std::iter::once(self.detail.as_str()).chain(others)
    }

    /// A document of more than `limit` bytes, whose exact size isn't known.
    pub(super) fn too_large(limit: usize) -> Self {
        let detail = format!("more than the limit of {limit} bytes");
        Self::new(RegistryErrorReason::Oversized, detail)
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(RegistryErrorReason::Invalid, detail)
    }
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.as_str(), self.detail)?;
        match self.others.len() {
            0 => Ok(()),
            1 => f.write_str(" (and 1 more mistake)"),
            more => write!(f, " (and {more} more mistakes)"),
        }
    }
}

impl std::error::Error for RegistryError {}

/// Collects the mistakes of a document.
#[derive(Debug, Default)]
pub(super) struct Mistakes(Option<RegistryError>);

impl Mistakes {
    pub(super) fn add(&mut self, mistake: RegistryError) {
        match &mut self.0 {
            None => self.0 = Some(mistake),
            Some(first) if first.others.len() < RegistryError::MISTAKES_MAX => {
                first.others.push(mistake.detail);
            }
            Some(_) => {}
        }
    }

    pub(super) fn invalid(&mut self, detail: impl Into<String>) {
        self.add(RegistryError::invalid(detail));
    }

    /// Returns the value, or adds the mistake.
    pub(super) fn take<T>(&mut self, result: Result<T, RegistryError>) -> Option<T> {
        result.map_err(|mistake| self.add(mistake)).ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn is_full(&self) -> bool {
        let first = self.0.as_ref();
        first.is_some_and(|first| first.others.len() == RegistryError::MISTAKES_MAX)
    }

    /// # Errors
    /// The first mistake, with the others inside.
    pub(super) fn none(self) -> Result<(), RegistryError> {
        self.0.map_or(Ok(()), Err)
    }
}

/// The rule that a document breaks. The set is closed, because it is a label of
/// `registry_rejected_total`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum RegistryErrorReason {
    /// Not JSON or TOML of the schema, or it contradicts itself.
    Invalid,
    /// Its version is below the current one.
    OlderVersion,
    /// It has the current version, but other content.
    SameVersionOtherContent,
    /// It has more bytes, cells, placements, tenants or revocations than [`RegistryLimits`] allows.
    Oversized,
    /// It has no bytes, or no cells.
    Empty,
    /// It has lost more cells or tenants than one update may, without `allow_shrink_from`.
    Shrunken,
}

impl RegistryErrorReason {
    /// Every reason there is.
    pub const ALL: &'static [Self] = &[
        Self::Invalid,
        Self::OlderVersion,
        Self::SameVersionOtherContent,
        Self::Oversized,
        Self::Empty,
        Self::Shrunken,
    ];

    /// The name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::OlderVersion => "older_version",
            Self::SameVersionOtherContent => "same_version_other_content",
            Self::Oversized => "oversized",
            Self::Empty => "empty",
            Self::Shrunken => "shrunken",
        }
    }
}
