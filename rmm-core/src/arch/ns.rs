// SPDX-License-Identifier: BSD-3-Clause
//! Copies between the monitor's memory and Non-secure memory. The Host may take the memory away at
//! any instant; the fault that follows becomes an [`NsFault`].

use super::fixup;
use super::registers::*;
use super::space::{self, private};
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

/// Whether a data abort may be that of an access to Non-secure memory: it hits a window, or nobody
/// knows what it hits.
#[must_use]
pub fn may_be_foreign(esr: u64, far: u64) -> bool {
    const SIZE: u64 = (private::NS_WINDOW_COUNT * space::PAGE) as u64;
    let windows = private::va(private::NS_WINDOWS) as u64;
    far.wrapping_sub(windows) < SIZE || ESR_FnV.is_set(esr)
}
