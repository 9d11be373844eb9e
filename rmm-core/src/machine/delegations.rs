// SPDX-License-Identifier: BSD-3-Clause
//! How many Granules are out of UNDELEGATED, counted without a variable that all CPUs write.

use super::Machine;
use core::sync::atomic::{AtomicU64, Ordering};

/// How many Granules one CPU has delegated and undelegated since boot. That CPU alone writes it.
// Aligned to a cache line, so that CPUs do not take lines from each other.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Delegations {
    delegated: AtomicU64,
    undelegated: AtomicU64,
}

impl Delegations {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            delegated: AtomicU64::new(0),
            undelegated: AtomicU64::new(0),
        }
    }

    /// This CPU has delegated a Granule, which is still locked.
    #[inline]
    pub fn count_delegated(&self) {
        // Relaxed: the unlock of the Granule publishes it.
        add_one(&self.delegated, Ordering::Relaxed);
    }

    /// This CPU has undelegated a Granule, which is still locked.
    #[inline]
    pub fn count_undelegated(&self) {
        // Release: whoever sees this also sees that the Granule was delegated.
        add_one(&self.undelegated, Ordering::Release);
    }
}

/// One CPU writes the number, so two accesses do, of which neither locks anything.
#[inline]
fn add_one(number: &AtomicU64, order: Ordering) {
    // Wrapping: it takes centuries, and the sums below would still be right.
    let next = number.load(Ordering::Relaxed).wrapping_add(1);
    number.store(next, order);
}

/// Whether a Granule is delegated.
///
/// `false` means that there was a moment during this call at which all Granules were UNDELEGATED:
/// undelegations are summed first and delegations after them, so the first sum is at most the number
/// at a moment between the two, the second at least, and they are equal only if all three are. `true`
/// may also be due to Granules that change meanwhile. What another CPU delegates after that moment is
/// not seen; whoever decides something upon `false` first announces it to the other CPUs, with
/// sequentially consistent order, and they look for that once they have locked a DELEGATED Granule.
pub fn is_any_delegated<M: Machine>(machine: &M) -> bool {
    let mut undelegated = 0_u64;
    machine.for_each_cpu(&mut |cpu| {
        // Acquire: before the loads of the second sum, and after what came before the store.
        undelegated = undelegated.wrapping_add(cpu.undelegated.load(Ordering::Acquire));
    });
    let mut delegated = 0_u64;
    machine.for_each_cpu(&mut |cpu| {
        delegated = delegated.wrapping_add(cpu.delegated.load(Ordering::Relaxed));
    });
    delegated != undelegated
}
