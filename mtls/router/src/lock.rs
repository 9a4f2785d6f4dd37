//! Locks on the request path.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks state that only one worker uses, or that all use rarely: the maps of what workers share by
/// cell and endpoint, at a worker's first use of one and when an operator looks. In the first case the
/// lock is always free; it exists only because the worker's tasks must be `Send`. A poisoned lock is
/// used anyway, because each holder leaves the state consistent.
pub(crate) fn lock_uncontended<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
