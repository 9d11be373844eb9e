// SPDX-License-Identifier: BSD-3-Clause
//! The atomics of the granule table, named in this one place so that `make loom` can replace them
//! with those of its model checker.

#[cfg(not(any(loom, test, feature = "fake")))]
pub(crate) use core::hint::spin_loop;
#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};
/// Threads that stand for CPUs are more than the build machine has: the one waited for has to run.
#[cfg(all(not(loom), any(test, feature = "fake")))]
pub(crate) use std::thread::yield_now as spin_loop;

/// Waits for another CPU. Waiting longer neither learns nor changes anything, so whatever can follow
/// a long wait can also follow a short one: the checker need not follow every branch from here.
#[cfg(loom)]
pub(crate) fn spin_loop() {
    loom::skip_branch();
    loom::hint::spin_loop();
}

/// The word of a Granule: bit 15 lock, bit 14 whether CPUs wait for it, bits 13:11 state, bit 10, of an RD,
/// whether the Realm is ACTIVE, bits 9:0 reference count.
///
/// All zero is an unlocked UNDELEGATED Granule.
pub type Word = AtomicU16;
