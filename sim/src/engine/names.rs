//! Trouble with the names of hosts.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What is wrong with the name of a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameTrouble {
    /// It resolves only after this long.
    Late(Duration),
    /// It doesn't resolve.
    Unknown,
}

/// Names that have trouble. Clones are the same ones.
#[derive(Clone, Default)]
pub(super) struct Names(Arc<Mutex<BTreeMap<String, NameTrouble>>>);

impl Names {
    pub(super) fn set(&self, host: &str, trouble: Option<NameTrouble>) {
        match trouble {
            Some(trouble) => self.lock().insert(host.to_owned(), trouble),
            None => self.lock().remove(host),
        };
    }

    /// Waits as long as it takes to resolve a name.
    ///
    /// # Errors
    /// It doesn't resolve. The error has the kind that a system gives it.
    pub(super) async fn resolve(&self, host: &str) -> io::Result<()> {
        let trouble = self.lock().get(host).copied();
        match trouble {
            None => Ok(()),
            Some(NameTrouble::Late(delay)) => {
                tokio::time::sleep(delay).await;
                Ok(())
            }
            Some(NameTrouble::Unknown) => Err(io::Error::other("no address for this name")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, NameTrouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
