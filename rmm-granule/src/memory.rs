// SPDX-License-Identifier: BSD-3-Clause
//! What granule and table code asks of the memory system.

use crate::{GRANULE_SIZE, Ipa, Pa};
use core::ptr::NonNull;

/// An access to Non-secure memory failed: the Granule is not in Non-secure PAS, or nothing answers
/// at its address. An ordinary event: the Host may change the PAS of its memory at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NsFault;

/// One CPU's view of physical memory.
///
/// A value stands for one CPU and is used by that CPU alone. Windows are that CPU's own: a window
/// that one CPU has open does not exist on another.
///
/// # Safety
/// The implementer promises that the pointer [`Memory::map`] returns is aligned to
/// [`GRANULE_SIZE`], stands for exactly the `GRANULE_SIZE` bytes of that Granule in Realm PAS, and
/// stays valid for reads and writes until [`Memory::unmap`] is called with it; and that no two
/// open windows overlap in virtual address.
pub unsafe trait Memory {
    /// Opens a window onto the Realm PAS Granule at `pa`.
    ///
    /// Few windows are open at once (at most eight); running out of them is a bug of the monitor
    /// and stops it.
    fn map(&self, pa: Pa) -> NonNull<[u8; GRANULE_SIZE]>;

    /// Closes a window; no access through it may follow. This CPU's stage 1 TLB forgets it before its
    /// address is used again, and before the CPU leaves the monitor for EL3.
    ///
    /// # Safety
    /// `window` is an open window that [`Memory::map`] of this very value returned, and no
    /// reference into it is left.
    unsafe fn unmap(&self, window: NonNull<[u8; GRANULE_SIZE]>);

    /// Copies `dst.len()` bytes of Non-secure memory that begin at `pa` and end within the same
    /// Granule.
    ///
    /// # Errors
    /// [`NsFault`] if the Non-secure PAS does not permit the access or the access aborts; `dst`
    /// then holds any mixture of its old content and of bytes read.
    fn read_ns(&self, pa: Pa, dst: &mut [u8]) -> Result<(), NsFault>;

    /// Copies `src` to Non-secure memory that begins at `pa` and ends within the same Granule.
    ///
    /// # Errors
    /// As [`Memory::read_ns`]; part of `src` may have been written.
    fn write_ns(&self, pa: Pa, src: &[u8]) -> Result<(), NsFault>;

    /// Fills a Granule with zero bytes, complete for all observers on return.
    fn zero(&self, granule: &mut [u8; GRANULE_SIZE]) {
        granule.fill(0);
    }

    /// Makes earlier writes to translation tables visible to the table walkers of all CPUs.
    fn publish_tables(&self);

    /// Removes every stage 2 translation of `[base, base + size)` under `vmid`, and what stage 1
    /// entries were derived from them, from the TLBs of all CPUs; complete on return.
    ///
    /// `size` is in bytes, a multiple of the Granule size; `level` is the level of the entries
    /// that were live in the range (a hint; wrong only ever for the slower). An implementation
    /// may forget more than was asked for.
    fn invalidate_stage2(&self, vmid: u16, base: Ipa, size: u64, level: i8);
}
