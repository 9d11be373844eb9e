// SPDX-License-Identifier: BSD-3-Clause
//! Where EL3 enters the image; see `entry.S`.

use super::percpu::{BLOCKS, CpuBlock, DATA_PAGES};
use super::start;
use crate::encoding::space::{
    DEVICES, EXCEPTION_STACK_PAGES, PRIVATE, STACK_PAGES, STACK_TOP, private, root_index,
};
use crate::encoding::stage1::{self, descriptor};
use core::arch::global_asm;
use core::mem::offset_of;
use rmm_abi::el3::{boot, fid};

global_asm!(
    include_str!("entry.S"),
    blocks = sym BLOCKS,
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
    hcr = const stage1::HCR,
    mair = const stage1::MAIR,
    tcr = const stage1::TCR,
    tcr_epd0 = const stage1::TCR_EPD0,
    cptr = const stage1::CPTR,
    sctlr = const stage1::SCTLR,
    stack_top = const STACK_TOP,
);

const _: () = assert!(offset_of!(CpuBlock, root) == 0 && offset_of!(CpuBlock, private) == 4096);
