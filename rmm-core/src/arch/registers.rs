// SPDX-License-Identifier: BSD-3-Clause
//! The system registers that the monitor's Rust code accesses, and how.
//!
//! Each is known to the assembler by its name. `_EL12` and `_EL02` name the registers that EL1 and
//! EL0 use: `HCR_EL2.E2H` is 1. Fields are in [`fields`](crate::encoding::fields).
//!
//! A write takes effect at the next [`isb`] or ERET. The compiler may move accesses to memory across
//! it: no write here changes what the monitor's own accesses reach.
//!
//! # Which writes are `unsafe`
//! A write is `unsafe` if the wrong value breaks what Rust relies on, because it changes the
//! translation that the monitor itself runs under or decides which memory a Realm reaches. The other
//! registers here hold state of EL1 and EL0, traps, interrupts, timers and counters. A wrong value
//! there is a bug, but the monitor's memory stays as it is.
//!
//! `TTBR0_EL2`, `TTBR1_EL2`, `TCR_EL2`, `MAIR_EL2`, `SCTLR_EL2` and `VBAR_EL2` cannot be written here
//! at all: `entry.S` sets them once, and `remedies` chooses the vectors of a CPU.
#![allow(missing_docs, reason = "names are the architecture's")]
#![allow(non_camel_case_types, clippy::upper_case_acronyms)]

use core::arch::asm;
use tock_registers::RegisterLongName;

pub use crate::encoding::fields::*;
pub use aarch64_cpu::asm::barrier;
pub use tock_registers::interfaces::{ReadWriteable, Readable, Writeable};

/// For the assembler: all registers below exist. Whether this CPU has one, its ID registers say.
macro_rules! arch {
    () => {
        ".arch armv9.5-a+sve+sme+brbe+gcs"
    };
}

/// The fields of a register.
pub trait Fields {
    type R: RegisterLongName;
}

/// `NAME [access]`, or `NAME: FIELDS [access]` where fields are used.
macro_rules! registers {
    ($($name:ident $(: $fields:ident)? [$($access:ident)+];)+) => {
        mod named {
            $(pub struct $name;)+
        }
        $(
            pub const $name: named::$name = named::$name;

            impl Fields for named::$name {
                type R = registers!(@fields $($fields)?);
            }

            $(registers!(@$access $name);)+
        )+
    };
    (@fields) => { () };
    (@fields $fields:ident) => { $fields::Register };
    (@read $name:ident) => {
        impl Readable for named::$name {
            type T = u64;
            type R = <Self as Fields>::R;

            #[inline]
            fn get(&self) -> u64 {
                let value: u64;
                // SAFETY: reading one of the registers below changes nothing.
                unsafe {
                    asm!(
                        arch!(),
                        concat!("mrs {value}, ", stringify!($name)),
                        value = out(reg) value,
                        options(nomem, nostack, preserves_flags)
                    );
                }
                value
            }
        }
    };
    (@write $name:ident) => {
        impl Writeable for named::$name {
            type T = u64;
            type R = <Self as Fields>::R;

            #[inline]
            fn set(&self, value: u64) {
                // SAFETY: no value of the register changes what memory the monitor or a Realm
                // reaches, see the head of the file.
                unsafe {
                    asm!(
                        arch!(),
                        concat!("msr ", stringify!($name), ", {value}"),
                        value = in(reg) value,
                        options(nomem, nostack, preserves_flags)
                    );
                }
            }
        }

        impl named::$name {
            /// Writes zero: one instruction less than by [`Writeable::set`].
            #[inline]
            #[allow(dead_code, reason = "few registers are cleared")]
            pub fn clear(&self) {
                // SAFETY: as for any other value.
                unsafe {
                    asm!(
                        arch!(),
                        concat!("msr ", stringify!($name), ", xzr"),
                        options(nomem, nostack, preserves_flags)
                    );
                }
            }
        }
    };
    (@unsafe_write $name:ident) => {
        impl named::$name {
            /// Writes the register.
            ///
            /// # Safety
            /// With this value the monitor's own translation stays as it is. If a Realm runs before
            /// the next write, it reaches only the memory that it may.
            #[inline]
            pub unsafe fn set(&self, value: u64) {
                // SAFETY: the caller's promise.
                unsafe {
                    asm!(
                        arch!(),
                        concat!("msr ", stringify!($name), ", {value}"),
                        value = in(reg) value,
                        options(nomem, nostack, preserves_flags)
                    );
                }
            }
        }
    };
}

