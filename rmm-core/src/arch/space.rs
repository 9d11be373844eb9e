// SPDX-License-Identifier: BSD-3-Clause
//! The monitor's own virtual address space: the 1 GiB that TTBR1_EL2 translates, with one root
//! table (level 2) a CPU.
//!
//! | from | size | holds | mapped |
//! |---|---|---|---|
//! | [`IMAGE`] | 2 MiB | text, read-only data, data, bss | by all CPUs alike |
//! | [`DEVICES`] | 2 MiB | console, buffer shared with EL3 | alike |
//! | [`ARRAYS`] | 1016 MiB | granule table | alike |
//! | [`PRIVATE`] | 2 MiB | stacks, data and windows of a CPU | by each CPU its own |
//!
//! Nothing is writable and executable. In the private part a page of another kind than its
//! neighbour has an unmapped page between; so a stack that overflows faults.

/// Size of a page of the monitor's address space in bytes, that of a Granule.
pub const PAGE: usize = 4096;
/// What one level 2 descriptor maps, in bytes.
pub const BLOCK: usize = 0x20_0000;

/// `TCR_EL2.T1SZ`: 1 GiB.
pub const T1SZ: u64 = 34;

/// Where the image is linked.
pub const IMAGE: usize = 0xFFFF_FFFF_C000_0000;
/// Devices and the shared buffer.
pub const DEVICES: usize = IMAGE + BLOCK;
/// The granule table.
pub const ARRAYS: usize = DEVICES + BLOCK;
/// What is this CPU's alone.
pub const PRIVATE: usize = 0xFFFF_FFFF_FFE0_0000;

/// Entry of a root table that maps `va`.
#[must_use]
pub const fn root_index(va: usize) -> usize {
    (va - IMAGE) / BLOCK
}

/// Pages of the private part, by their index in it.
pub mod private {
    use super::PAGE;

    /// The table that maps the private part.
    pub const TABLE: usize = 1;
    /// [`CpuData`](crate::arch::percpu::CpuData).
    pub const DATA: usize = 3;
    /// First window onto Realm memory.
    pub const WINDOWS: usize = 16;
    /// How many of them there are.
    pub const WINDOW_COUNT: usize = 31;
    /// First window onto Non-secure memory.
    pub const NS_WINDOWS: usize = WINDOWS + 32;
    /// How many of them there are.
    pub const NS_WINDOW_COUNT: usize = 31;
    /// What one TLBI forgets: both kinds.
    pub const ALL_WINDOWS: usize = 64;
    /// First page of the stack.
    pub const STACK: usize = 472;
    /// First page of the exception stack.
    pub const EXCEPTION_STACK: usize = 492;
    /// The page behind the exception stack.
    pub const EXCEPTION_STACK_END: usize = EXCEPTION_STACK + super::EXCEPTION_STACK_PAGES;

    /// Address of page `index`.
    #[must_use]
    pub const fn va(index: usize) -> usize {
        super::PRIVATE + index * PAGE
    }
}

/// Pages of a CPU's stack.
pub const STACK_PAGES: usize = 8;
/// Pages of a CPU's exception stack.
pub const EXCEPTION_STACK_PAGES: usize = 4;

/// Top of the stack.
pub const STACK_TOP: usize = private::va(private::STACK + STACK_PAGES);
/// Top of the exception stack: a run of ones, so that one instruction loads it into SP.
pub const EXCEPTION_STACK_TOP: usize = private::va(private::EXCEPTION_STACK_END);

const _: () = assert!(EXCEPTION_STACK_TOP == 0xFFFF_FFFF_FFFF_0000);

/// Descriptor bits of stage 1 (Arm ARM D8.3; Realm EL2&0 regime, no LPA2).
pub mod descriptor {
    /// A page at level 3, and a table at level 2.
    pub const PAGE_OR_TABLE: u64 = 0b11;
    /// A block at level 2.
    pub const BLOCK: u64 = 0b01;
    /// `MAIR_EL2` attribute 1: a device.
    const DEVICE_MEMORY: u64 = 1 << 2;
    /// Non-secure rather than Realm physical address space.
    const NS: u64 = 1 << 5;
    const READ_ONLY: u64 = 1 << 7;
    const INNER_SHAREABLE: u64 = 0b11 << 8;
    const AF: u64 = 1 << 10;
    const PXN: u64 = 1 << 53;
    const UXN: u64 = 1 << 54;

