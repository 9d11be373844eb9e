// SPDX-License-Identifier: BSD-3-Clause
//! Copies between the monitor's memory and Non-secure memory. The Host may take the memory away at
//! any instant; the fault that follows becomes an [`NsFault`].

use crate::encoding::fixup;
use core::arch::global_asm;
use rmm_granule::NsFault;

global_asm!(include_str!("ns.S"), data_abort = const fixup::DATA_ABORT);

unsafe extern "C" {
    /// Copies `size` bytes; 0, or 1 after a fault on the Non-secure side.
    fn rmm_ns_copy(to: *mut u8, from: *const u8, size: usize) -> u64;
}

/// Copies `size` bytes, one side of which is the window onto Non-secure memory.
///
/// # Errors
/// The Non-secure side faulted.
///
/// # Safety
/// The side in the monitor's memory is valid for the access, and no reference reads what is
/// written or writes what is read; the other lies within the open Non-secure window.
pub unsafe fn copy(to: *mut u8, from: *const u8, size: usize) -> Result<(), NsFault> {
    // SAFETY: the caller vouches for both ranges.
    match unsafe { rmm_ns_copy(to, from, size) } {
        0 => Ok(()),
        _ => Err(NsFault),
    }
}
