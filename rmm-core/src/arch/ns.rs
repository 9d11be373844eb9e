// SPDX-License-Identifier: BSD-3-Clause
//! Copies between the monitor's memory and Non-secure memory. The Host may take the memory away at
//! any instant; the fault that follows becomes an [`NsFault`].

use super::cpu::Page;
use super::registers::*;
use crate::encoding::features::zero_block;
use crate::encoding::fixup;
use core::arch::global_asm;
use core::ptr::NonNull;
use rmm_granule::{GRANULE_SIZE, NsFault, bug};

global_asm!(include_str!("ns.S"), data_abort = const fixup::DATA_ABORT);

unsafe extern "C" {
    /// Copies `size` bytes; 0, or 1 after a fault on the Non-secure side.
    fn rmm_ns_copy(to: *mut u8, from: *const u8, size: usize) -> u64;
    /// Zeroes from `to` to `end`, by DC ZVA if `block` is the size of its blocks and not 0; 0, or 1
    /// after a fault.
    fn rmm_ns_zero(to: *mut u8, end: *mut u8, block: usize) -> u64;
}

/// The address of `size` bytes of a window from `offset` on.
#[inline]
pub fn part(window: NonNull<Page>, offset: usize, size: usize) -> *mut u8 {
    if size > GRANULE_SIZE || offset > GRANULE_SIZE - size {
        bug!("a copy of Non-secure memory leaves its Granule");
    }
    // SAFETY: the offset is inside the window, or its end.
    unsafe { window.cast::<u8>().add(offset).as_ptr() }
}

/// Copies `size` bytes, one side of which is the window onto Non-secure memory.
///
/// # Errors
/// The Non-secure side faulted.
///
/// # Safety
/// The side in the monitor's memory is valid for the access, and no reference reads what is
/// written or writes what is read; the other lies within the open Non-secure window.
#[inline]
pub unsafe fn copy(to: *mut u8, from: *const u8, size: usize) -> Result<(), NsFault> {
    // SAFETY: the caller vouches for both ranges.
    match unsafe { rmm_ns_copy(to, from, size) } {
        0 => Ok(()),
        _ => Err(NsFault),
    }
}

/// Zeroes `size` bytes; address and size are multiples of 64 bytes.
///
/// # Errors
/// The memory faulted.
///
/// # Safety
/// The bytes lie within the open Non-secure window.
#[inline]
pub unsafe fn zero(to: *mut u8, size: usize) -> Result<(), NsFault> {
    let whole = |block: &usize| (to.addr() | size) & (16 * block - 1) == 0;
    let block = zero_block(DCZID_EL0.get()).filter(whole).unwrap_or(0);
    // SAFETY: the caller vouches for the range, which is within one window.
    match unsafe { rmm_ns_zero(to, to.add(size), block) } {
        0 => Ok(()),
        _ => Err(NsFault),
    }
}
