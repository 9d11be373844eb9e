// SPDX-License-Identifier: BSD-3-Clause
//! System registers of the world switch by their names.
//!
//! The assembler knows some of them only when told of the architecture extension they belong to,
//! which would have to be told to the compiler as well; their encoding works with any. The monitor
//! runs with `HCR_EL2.E2H` = 1: `_EL12` and `_EL02` name the registers that EL1 and EL0 use.

/// A system register in the form the assembler takes.
macro_rules! sysreg {
    (BRBCR_EL12) => {
        "S2_5_C9_C0_0"
    };
    (CNTKCTL_EL12) => {
        "S3_5_C14_C1_0"
    };
    (CNTP_CTL_EL02) => {
        "S3_5_C14_C2_1"
    };
    (CNTP_CVAL_EL02) => {
        "S3_5_C14_C2_2"
    };
    (CNTV_CTL_EL02) => {
        "S3_5_C14_C3_1"
    };
    (CNTV_CVAL_EL02) => {
        "S3_5_C14_C3_2"
    };
    (DISR_EL1) => {
        "S3_0_C12_C1_1"
    };
    (FPCR) => {
        "S3_3_C4_C4_0"
    };
    (FPSR) => {
        "S3_3_C4_C4_1"
    };
    (HCRX_EL2) => {
        "S3_4_C1_C2_2"
    };
    (HDFGRTR_EL2) => {
        "S3_4_C3_C1_4"
    };
    (HDFGWTR_EL2) => {
        "S3_4_C3_C1_5"
    };
    (HFGITR_EL2) => {
        "S3_4_C1_C1_6"
    };
    (HFGRTR_EL2) => {
        "S3_4_C1_C1_4"
    };
    (HFGWTR_EL2) => {
        "S3_4_C1_C1_5"
    };
    (ICC_HPPIR1_EL1) => {
        "S3_0_C12_C12_2"
    };
    (ICC_SRE_EL2) => {
        "S3_4_C12_C9_5"
    };
    (ICH_HCR_EL2) => {
        "S3_4_C12_C11_0"
    };
    (ICH_MISR_EL2) => {
        "S3_4_C12_C11_2"
    };
    (ICH_VMCR_EL2) => {
        "S3_4_C12_C11_7"
    };
    (ICH_VTR_EL2) => {
        "S3_4_C12_C11_1"
    };
    (ID_AA64ISAR2_EL1) => {
        "S3_0_C0_C6_2"
    };
    (ID_AA64SMFR0_EL1) => {
        "S3_0_C0_C4_5"
    };
    (MPAM2_EL2) => {
        "S3_4_C10_C5_0"
    };
    (MPAMHCR_EL2) => {
        "S3_4_C10_C4_0"
    };
    (MPAMIDR_EL1) => {
        "S3_0_C10_C4_4"
    };
    (SMCR_EL2) => {
        "S3_4_C1_C2_6"
    };
    (SVCR) => {
        "S3_3_C4_C2_2"
    };
    (VSESR_EL2) => {
        "S3_4_C5_C2_3"
    };
    (ZCR_EL12) => {
        "S3_5_C1_C2_0"
    };
    (ZCR_EL2) => {
        "S3_4_C1_C2_0"
    };
    ($register:literal) => {
        $register
    };
    ($register:ident) => {
        stringify!($register)
    };
}

/// Reads a system register.
macro_rules! mrs {
    ($register:tt) => {{
        let value: u64;
        // SAFETY: reading one of the registers used here changes nothing.
        #[allow(unused_unsafe, reason = "also used in unsafe blocks")]
        unsafe {
            ::core::arch::asm!(
                concat!("mrs {}, ", $crate::arch::realm_regs::sysreg!($register)),
                out(reg) value,
                options(nomem, nostack, preserves_flags)
            );
        }
        value
    }};
}

/// Writes a system register; takes effect at the next [`isb`] or ERET. What the write does to the
/// CPU is the caller's to justify, in the `unsafe` block this must stand in.
macro_rules! msr {
    ($register:tt, $value:expr) => {
        ::core::arch::asm!(
            concat!("msr ", $crate::arch::realm_regs::sysreg!($register), ", {}"),
            in(reg) { let value: u64 = $value; value },
            options(nostack, preserves_flags)
        )
    };
}

/// Goes through numbered registers in order, up to a count.
macro_rules! for_some {
    ($count:expr, $with:ident, $($n:literal $($register:literal)+),+) => {
        'some: {
            $(
                if $n >= $count {
                    break 'some;
                }
                $with!($n, $($register),+);
            )+
        }
    };
}

pub(super) use {for_some, mrs, msr, sysreg};

/// Makes earlier writes of system registers take effect.
#[inline(always)]
pub(super) fn isb() {
    // SAFETY: a barrier; memory accesses are not moved across it.
    unsafe { core::arch::asm!("isb", options(nostack, preserves_flags)) }
}

/// Four bits of an ID register, from bit `shift`.
#[inline(always)]
pub(super) const fn field(register: u64, shift: u32) -> u64 {
    register >> shift & 0xF
}
