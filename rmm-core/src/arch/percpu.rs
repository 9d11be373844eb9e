// SPDX-License-Identifier: BSD-3-Clause
//! The memory of one CPU: its translation tables, data and stacks.

use super::realm::HostState;
use super::space::{EXCEPTION_STACK_PAGES, PAGE, STACK_PAGES, private};
use core::cell::{Cell, UnsafeCell};

/// A translation table.
pub type Table = [u64; 512];

/// A CPU's memory, contiguous in physical memory. Its parts are mapped at the same addresses on
/// each CPU, see [`space`](super::space); the block as such is mapped nowhere.
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

/// What a CPU knows for itself. Zero is its state at boot.
#[repr(C, align(4096))]
pub struct CpuData {
    /// Linear index of the CPU.
    pub index: Cell<usize>,
    /// Bit n: window n has been opened since this CPU's TLB last forgot all that were closed; from
    /// bit 32 on, windows onto Non-secure memory.
    pub used_windows: Cell<u64>,
    /// The CPU is about to stop: it met an exception it cannot go on from.
    pub crashed: Cell<bool>,
    /// The Host's registers while a REC is entered.
    pub host: UnsafeCell<HostState>,
}

/// Pages of [`CpuData`].
pub const DATA_PAGES: usize = size_of::<CpuData>() / PAGE;

const _: () = {
    assert!(private::DATA + DATA_PAGES < private::WINDOWS);
    assert!(private::WINDOWS + private::WINDOW_COUNT < private::NS_WINDOWS);
    assert!(
        private::NS_WINDOWS + private::NS_WINDOW_COUNT < private::WINDOWS + private::ALL_WINDOWS
    );
    assert!(private::ALL_WINDOWS <= u64::BITS as usize);
};

/// This CPU's data.
#[inline(always)]
pub fn data() -> &'static CpuData {
    // SAFETY: early boot code maps each CPU's own data at this address before any Rust runs, and
    // for ever. The type is not Sync, so the reference stays on this CPU.
    unsafe { &*(private::va(private::DATA) as *const CpuData) }
}
