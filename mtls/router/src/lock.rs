//! Locks on the request path.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks state that only one worker uses. The lock is always free; it exists only because the
/// worker's tasks must be `Send`. A poisoned lock is used anyway, because each holder leaves the
/// state consistent.
pub(crate) fn lock_uncontended<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