    const NORMAL: u64 = AF | INNER_SHAREABLE | UXN;

    /// Instructions: executable, read-only.
    pub const TEXT: u64 = PAGE_OR_TABLE | NORMAL | READ_ONLY;
    /// Constants: read-only.
    pub const RODATA: u64 = PAGE_OR_TABLE | NORMAL | READ_ONLY | PXN;
    /// Data: readable and writable.
    pub const DATA: u64 = PAGE_OR_TABLE | NORMAL | PXN;
    /// A 2 MiB block of data.
    pub const DATA_BLOCK: u64 = BLOCK | NORMAL | PXN;
    /// Non-secure memory.
    pub const NS_DATA: u64 = DATA | NS;
    /// Device registers, nGnRE.
    pub const DEVICE: u64 = PAGE_OR_TABLE | AF | PXN | UXN | DEVICE_MEMORY;
}

/// Values of system registers that are the same on every CPU.
pub mod register {
    use crate::arch::registers::*;

    /// `MAIR_EL2`: attribute 0 Normal write-back, 1 Device-nGnRE.
    pub const MAIR: u64 = {
        use MAIR_EL2::{Attr0_Normal_Inner, Attr0_Normal_Outer, Attr1_Device};
        Attr0_Normal_Outer::WriteBack_NonTransient_ReadWriteAlloc.value
            | Attr0_Normal_Inner::WriteBack_NonTransient_ReadWriteAlloc.value
            | Attr1_Device::nonGathering_nonReordering_EarlyWriteAck.value
    };

    /// `TCR_EL2` without IPS: 4 KiB granules, walks cacheable and inner shareable. T0SZ is 16: the
    /// identity mapping that turns the MMU on covers 48 bits.
    pub const TCR: u64 = {
        use TCR_EL1::*;
        let walks0 = SH0::Inner.value
            | ORGN0::WriteBack_ReadAlloc_WriteAlloc_Cacheable.value
            | IRGN0::WriteBack_ReadAlloc_WriteAlloc_Cacheable.value;
        let walks1 = SH1::Inner.value
            | ORGN1::WriteBack_ReadAlloc_WriteAlloc_Cacheable.value
            | IRGN1::WriteBack_ReadAlloc_WriteAlloc_Cacheable.value;
        let low = T0SZ.val(16).value | TG0::KiB_4.value | walks0;
        let high = T1SZ.val(super::T1SZ).value | TG1::KiB_4.value | walks1;
        low | high
    };
    /// `TCR_EL2.EPD0`: no walks through TTBR0_EL2.
    pub const TCR_EPD0: u64 = set!(TCR_EL1: EPD0);

    /// `HCR_EL2` while the monitor runs. E2H and TGE: one regime with two halves, all exceptions
    /// are EL2's.
    pub const HCR: u64 = set!(HCR_EL2: E2H | TGE | RW | AMO | IMO | FMO | API | APK);

    /// `SCTLR_EL2`: MMU, caches, stack alignment check, writable memory never executable; the
    /// rest as when the features behind the bits are absent.
    pub const SCTLR: u64 = {
        let res1 = set!(SCTLR_EL2: EOS | EIS)
            | SCTLR_nTWI.val(1).value
            | SCTLR_nTWE.val(1).value
            | SCTLR_SPAN.val(1).value
            | SCTLR_nTLSMD.val(1).value
            | SCTLR_LSMAOE.val(1).value;
        set!(SCTLR_EL2: M | C | SA | I | WXN) | res1
    };

    /// `CPTR_EL2`: FP, SIMD, SVE, SME and trace trap: the registers are not the monitor's.
    pub const CPTR: u64 = set!(CPTR_EL2: TTA);
}
