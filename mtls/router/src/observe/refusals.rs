//! Changes that were refused: a reload, and a document of the registry's source.
//!
//! The router goes on with what it has, so nothing else shows them until somebody reads the log. Each
//! is forgotten when the next one succeeds.

use std::sync::{Mutex, MutexGuard, PoisonError};

use cellway_core::Unix;
use serde::Serialize;

use crate::rfc3339::rfc3339;

/// The most bytes of a reason. A configuration may have many mistakes.
const WHY_BYTES_MAX: usize = 4096;

/// What was refused last. Only rare changes and pages take the lock.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<Refused>);

/// What was refused and not corrected since.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub(crate) struct Refused {
    /// New settings, or changed files that they name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reload: Option<Refusal>,
    /// A new registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) registry: Option<Refusal>,
}

/// One refusal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Refusal {
    /// When, as RFC 3339 in UTC.
    pub(crate) at: String,
    /// What is wrong, with what to do.
    pub(crate) why: String,
}

impl Refusals {
    /// Notes the result of the last reload.
    pub(crate) fn reload(&self, refused: Option<(Unix, &str)>) {
        self.lock().reload = refused.map(Refusal::from);
    }

    /// Notes what became of the last document of the registry's source.
    pub(crate) fn registry(&self, refused: Option<(Unix, &str)>) {
        self.lock().registry = refused.map(Refusal::from);
    }

    pub(crate) fn current(&self) -> Refused {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Refused> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<(Unix, &str)> for Refusal {
    fn from((at, why): (Unix, &str)) -> Self {
        let end = (0..=WHY_BYTES_MAX).rfind(|&end| why.is_char_boundary(end));
        let shown = why.get(..end.unwrap_or_default()).unwrap_or(why);
        Self {
            at: rfc3339(at),
            why: shown.to_owned(),
        }
    }
}

impl Refused {
    pub(crate) fn is_empty(&self) -> bool {
        self.reload.is_none() && self.registry.is_none()
    }

    /// For pages that everybody may read: without the reasons, which quote files.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = String> {
        let reload = self.reload.as_ref().map(|refused| {
            format!(
                "a reload was refused at {}, so the settings before it are in force; the log \
                 (reload_refused) and /debug/snapshot say why",
                refused.at
            )
        });
        let registry = self.registry.as_ref().map(|refused| {
            format!(
                "a registry was refused at {}, so the one before it is in force; the log \
                 (registry_refused) and /debug/snapshot say why",
                refused.at
            )
        });
        reload.into_iter().chain(registry)
    }
}
