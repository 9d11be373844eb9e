// SPDX-License-Identifier: BSD-3-Clause
//! The fields of system registers, in modules named after the register: those of the crate
//! `aarch64-cpu`, and in the same form those that it lacks.
//!
//! The monitor runs with `HCR_EL2.E2H` = 1. Four EL2 registers then have another layout than the
//! crate gives them: `CPTR_EL2` and `CNTHCTL_EL2`, which are defined here, and `TCR_EL2` and
//! `TTBR1_EL2`, which have the layout of the EL1 registers.
#![allow(missing_docs, reason = "names are the architecture's")]
#![allow(non_snake_case, non_upper_case_globals)]

use tock_registers::fields::Field;
use tock_registers::{RegisterLongName, register_bitfields};

/// Fields of a register from the crate, with further ones at `offset` of `bits` bits:
/// `REGISTER from CRATE_NAME { FIELD offset bits }`.
macro_rules! fields {
    ($($register:ident from $known:ident { $($field:ident $offset:literal $bits:literal)* })+) => {$(
        pub mod $register {
            #[allow(unused_imports, reason = "the tests do not use all registers")]
            pub use aarch64_cpu::registers::$known::*;
            $(
                pub const $field: super::Field<u64, Register> =
                    super::Field::new((1 << $bits) - 1, $offset);
            )*
        }
    )+};
}

fields! {
    CNTP_CTL_EL0 from CNTP_CTL_EL0 {}
    CNTV_CTL_EL0 from CNTV_CTL_EL0 {}
    // FnV: FAR_EL2 is not valid; in the syndrome of an abort.
    ESR_EL2 from ESR_EL2 { FnV 10 1 }
    HCR_EL2 from HCR_EL2 {}
    HDFGRTR_EL2 from HDFGRTR_EL2 {}
    HDFGWTR_EL2 from HDFGWTR_EL2 {}
    ICC_CTLR_EL1 from ICC_CTLR_EL1 {}
    ICC_SRE_EL2 from ICC_SRE_EL2 {}
    ICH_HCR_EL2 from ICH_HCR_EL2 {}
    ICH_VTR_EL2 from ICH_VTR_EL2 {}
    ID_AA64DFR0_EL1 from ID_AA64DFR0_EL1 {}
    ID_AA64ISAR0_EL1 from ID_AA64ISAR0_EL1 { SHA2 12 4 }
    ID_AA64ISAR1_EL1 from ID_AA64ISAR1_EL1 {}
    ID_AA64MMFR0_EL1 from ID_AA64MMFR0_EL1 { FGT 56 4 TGran4_2 40 4 }
    ID_AA64MMFR1_EL1 from ID_AA64MMFR1_EL1 { ECBHB 60 4 HCX 40 4 }
    ID_AA64PFR0_EL1 from ID_AA64PFR0_EL1 { CSV2 56 4 MPAM 40 4 }
    ID_AA64PFR1_EL1 from ID_AA64PFR1_EL1 { GCS 44 4 NMI 36 4 SME 24 4 MPAM_frac 16 4 }
    MAIR_EL2 from MAIR_EL2 {}
    MDCR_EL2 from MDCR_EL2 {}
    MIDR_EL1 from MIDR_EL1 {}
    OSLAR_EL1 from OSLAR_EL1 {}
    PAR_EL1 from PAR_EL1 {}
    SCTLR_EL2 from SCTLR_EL2 { LSMAOE 29 1 nTLSMD 28 1 SPAN 23 1 nTWE 18 1 nTWI 16 1 }
    TCR_EL2 from TCR_EL1 {}
    TTBR1_EL2 from TTBR1_EL1 {}
    // DS: 52-bit addresses. SL2: with SL0 = 0, walks start at level -1.
    VTCR_EL2 from VTCR_EL2 { DS 32 1 SL2 33 1 }
    VTTBR_EL2 from VTTBR_EL2 {}
}

