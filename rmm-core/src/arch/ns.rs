// SPDX-License-Identifier: BSD-3-Clause
//! Copies between the monitor's memory and Non-secure memory. The Host may take the memory away at
//! any instant; the fault that follows becomes an [`NsFault`].

use super::registers::*;
use super::space::{self, private};
use core::arch::global_asm;
use rmm_granule::NsFault;

global_asm!(include_str!("ns.S"));

unsafe extern "C" {
    /// Copies `size` bytes; 0, or 1 after a fault on the Non-secure side.
    fn rmm_ns_copy(to: *mut u8, from: *const u8, size: usize) -> u64;

    /// The fixups that the linker collects.
    #[link_name = "__fixups_start"]
    static FIXUPS_START: [Fixup; 0];
    #[link_name = "__fixups_end"]
    static FIXUPS_END: [Fixup; 0];
}

/// Instructions that may fault on Non-secure memory, and where the program goes on if they do.
#[repr(C)]
struct Fixup {
    start: u64,
    end: u64,
    target: u64,
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

/// Where to go on after a synchronous exception at `elr`; `None` if it is not a data abort of a
/// copy on the Non-secure side.
#[must_use]
pub fn fixup(elr: u64, esr: u64, far: u64) -> Option<u64> {
    let window = private::va(private::NS_WINDOW) as u64;
    let in_window = far.wrapping_sub(window) < space::PAGE as u64;
    let is_data_abort = ESR_EL2::EC::DataAbortCurrentEL.matches_all(esr);
    if !is_data_abort || !(in_window || ESR_FnV.is_set(esr)) {
        return None;
    }
    let (start, end) = (&raw const FIXUPS_START, &raw const FIXUPS_END);
    let (start, end) = (start.cast::<Fixup>(), end.cast::<Fixup>());
    // SAFETY: the linker script puts the two symbols around a whole number of entries.
    let fixups = unsafe { core::slice::from_raw_parts(start, end.offset_from_unsigned(start)) };
    fixups
        .iter()
        .find(|fixup| (fixup.start..fixup.end).contains(&elr))
        .map(|fixup| fixup.target)
}
