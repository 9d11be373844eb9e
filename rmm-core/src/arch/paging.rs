// SPDX-License-Identifier: BSD-3-Clause
//! Fills the monitor's address space at boot. Each entry is written once and never changes.

use super::cpu::{ArchCpu, Page};
use super::percpu::{CpuBlock, CpuData, DATA_PAGES};
use super::registers::*;
use crate::encoding::space::{
    ARRAYS, BLOCK, DEVICES, EXCEPTION_STACK_PAGES, IMAGE, PAGE, PRIVATE, STACK_PAGES, private,
    root_index,
};
use crate::encoding::stage1::descriptor;
use core::mem::offset_of;
use core::num::NonZeroUsize;
use core::ptr::NonNull;
use rmm_granule::{Memory, Pa, bug};

unsafe extern "C" {
    /// The table that maps [`DEVICES`].
    safe static devices_table: [u64; 512];
}

/// Largest granule table in bytes.
pub const LARGEST_ARRAY: usize = PRIVATE - ARRAYS;

/// Page of [`DEVICES`] that maps the buffer shared with EL3.
const SHARED_BUFFER: usize = 1;
/// Page of [`DEVICES`] that maps the console's registers. An unmapped page keeps them apart.
const CONSOLE: usize = 3;

/// Maps the page shared with EL3.
///
/// # Safety
/// The boot CPU calls it, once, with the address of that page.
pub unsafe fn map_shared_buffer(cpu: &ArchCpu, image: Pa, pa: Pa) -> NonNull<Page> {
    // SAFETY: the caller's promise.
    unsafe { map_device::<SHARED_BUFFER>(cpu, image, pa, descriptor::DATA).cast() }
}

/// Maps the console's register page.
///
/// # Safety
/// The boot CPU calls it, once, with the address of that page.
pub unsafe fn map_console(cpu: &ArchCpu, image: Pa, pa: Pa) -> NonNull<u8> {
    // SAFETY: the caller's promise.
    unsafe { map_device::<CONSOLE>(cpu, image, pa, descriptor::DEVICE) }
}

/// Maps `pa` at page `SLOT` of [`DEVICES`].
///
/// # Safety
/// The boot CPU calls it, once for each slot. The memory suits the attributes, and is mapped nowhere
/// else.
unsafe fn map_device<const SLOT: usize>(
    cpu: &ArchCpu,
    image: Pa,
    pa: Pa,
    attributes: u64,
) -> NonNull<u8> {
    let offset = (&raw const devices_table).addr() - IMAGE;
    let table = Pa(image.0 + offset as u64);
    // SAFETY: the table lies in the image's memory and only this function writes it.
    unsafe { cpu.with_page(table, |page| set(page, SLOT, pa.0 | attributes)) };
    publish();
    let va = const { NonZeroUsize::new(DEVICES + SLOT * PAGE).unwrap() };
    NonNull::with_exposed_provenance(va)
}

/// Maps `size` bytes at `pa`, both multiples of 2 MiB, `size` at most [`LARGEST_ARRAY`], at
/// [`ARRAYS`] in this CPU's root table.
///
/// # Safety
/// The boot CPU calls it, once, and the memory is the monitor's.
pub unsafe fn map_array(cpu: &ArchCpu, pa: Pa, size: usize) -> NonNull<u8> {
    // SAFETY: only the table walker reads the root table meanwhile.
    unsafe {
        cpu.with_page(root_table(), |page| {
            for block in 0..size / BLOCK {
                let at = pa.0 + (block * BLOCK) as u64;
                let index = root_index(ARRAYS) + block;
                set(page, index, at | descriptor::DATA_BLOCK);
            }
        });
    }
    publish();
    let va = const { NonZeroUsize::new(ARRAYS).unwrap() };
    NonNull::with_exposed_provenance(va)
}

/// Prepares the block of CPU `index` at `pa` for its boot: a root table that maps what this CPU's
/// maps for all, and a private part.
///
/// # Safety
/// The memory at `pa` is the monitor's, for a [`CpuBlock`], and no CPU uses it yet.
pub unsafe fn prepare_block(cpu: &ArchCpu, pa: Pa, index: usize) {
    let at = |offset: usize| Pa(pa.0 + offset as u64);
    let private_table = at(offset_of!(CpuBlock, private));
    // SAFETY: the pages lie in the block, which is the caller's. The root table that is read is this
    // CPU's, which nothing writes meanwhile. No page has two windows at once.
    unsafe {
        cpu.with_page(at(offset_of!(CpuBlock, root)), |root| {
            cpu.with_page(root_table(), |mine| root.copy_from_slice(mine));
            let entry = private_table.0 | descriptor::PAGE_OR_TABLE;
            set(root, root_index(PRIVATE), entry);
        });
        cpu.with_page(private_table, |table| {
            cpu.zero(table);
            let mut map = |page: usize, offset: usize, count: usize| {
                for n in 0..count {
                    set(table, page + n, at(offset + n * PAGE).0 | descriptor::DATA);
                }
            };
            map(private::TABLE, offset_of!(CpuBlock, private), 1);
            map(private::DATA, offset_of!(CpuBlock, data), DATA_PAGES);
            map(private::STACK, offset_of!(CpuBlock, stack), STACK_PAGES);
            map(
                private::EXCEPTION_STACK,
                offset_of!(CpuBlock, exception_stack),
                EXCEPTION_STACK_PAGES,
            );
        });
        for n in 0..DATA_PAGES {
            cpu.with_page(at(offset_of!(CpuBlock, data) + n * PAGE), |page| {
                cpu.zero(page);
            });
        }
        // `index` is the first field of the data.
        const { assert!(offset_of!(CpuData, index) == 0) };
        cpu.with_page(at(offset_of!(CpuBlock, data)), |page| {
            set(page, 0, index as u64);
        });
    }
}

/// Physical address of this CPU's root table.
fn root_table() -> Pa {
    Pa(TTBR1_EL2.read(TTBR1_EL2::BADDR) << 1)
}

/// Writes 64-bit word `index` of a page.
fn set(page: &mut Page, index: usize, value: u64) {
    match page.as_chunks_mut::<8>().0.get_mut(index) {
        Some(word) => *word = value.to_le_bytes(),
        None => bug!("an entry outside its table"),
    }
}

/// Makes table entries visible to the table walkers of all CPUs before what follows.
fn publish() {
    barrier::dsb(barrier::ISHST);
    isb();
}