register_bitfields! {u64,
    pub CNTHCTL_EL2 [
        CNTPMASK OFFSET(19) NUMBITS(1) [],
        CNTVMASK OFFSET(18) NUMBITS(1) [],
        EL1TVT OFFSET(13) NUMBITS(1) [],
        EL1PTEN OFFSET(11) NUMBITS(1) [],
        EL1PCTEN OFFSET(10) NUMBITS(1) []
    ],
    /// SMEN, FPEN, ZEN: nothing traps if both bits are set.
    pub CPTR_EL2 [
        TAM OFFSET(30) NUMBITS(1) [],
        TTA OFFSET(28) NUMBITS(1) [],
        SMEN OFFSET(24) NUMBITS(2) [],
        FPEN OFFSET(20) NUMBITS(2) [],
        ZEN OFFSET(16) NUMBITS(2) []
    ],
    pub CTR_EL0 [
        /// Instruction caches need not be invalidated.
        DIC OFFSET(29) NUMBITS(1) [],
        /// Data need not be cleaned for instructions to see it.
        IDC OFFSET(28) NUMBITS(1) [],
        /// log2 of the smallest data cache line in 4-byte words.
        DminLine OFFSET(16) NUMBITS(4) [],
        /// How level 1 instruction caches find a line.
        L1Ip OFFSET(14) NUMBITS(2) [],
        /// log2 of the smallest instruction cache line in 4-byte words.
        IminLine OFFSET(0) NUMBITS(4) []
    ],
    pub DCZID_EL0 [
        /// DC ZVA is prohibited.
        DZP OFFSET(4) NUMBITS(1) [],
        /// log2 of the block in 4-byte words.
        BS OFFSET(0) NUMBITS(4) []
    ],
    pub DISR_EL1 [
        /// The register holds an SError.
        A OFFSET(31) NUMBITS(1) [],
        /// The syndrome, as in `ESR_EL2`.
        ISS OFFSET(0) NUMBITS(25) [],
        /// The syndrome is IMPLEMENTATION DEFINED.
        IDS OFFSET(24) NUMBITS(1) [],
        AET OFFSET(10) NUMBITS(3) [],
        DFSC OFFSET(0) NUMBITS(6) [
            Asynchronous = 0x11
        ]
    ],
    pub HCRX_EL2 [
        TALLINT OFFSET(6) NUMBITS(1) []
    ],
    pub ISR_EL1 [
        /// A physical IRQ is pending.
        I OFFSET(7) NUMBITS(1) [],
        /// A physical FIQ is pending.
        F OFFSET(6) NUMBITS(1) []
    ],
    pub ID_AA64ISAR2_EL1 [
        CLRBHB OFFSET(28) NUMBITS(4) [],
        PAC_frac OFFSET(24) NUMBITS(4) [],
        APA3 OFFSET(12) NUMBITS(4) [],
        GPA3 OFFSET(8) NUMBITS(4) []
    ],
    pub ID_AA64PFR2_EL1 [
        FPMR OFFSET(32) NUMBITS(4) []
    ],
    pub ID_AA64SMFR0_EL1 [
        FA64 OFFSET(63) NUMBITS(1) []
    ],
    pub MPAM2_EL2 [
        TIDR OFFSET(58) NUMBITS(1) [],
        TRAPMPAM0EL1 OFFSET(49) NUMBITS(1) [],
        TRAPMPAM1EL1 OFFSET(48) NUMBITS(1) []
    ],
    pub MPAMHCR_EL2 [
        TRAP_MPAMIDR_EL1 OFFSET(31) NUMBITS(1) []
    ],
    pub MPAMIDR_EL1 [
        HAS_HCR OFFSET(17) NUMBITS(1) []
    ],
    pub OSLSR_EL1 [
        OSLK OFFSET(1) NUMBITS(1) []
    ],
    pub PMCR_EL0 [
        /// Number of event counters.
        N OFFSET(11) NUMBITS(5) [],
        /// Resets the cycle counter.
        C OFFSET(2) NUMBITS(1) [],
        /// Resets the event counters.
        P OFFSET(1) NUMBITS(1) []
    ],
    pub SMCR_EL2 [
        /// All instructions are legal in streaming mode.
        FA64 OFFSET(31) NUMBITS(1) []
    ],
    pub SVCR [
        /// Streaming mode.
        SM OFFSET(0) NUMBITS(1) []
    ],
    pub ZCR_EL2 [
        /// Vector length in units of 128 bits minus 1.
        LEN OFFSET(0) NUMBITS(4) []
    ]
}

/// The value of a register with all bits of these fields set and all others zero:
/// `set!(HCR_EL2: VM | RW)`.
macro_rules! set {
    ($register:ident: $($field:ident)|+) => {
        $($crate::encoding::fields::$register::$field.mask
            << $crate::encoding::fields::$register::$field.shift)|+
    };
}

pub(crate) use set;

/// Reads a field of at most 8 bits.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the caller's field is narrow enough"
)]
pub fn field<R: RegisterLongName>(register: u64, field: Field<u64, R>) -> u8 {
    field.read(register) as u8
}
