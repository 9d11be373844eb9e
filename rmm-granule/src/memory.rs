// SPDX-License-Identifier: BSD-3-Clause
//! What the monitor requires of the memory system.

use crate::addr::{GRANULE_SIZE, Ipa, Pa};
use core::mem::MaybeUninit;
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

/// An access to Non-secure memory failed: the Granule is not in Non-secure PAS, or nothing answers
/// at its address. An ordinary event: the Host may change the PAS of its memory at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NsFault;

/// One CPU's view of physical memory.
///
/// A value stands for one CPU and is used by that CPU alone. A window exists only on the CPU that
/// opened it.
///
/// # Safety
/// The guards of this crate turn the pointers that [`Memory::map`] returns into references. The
/// implementer therefore promises that such a pointer is aligned to [`GRANULE_SIZE`], refers to
/// exactly the `GRANULE_SIZE` bytes of that Granule in Realm PAS, and stays valid for reads and
/// writes until [`Memory::unmap`] is called with it; that no two open windows overlap in virtual
/// address, unless [`Memory::map_part`] opened one of them; and that [`Memory::read_ns`] writes to its target only bytes that are initialised, and
/// all of them if it returns `Ok`.
pub unsafe trait Memory {
    /// Opens a window onto the Granule at `pa`, which is in Realm PAS.
    ///
    /// At most eight windows are open at once. Running out of them is a bug of the monitor and stops
    /// it.
    fn map(&self, pa: Pa) -> NonNull<[u8; GRANULE_SIZE]>;

    /// As [`Memory::map`], for a Granule onto another part of which a window may be open. The address
    /// may be that of the other window.
    fn map_part(&self, pa: Pa) -> NonNull<[u8; GRANULE_SIZE]> {
        self.map(pa)
    }

    /// Closes a window. The stage 1 TLB of this CPU forgets it before its virtual address is used
    /// again, and before the CPU leaves the monitor for EL3.
    ///
    /// # Safety
    /// [`Memory::map`] or [`Memory::map_part`] of this very value returned `window`, it has not been closed since, and no
    /// access through it follows.
    unsafe fn unmap(&self, window: NonNull<[u8; GRANULE_SIZE]>);

    /// Copies parts of the Non-secure Granule at `granule`: each to a slice, from an offset in bytes on.
    ///
    /// # Errors
    /// [`NsFault`] if the Non-secure PAS does not permit the access or the access aborts. The slices
    /// then hold any mixture of their old bytes and of bytes read.
    ///
    /// # Panics
    /// If a part does not lie within the Granule. This is a bug of the caller.
    fn read_ns<const N: usize>(
        &self,
        granule: Pa,
        parts: [(usize, &mut [MaybeUninit<u8>]); N],
    ) -> Result<(), NsFault>;

    /// Zeroes the bytes `zero` of the Non-secure Granule at `granule`, multiples of 64 bytes, then
    /// copies slices to it, each from an offset in bytes on.
    ///
    /// # Errors
    /// As [`Memory::read_ns`]; part of it may have been written.
    ///
    /// # Panics
    /// As [`Memory::read_ns`].
    fn write_ns<const N: usize>(
        &self,
        granule: Pa,
        zero: Range<usize>,
        parts: [(usize, &[u8]); N],
    ) -> Result<(), NsFault>;

    /// Fills a Granule with zero bytes, visible to all observers on return.
    fn zero(&self, granule: &mut [u8; GRANULE_SIZE]) {
        granule.fill(0);
    }

    /// As [`Memory::zero`], of the Granule of an open window that a Realm may access meanwhile.
    ///
    /// # Safety
    /// [`Memory::map`] returned `window`, it is open, and there is no reference to its content.
    unsafe fn zero_shared(&self, window: NonNull<[u8; GRANULE_SIZE]>) {
        // SAFETY: the window is open and aligned; the rest is the caller's promise.
        unsafe { zero_by_words(window) };
    }

    /// Makes earlier writes to translation tables visible to the table walkers of all CPUs.
    fn publish_tables(&self);

    /// Removes from the TLBs of all CPUs every stage 2 translation of `[base, base + size)` under
    /// `vmid`, and every stage 1 entry that was combined with one; complete on return.
    ///
    /// `size` is in bytes, a multiple of [`GRANULE_SIZE`]. `level` is the level of the entries that
    /// were live in the range: a hint, which costs time if it is wrong, and nothing else. An
    /// implementation may invalidate more.
    fn invalidate_stage2(&self, vmid: u16, base: Ipa, size: u64, level: i8);
}

/// Fills a page with zero bytes, by relaxed atomic stores of words: others may access it meanwhile. They
/// may see the words change in any order.
///
/// # Safety
/// The page is aligned to 8 bytes, valid for writes, and there is no reference to its content but to atomics.
pub unsafe fn zero_by_words(page: NonNull<[u8; GRANULE_SIZE]>) {
    // SAFETY: any bytes are words, and atomics may be shared. The rest is the caller's promise.
    let words = unsafe { page.cast::<[AtomicU64; GRANULE_SIZE / 8]>().as_ref() };
    for word in words {
        word.store(0, Ordering::Relaxed);
    }
}
