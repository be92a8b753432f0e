//! What several threads share.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a mutex holds, also after a thread has panicked with it.
pub(crate) fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
