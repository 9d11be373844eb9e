// SPDX-License-Identifier: BSD-3-Clause
//! Physical memory, Granule protection and a TLB for tests on the build machine.
//!
//! All threads share one [`FakeMemory`]. Each thread that stands for a CPU has its own
//! [`FakeCpuMemory`], which is the [`Memory`] that the code of the monitor uses. What would be a
//! fault in the monitor on a real machine is a panic here: a window onto a Granule outside Realm
//! PAS, a window never closed, a translation that outlives its mapping.
//!
//! [`Memory`]: crate::Memory

mod cpu;
mod dram;
mod memory;
mod tlb;

pub use crate::order::{LockEvent, locked_while, observe_locks};
pub use cpu::FakeCpuMemory;
pub use dram::Pas;
pub use memory::{FakeMemory, PasRefused, keep, places};
pub use tlb::{Fault, FaultKind, Invalidation, Stage2Regs, Translation};

use core::sync::atomic::{AtomicBool, Ordering};

/// Tells the threads that look at a flag to end, when dropped: also if an assertion fails.
pub struct Done<'a>(pub &'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
