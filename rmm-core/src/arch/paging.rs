// SPDX-License-Identifier: BSD-3-Clause
//! Fills the monitor's address space at boot, each entry once and never changed after.

use super::cpu::{ArchCpu, Page};
use super::percpu::{CpuBlock, DATA_PAGES};
use super::registers::*;
use super::space::{
    ARRAYS, BLOCK, DEVICES, EXCEPTION_STACK_PAGES, PAGE, PRIVATE, STACK_PAGES, descriptor, private,
    root_index,
};
use core::mem::offset_of;
use core::ptr::NonNull;
use rmm_granule::{Memory, Pa};

unsafe extern "C" {
    /// The table that maps [`DEVICES`].
    safe static devices_table: [u64; 512];
}

/// Largest granule table in bytes.
pub const LARGEST_ARRAY: usize = PRIVATE - ARRAYS;

/// Pages at [`DEVICES`], by what they map.
#[derive(Clone, Copy, Debug)]
pub enum Slot {
    /// The buffer shared with EL3.
    SharedBuffer = 1,
    /// The console's registers.
    Console = 3,
}

/// Maps the page shared with EL3.
///
/// # Safety
/// The boot CPU calls it, once, with the address of that page.
pub unsafe fn map_shared_buffer(cpu: &ArchCpu, image: Pa, pa: Pa) -> NonNull<Page> {
    // SAFETY: the caller's promise.
    unsafe { map_device(cpu, image, Slot::SharedBuffer, pa, descriptor::DATA).cast() }
}

/// Maps the console's register page.
///
/// # Safety
/// The boot CPU calls it, once, with the address of that page.
pub unsafe fn map_console(cpu: &ArchCpu, image: Pa, pa: Pa) -> NonNull<u8> {
    // SAFETY: the caller's promise.
    unsafe { map_device(cpu, image, Slot::Console, pa, descriptor::DEVICE) }
}

unsafe fn map_device(cpu: &ArchCpu, image: Pa, slot: Slot, pa: Pa, attributes: u64) -> NonNull<u8> {
    let offset = (&raw const devices_table).addr() - super::space::IMAGE;
    let table = Pa(image.0 + offset as u64);
    // SAFETY: the table lies in the image's memory and only this function writes it.
    unsafe { cpu.with_page(table, |page| set(page, slot as usize, pa.0 | attributes)) };
    publish();
    let va = DEVICES + slot as usize * PAGE;
    NonNull::new(core::ptr::with_exposed_provenance_mut(va)).unwrap_or(NonNull::dangling())
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
                set(
                    page,
                    root_index(ARRAYS) + block,
                    at | descriptor::DATA_BLOCK,
                );
            }
        });
    }
    publish();
    NonNull::new(core::ptr::with_exposed_provenance_mut(ARRAYS)).unwrap_or(NonNull::dangling())
}

/// Makes the block of CPU `index` at `pa` ready to boot with: what this CPU's root table maps for
/// all, and the private part of its own.
///
/// # Safety
/// The memory at `pa` is the monitor's, for a [`CpuBlock`], and no CPU uses it yet.
pub unsafe fn prepare_block(cpu: &ArchCpu, pa: Pa, index: usize) {
    let at = |offset: usize| Pa(pa.0 + offset as u64);
    let private_table = at(offset_of!(CpuBlock, private));
    // SAFETY: the pages are the caller's to give; the root table that is read is this CPU's, which
    // nothing writes meanwhile. Windows are of different pages.
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
        const { assert!(offset_of!(super::percpu::CpuData, index) == 0) };
        cpu.with_page(at(offset_of!(CpuBlock, data)), |page| {
            set(page, 0, index as u64);
        });
    }
}

/// Physical address of this CPU's root table.
fn root_table() -> Pa {
    Pa(TTBR1_EL2.read(TTBR1_EL1::BADDR) << 1)
}

/// Writes 64-bit word `index` of a page.
fn set(page: &mut Page, index: usize, value: u64) {
    let words = page.as_chunks_mut::<8>().0;
    if let Some(word) = words.get_mut(index) {
        *word = value.to_le_bytes();
    }
}

fn publish() {
    // Table entries come before the walks for what follows.
    barrier::dsb(barrier::ISHST);
    isb();
}