registers! {
    BRBCR_EL12 [read write];
    BRBCR_EL2 [read write];
    CCSIDR_EL1 [read];
    CLIDR_EL1 [read];
    CNTHCTL_EL2: CNTHCTL_EL2 [read write];
    CNTKCTL_EL12 [read write];
    CNTP_CTL_EL02: CNTP_CTL_EL0 [read write];
    CNTP_CVAL_EL02 [read write];
    CNTP_TVAL_EL02 [read write];
    CNTVOFF_EL2 [write];
    CNTV_CTL_EL02: CNTV_CTL_EL0 [read write];
    CNTV_CVAL_EL02 [read write];
    CNTV_TVAL_EL02 [read write];
    CPTR_EL2: CPTR_EL2 [read write];
    CSSELR_EL1 [read write];
    CTR_EL0: CTR_EL0 [read];
    DCZID_EL0: DCZID_EL0 [read];
    DISR_EL1: DISR_EL1 [read write];
    ESR_EL2: ESR_EL2 [read];
    FAR_EL2 [read];
    FPCR [read write];
    FPMR [read write];
    FPSR [read write];
    GCSCR_EL12 [read write];
    HCRX_EL2: HCRX_EL2 [write];
    HCR_EL2: HCR_EL2 [read unsafe_write];
    HDFGRTR2_EL2 [write];
    HDFGRTR_EL2: HDFGRTR_EL2 [write];
    HDFGWTR2_EL2 [write];
    HDFGWTR_EL2: HDFGWTR_EL2 [write];
    HFGITR2_EL2 [write];
    HFGITR_EL2 [write];
    HFGRTR2_EL2 [write];
    HFGRTR_EL2 [write];
    HFGWTR2_EL2 [write];
    HFGWTR_EL2 [write];
    HPFAR_EL2 [read];
    HSTR_EL2 [write];
    ICC_CTLR_EL1: ICC_CTLR_EL1 [read];
    ICC_HPPIR1_EL1 [read];
    ICC_SRE_EL2: ICC_SRE_EL2 [read write];
    ICH_HCR_EL2: ICH_HCR_EL2 [read write];
    ICH_MISR_EL2 [read];
    ICH_VMCR_EL2 [read write];
    ICH_VTR_EL2: ICH_VTR_EL2 [read];
    ID_AA64DFR0_EL1: ID_AA64DFR0_EL1 [read];
    ID_AA64DFR1_EL1 [read];
    ID_AA64ISAR0_EL1: ID_AA64ISAR0_EL1 [read];
    ID_AA64ISAR1_EL1: ID_AA64ISAR1_EL1 [read];
    ID_AA64ISAR2_EL1: ID_AA64ISAR2_EL1 [read];
    ID_AA64MMFR0_EL1: ID_AA64MMFR0_EL1 [read];
    ID_AA64MMFR1_EL1: ID_AA64MMFR1_EL1 [read];
    ID_AA64MMFR2_EL1 [read];
    ID_AA64MMFR3_EL1 [read];
    ID_AA64PFR0_EL1: ID_AA64PFR0_EL1 [read];
    ID_AA64PFR1_EL1: ID_AA64PFR1_EL1 [read];
    ID_AA64PFR2_EL1: ID_AA64PFR2_EL1 [read];
    ID_AA64SMFR0_EL1: ID_AA64SMFR0_EL1 [read];
    ID_AA64ZFR0_EL1 [read];
    ISR_EL1: ISR_EL1 [read];
    MDCR_EL2: MDCR_EL2 [read write];
    MIDR_EL1 [read];
    MPAM2_EL2: MPAM2_EL2 [write];
    MPAMHCR_EL2: MPAMHCR_EL2 [write];
    MPAMIDR_EL1: MPAMIDR_EL1 [read];
    OSLAR_EL1: OSLAR_EL1 [write];
    OSLSR_EL1: OSLSR_EL1 [read];
    PAR_EL1: PAR_EL1 [read write];
    PMCCFILTR_EL0 [read write];
    PMCCNTR_EL0 [read write];
    PMCNTENCLR_EL0 [write];
    PMCNTENSET_EL0 [read write];
    PMCR_EL0: PMCR_EL0 [read write];
    PMINTENCLR_EL1 [write];
    PMINTENSET_EL1 [read write];
    PMOVSCLR_EL0 [write];
    PMOVSSET_EL0 [read write];
    PMSELR_EL0 [read write];
    PMUSERENR_EL0 [read write];
    SMCR_EL2: SMCR_EL2 [read];
    SP_EL0 [read write];
    SVCR: SVCR [read];
    TTBR1_EL2: TTBR1_EL2 [read];
    VMPIDR_EL2 [write];
    VPIDR_EL2 [write];
    VSESR_EL2 [read write];
    VTCR_EL2: VTCR_EL2 [unsafe_write];
    VTTBR_EL2: VTTBR_EL2 [read unsafe_write];
    ZCR_EL12 [read write];
    ZCR_EL2: ZCR_EL2 [read write];
}

