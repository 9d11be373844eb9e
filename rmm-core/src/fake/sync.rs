// SPDX-License-Identifier: BSD-3-Clause
//! Locks that stay usable after a panic.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`. A test that expects a panic still has to drop its Realms and its machine, so a
/// poisoned lock is no error.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
