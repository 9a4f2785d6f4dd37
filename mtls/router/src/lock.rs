//! Locks on the request path.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks what only one worker uses: the lock is there so that its tasks may move, and is free.
/// A panic elsewhere doesn't poison it, because each holder leaves it whole.
pub(crate) fn lock_uncontended<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