/// Registers that have a number: `NAME<N>`, and their name for the assembler with `{n}` in place of
/// the number.
macro_rules! rows {
    ($($name:ident $pattern:literal;)+) => {$(
        #[doc = concat!("`", $pattern, "`.")]
        pub struct $name<const N: u8>;

        impl<const N: u8> $name<N> {
            #[inline]
            pub fn get(self) -> u64 {
                let value: u64;
                // SAFETY: as for the registers above.
                unsafe {
                    asm!(
                        concat!("mrs {value}, ", $pattern),
                        value = out(reg) value,
                        n = const N,
                        options(nomem, nostack, preserves_flags)
                    );
                }
                value
            }

            #[inline]
            pub fn set(self, value: u64) {
                // SAFETY: as for the registers above.
                unsafe {
                    asm!(
                        concat!("msr ", $pattern, ", {value}"),
                        value = in(reg) value,
                        n = const N,
                        options(nomem, nostack, preserves_flags)
                    );
                }
            }

            #[inline]
            #[allow(dead_code, reason = "few registers are cleared")]
            pub fn clear(self) {
                // SAFETY: as for the registers above.
                unsafe {
                    asm!(
                        concat!("msr ", $pattern, ", xzr"),
                        n = const N,
                        options(nomem, nostack, preserves_flags)
                    );
                }
            }
        }
    )+};
}

rows! {
    DBGBCR_EL1 "DBGBCR{n}_EL1";
    DBGBVR_EL1 "DBGBVR{n}_EL1";
    DBGWCR_EL1 "DBGWCR{n}_EL1";
    DBGWVR_EL1 "DBGWVR{n}_EL1";
    ICH_AP0R_EL2 "ICH_AP0R{n}_EL2";
    ICH_AP1R_EL2 "ICH_AP1R{n}_EL2";
    ICH_LR_EL2 "ICH_LR{n}_EL2";
    PMEVCNTR_EL0 "PMEVCNTR{n}_EL0";
    PMEVTYPER_EL0 "PMEVTYPER{n}_EL0";
}

/// Whether this CPU lets the monitor read the register. EL3 answers the trap of a register that it
/// keeps closed with an Undefined Instruction exception, which `.fixups` expects.
macro_rules! is_open {
    ($name:ident) => {{
        let mut is_open = 0_u64;
        // SAFETY: reading the register changes nothing. An exception of the read is expected, by
        // the entry in the table, and leaves all registers as they are.
        unsafe {
            core::arch::asm!(
                $crate::arch::registers::arch!(),
                concat!("2: mrs {value}, ", stringify!($name)),
                "3: mov {is_open}, #1",
                "4:",
                ".pushsection .fixups, \"a\"",
                ".balign 8",
                ".quad 2b, 3b, 4b, {undefined}",
                ".popsection",
                value = out(reg) _,
                is_open = inout(reg) is_open,
                undefined = const $crate::encoding::fixup::UNDEFINED,
                options(nomem, nostack, preserves_flags)
            );
        }
        is_open != 0
    }};
}

/// Does `$with!(n)` for numbers from zero on, up to and including `$last`.
macro_rules! for_up_to {
    ($last:expr, $with:ident, 0, $($n:literal),+) => {
        'some: {
            $with!(0);
            $(
                if $n > $last {
                    break 'some;
                }
                $with!($n);
            )+
        }
    };
}

pub(super) use crate::encoding::fields::set;
pub(super) use {arch, for_up_to, is_open};

/// Makes earlier writes of system registers take effect.
#[inline]
pub fn isb() {
    barrier::isb(barrier::SY);
}
