// SPDX-License-Identifier: BSD-3-Clause
//! Where EL3 enters the image; see `entry.S`.

use super::percpu::{CpuBlock, DATA_PAGES};
use super::space::{
    DEVICES, EXCEPTION_STACK_PAGES, PRIVATE, STACK_PAGES, STACK_TOP, descriptor, private, register,
    root_index,
};
use super::start;
use core::arch::{asm, global_asm};
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};
use rmm_abi::el3::{boot, fid};

global_asm!(
    include_str!("entry.S"),
    warm_boot = sym WARM_BOOT,
    warm_main = sym start::warm,
    boot_complete = const fid::RMM_BOOT_COMPLETE,
    cpu_id_out_of_range = const boot::CPU_ID_OUT_OF_RANGE,
    block_size = const size_of::<CpuBlock>(),
    text = const descriptor::TEXT,
    rodata = const descriptor::RODATA,
    data = const descriptor::DATA,
    table = const descriptor::PAGE_OR_TABLE,
    devices_entry = const root_index(DEVICES) * 8,
    private_entry = const root_index(PRIVATE) * 8,
    private_table_page = const private::TABLE,
    private_data_page = const private::DATA,
    data_offset = const offset_of!(CpuBlock, data),
    data_pages = const DATA_PAGES,
    private_stack_page = const private::STACK,
    stack_offset = const offset_of!(CpuBlock, stack),
    stack_pages = const STACK_PAGES,
    private_exception_page = const private::EXCEPTION_STACK,
    exception_offset = const offset_of!(CpuBlock, exception_stack),
    exception_pages = const EXCEPTION_STACK_PAGES,
    hcr = const register::HCR,
    mair = const register::MAIR,
    tcr = const register::TCR,
    tcr_epd0 = const register::TCR_EPD0,
    cptr = const register::CPTR,
    sctlr = const register::SCTLR,
    stack_top = const STACK_TOP,
);

const _: () = assert!(offset_of!(CpuBlock, root) == 0 && offset_of!(CpuBlock, private) == 4096);

/// What a CPU that boots warm finds with its MMU off. Not in .bss: it must be zero when EL3 has
/// loaded the image, and the entry code reads it before it clears .bss.
#[unsafe(link_section = ".data.warm_boot")]
static WARM_BOOT: WarmBoot = WarmBoot {
    blocks: AtomicU64::new(0),
    cpus: AtomicU64::new(0),
};

#[repr(C, align(64))]
struct WarmBoot {
    /// Physical address of the array of [`CpuBlock`]; zero before the cold boot is done.
    blocks: AtomicU64,
    /// Number of blocks.
    cpus: AtomicU64,
}

/// Lets the other CPUs boot: their blocks, by CPU index, begin at physical address `blocks`.
pub fn open_warm_boot(blocks: u64, cpus: u64) {
    WARM_BOOT.cpus.store(cpus, Ordering::Relaxed);
    WARM_BOOT.blocks.store(blocks, Ordering::Relaxed);
    let line = &raw const WARM_BOOT;
    // SAFETY: cleans a line of the monitor's own data to memory; contents stay as they are. The
    // structure, aligned to 64 bytes, lies in one line of that size or in the first 16 bytes of
    // smaller ones.
    unsafe {
        asm!(
            "dsb ish",
            "dc civac, {line}",
            "dsb sy",
            line = in(reg) line,
            options(nostack, preserves_flags)
        );
    }
}
