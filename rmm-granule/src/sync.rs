// SPDX-License-Identifier: BSD-3-Clause
//! The one place that names the atomics under the granule table, so that a model checker's can be
//! put in their place.

pub(crate) use core::hint::spin_loop;
pub(crate) use core::sync::atomic::{AtomicU16, Ordering};

/// A Granule's word: bit 15 lock, bits 14:12 state, bits 11:0 reference count.
///
/// All zero is an unlocked UNDELEGATED Granule.
pub type Word = AtomicU16;
