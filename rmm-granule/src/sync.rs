// SPDX-License-Identifier: BSD-3-Clause
//! The one place that names the atomics under the granule table, so that a model checker's are put
//! in their place: `make loom`.

#[cfg(not(loom))]
pub(crate) use core::{
    hint::spin_loop,
    sync::atomic::{AtomicU16, Ordering},
};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU16, Ordering};

/// Waits for another CPU. What can follow a longer wait can also follow a shorter one, as nothing
/// is learnt or changed by waiting; so the checker need not follow every other way from here.
#[cfg(loom)]
pub(crate) fn spin_loop() {
    loom::skip_branch();
    loom::hint::spin_loop();
}

/// A Granule's word: bit 15 lock, bits 14:12 state, bits 11:0 reference count.
///
/// All zero is an unlocked UNDELEGATED Granule.
pub type Word = AtomicU16;
