// SPDX-License-Identifier: BSD-3-Clause
//! The memory of one CPU: its translation tables, data and stacks; and where that of all CPUs is.

use super::realm::HostState;
use crate::encoding::space::{EXCEPTION_STACK_PAGES, PAGE, STACK_PAGES, private};
use core::arch::asm;
use core::cell::{Cell, UnsafeCell};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use rmm_granule::Pa;

/// A translation table.
type Table = [u64; 512];

/// A CPU's memory, contiguous in physical memory. Its parts are mapped at the same addresses on
/// each CPU, see [`space`](crate::encoding::space); the block as a whole is mapped nowhere.
#[repr(C, align(4096))]
pub struct CpuBlock {
    /// Root table.
    pub root: Table,
    /// Level 3 table of the private part.
    pub private: Table,
    /// Data.
    pub data: CpuData,
    /// Stack.
    pub stack: [u8; STACK_PAGES * PAGE],
    /// Exception stack.
    pub exception_stack: [u8; EXCEPTION_STACK_PAGES * PAGE],
}

/// Data of a CPU that only this CPU accesses. All zero at boot.
#[repr(C, align(4096))]
pub struct CpuData {
    /// Linear index of the CPU.
    pub index: Cell<usize>,
    /// Windows onto Realm memory that are closed, and that this CPU's TLB knows nothing of, as in
    /// [`take_window`](crate::encoding::space::take_window).
    pub fresh_windows: Cell<u64>,
    /// The same of windows onto Non-secure memory.
    pub fresh_ns_windows: Cell<u64>,
    /// Taken branches that overwrite the branch history of this CPU; zero if there is no need, or if
    /// CLRBHB does it.
    pub history_loop: Cell<u64>,
    /// This CPU needs one or the other.
    pub clears_history: Cell<bool>,
    /// The CPU is about to stop: it met an exception that it cannot go on from.
    pub crashed: Cell<bool>,
    /// The Host's registers while a REC is entered.
    pub host: UnsafeCell<HostState>,
}

/// Pages of [`CpuData`].
pub const DATA_PAGES: usize = size_of::<CpuData>() / PAGE;

const _: () = assert!(private::DATA + DATA_PAGES <= private::LAST);

/// This CPU's data.
#[inline]
pub fn data() -> &'static CpuData {
    // SAFETY: the entry code maps each CPU's own data at this address before any Rust runs, and
    // for ever. The type is not Sync, so the reference stays on this CPU.
    unsafe { &*(private::va(private::DATA) as *const CpuData) }
}

/// Where a CPU that boots warm finds its block, with its MMU off. Not in .bss: it must be zero when
/// EL3 has loaded the image, and the entry code reads it before it clears .bss.
#[unsafe(link_section = ".data.blocks")]
pub static BLOCKS: Blocks = Blocks {
    base: AtomicU64::new(0),
    count: AtomicUsize::new(0),
};

/// The blocks of all CPUs, by CPU index. The entry code loads both fields as a pair.
#[repr(C, align(64))]
pub struct Blocks {
    /// Physical address of the array of [`CpuBlock`]; zero before the cold boot is done.
    base: AtomicU64,
    /// Number of blocks.
    count: AtomicUsize,
}

impl Blocks {
    /// Number of CPUs that have a block.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Lets the other CPUs boot, with these blocks.
    pub fn publish(&self, base: Pa, count: usize) {
        self.count.store(count, Ordering::Relaxed);
        self.base.store(base.0, Ordering::Relaxed);
        // SAFETY: cleans a line of the monitor's own data to memory, for CPUs whose caches are off.
        // The structure, aligned to 64 bytes, lies in one line of that size or more, or in the first
        // 16 bytes of smaller ones.
        unsafe {
            asm!(
                "dsb ish",
                "dc civac, {line}",
                "dsb sy",
                line = in(reg) core::ptr::from_ref(self),
                options(nostack, preserves_flags)
            );
        }
    }
}
