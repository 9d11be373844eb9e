// SPDX-License-Identifier: BSD-3-Clause
//! System registers: those of the crate `aarch64-cpu`, and in the same manner what it lacks.
//!
//! The monitor runs with `HCR_EL2.E2H` = 1: `_EL12` and `_EL02` name the registers that EL1 and
//! EL0 use, and `CPTR_EL2` and `CNTHCTL_EL2` have another layout than the crate's. TCR_EL2 then
//! has that of `TCR_EL1`.
//!
//! As in the crate a write is not `unsafe`. What it does to the CPU is the affair of the functions
//! that write, which say so. It takes effect at the next [`isb`] or ERET, and is not ordered with
//! accesses to memory: no register written through these types has a say in the monitor's own.
#![allow(missing_docs, reason = "names are the architecture's")]
#![allow(non_camel_case_types, non_upper_case_globals)]

use core::arch::asm;
use core::marker::PhantomData;
use tock_registers::fields::Field;
use tock_registers::{RegisterLongName, register_bitfields};

pub use aarch64_cpu::asm::barrier;
pub use aarch64_cpu::registers::*;

/// A system register by its encoding, for those that neither `aarch64-cpu` nor the assembler know
/// by name.
///
/// Registers that have a number come in rows: the encoding is that of the first one, and register
/// `N` has its number in op2 and CRm.
pub struct Register<
    const OP0: u8,
    const OP1: u8,
    const CRN: u8,
    const CRM: u8,
    const OP2: u8,
    R = (),
    const N: u8 = 0,
>(PhantomData<R>);

impl<const OP0: u8, const OP1: u8, const CRN: u8, const CRM: u8, const OP2: u8, R, const N: u8>
    Register<OP0, OP1, CRN, CRM, OP2, R, N>
{
    /// The register; there is nothing to it but its type.
    pub const NEW: Self = Self(PhantomData);
}

impl<
    const OP0: u8,
    const OP1: u8,
    const CRN: u8,
    const CRM: u8,
    const OP2: u8,
    R: RegisterLongName,
    const N: u8,
> Readable for Register<OP0, OP1, CRN, CRM, OP2, R, N>
{
    type T = u64;
    type R = R;

    #[inline(always)]
    fn get(&self) -> u64 {
        let value: u64;
        // SAFETY: reading one of the registers below changes nothing.
        unsafe {
            asm!(
                "mrs {value}, S{op0}_{op1}_C{crn}_C{crm}_{op2}",
                value = out(reg) value,
                op0 = const OP0,
                op1 = const OP1,
                crn = const CRN,
                crm = const CRM + N / 8,
                op2 = const OP2 + N % 8,
                options(nomem, nostack, preserves_flags)
            );
        }
        value
    }
}

impl<
    const OP0: u8,
    const OP1: u8,
    const CRN: u8,
    const CRM: u8,
    const OP2: u8,
    R: RegisterLongName,
    const N: u8,
> Writeable for Register<OP0, OP1, CRN, CRM, OP2, R, N>
{
    type T = u64;
    type R = R;

    #[inline(always)]
    fn set(&self, value: u64) {
        // SAFETY: as for the registers of `aarch64-cpu`: the accesses to memory of this program do
        // not depend on the register.
        unsafe {
            asm!(
                "msr S{op0}_{op1}_C{crn}_C{crm}_{op2}, {value}",
                value = in(reg) value,
                op0 = const OP0,
                op1 = const OP1,
                crn = const CRN,
                crm = const CRM + N / 8,
                op2 = const OP2 + N % 8,
                options(nomem, nostack, preserves_flags)
            );
        }
    }
}

/// `NAME op0 op1 CRn CRm op2`, and where fields of it are used `: fields`.
macro_rules! registers {
    ($($name:ident $op0:literal $op1:literal $crn:literal $crm:literal $op2:literal
        $(: $fields:ident)?;)+) => {$(
        pub const $name: Register<$op0, $op1, $crn, $crm, $op2 $(, $fields::Register)?> =
            Register::NEW;
    )+};
}

registers! {
    BRBCR_EL12     2 5  9  0 0;
    BRBCR_EL2      2 4  9  0 0;
    CNTHCTL_EL2    3 4 14  1 0: CNTHCTL_EL2;
    CNTKCTL_EL12   3 5 14  1 0;
    CNTP_CTL_EL02  3 5 14  2 1: CNTP_CTL_EL0;
    CNTP_CVAL_EL02 3 5 14  2 2;
    CNTV_CTL_EL02  3 5 14  3 1: CNTV_CTL_EL0;
    CNTV_CVAL_EL02 3 5 14  3 2;
    CPTR_EL2       3 4  1  1 2: CPTR_EL2;
    CTR_EL0        3 3  0  0 1: CTR_EL0;
    DCZID_EL0      3 3  0  0 7: DCZID_EL0;
    DISR_EL1       3 0 12  1 1: DISR_EL1;
    FPCR           3 3  4  4 0;
    FPMR           3 3  4  4 2;
    FPSR           3 3  4  4 1;
    GCSCR_EL12     3 5  2  5 0;
    HCRX_EL2       3 4  1  2 2;
    HDFGRTR2_EL2   3 4  3  1 0;
    HDFGWTR2_EL2   3 4  3  1 1;
    HFGITR2_EL2    3 4  3  1 7;
    HFGRTR_EL2     3 4  1  1 4;
    HFGRTR2_EL2    3 4  3  1 2;
    HFGWTR2_EL2    3 4  3  1 3;
    HSTR_EL2       3 4  1  1 3;
    ICC_HPPIR1_EL1 3 0 12 12 2;
    ID_AA64ISAR2_EL1 3 0 0 6 2: ID_AA64ISAR2_EL1;
    ID_AA64MMFR3_EL1 3 0 0 7 3;
    ID_AA64PFR2_EL1  3 0 0 4 2: ID_AA64PFR2_EL1;
    ID_AA64SMFR0_EL1 3 0 0 4 5: ID_AA64SMFR0_EL1;
    ID_AA64ZFR0_EL1  3 0 0 4 4;
    MPAM2_EL2      3 4 10  5 0: MPAM2_EL2;
    MPAMHCR_EL2    3 4 10  4 0: MPAMHCR_EL2;
    MPAMIDR_EL1    3 0 10  4 4: MPAMIDR_EL1;
    OSLSR_EL1      2 0  1  1 4: OSLSR_EL1;
    PMCCFILTR_EL0  3 3 14 15 7;
    PMCCNTR_EL0    3 3  9 13 0;
    PMCNTENCLR_EL0 3 3  9 12 2;
    PMCNTENSET_EL0 3 3  9 12 1;
    PMCR_EL0       3 3  9 12 0: PMCR_EL0;
    PMINTENCLR_EL1 3 0  9 14 2;
    PMINTENSET_EL1 3 0  9 14 1;
    PMOVSCLR_EL0   3 3  9 12 3;
    PMOVSSET_EL0   3 3  9 14 3;
    PMSELR_EL0     3 3  9 12 5;
    PMUSERENR_EL0  3 3  9 14 0;
    SMCR_EL2       3 4  1  2 6: SMCR_EL2;
    SVCR           3 3  4  2 2: SVCR;
    TPIDR2_EL0     3 3 13  0 5;
    TTBR1_EL2      3 4  2  0 1: TTBR1_EL1;
    VPIDR_EL2      3 4  0  0 0;
    VSESR_EL2      3 4  5  2 3;
    ZCR_EL12       3 5  1  2 0;
    ZCR_EL2        3 4  1  2 0: ZCR_EL2;
}

/// `DBGBVR<N>_EL1`. These four have their number in CRm alone.
pub type DBGBVR_EL1<const N: u8> = Register<2, 0, 0, N, 4>;
/// `DBGBCR<N>_EL1`.
pub type DBGBCR_EL1<const N: u8> = Register<2, 0, 0, N, 5>;
/// `DBGWVR<N>_EL1`.
pub type DBGWVR_EL1<const N: u8> = Register<2, 0, 0, N, 6>;
/// `DBGWCR<N>_EL1`.
pub type DBGWCR_EL1<const N: u8> = Register<2, 0, 0, N, 7>;
/// `PMEVCNTR<N>_EL0`.
pub type PMEVCNTR_EL0<const N: u8> = Register<3, 3, 14, 8, 0, (), N>;
/// `PMEVTYPER<N>_EL0`.
pub type PMEVTYPER_EL0<const N: u8> = Register<3, 3, 14, 12, 0, (), N>;
/// `ICH_AP0R<N>_EL2`.
pub type ICH_AP0R_EL2<const N: u8> = Register<3, 4, 12, 8, 0, (), N>;
/// `ICH_AP1R<N>_EL2`.
pub type ICH_AP1R_EL2<const N: u8> = Register<3, 4, 12, 9, 0, (), N>;
/// `ICH_LR<N>_EL2`.
pub type ICH_LR_EL2<const N: u8> = Register<3, 4, 12, 12, 0, (), N>;

register_bitfields! {u64,
    /// With E2H.
    pub CNTHCTL_EL2 [
        CNTPMASK OFFSET(19) NUMBITS(1) [],
        CNTVMASK OFFSET(18) NUMBITS(1) [],
        ECV OFFSET(12) NUMBITS(1) [],
        EL1PTEN OFFSET(11) NUMBITS(1) [],
        EL1PCTEN OFFSET(10) NUMBITS(1) []
    ],
    /// With E2H. All bits of a field set: nothing traps.
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
        /// How level 1 instruction caches find a line.
        L1Ip OFFSET(14) NUMBITS(2) [],
        /// log2 of the smallest line of instruction caches in 4-byte words.
        IminLine OFFSET(0) NUMBITS(4) [],
        /// log2 of the smallest line of data caches in 4-byte words.
        DminLine OFFSET(16) NUMBITS(4) []
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
        /// Syndrome, as in ESR_EL2.
        ISS OFFSET(0) NUMBITS(25) [],
        /// The rest is IMPLEMENTATION DEFINED.
        IDS OFFSET(24) NUMBITS(1) [],
        AET OFFSET(10) NUMBITS(3) [
            Restartable = 2,
            Corrected = 6
        ],
        DFSC OFFSET(0) NUMBITS(6) [
            Asynchronous = 0x11
        ]
    ],
    pub ID_AA64ISAR2_EL1 [
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

/// Fields that the crate's registers have and it does not name: `NAME offset bits of register`.
macro_rules! fields {
    ($($name:ident $offset:literal $bits:literal of $register:ident;)+) => {$(
        pub const $name: Field<u64, $register::Register> = Field::new((1 << $bits) - 1, $offset);
    )+};
}

fields! {
    // FAR is not valid; of aborts.
    ESR_FnV 10 1 of ESR_EL2;
    MMFR0_FGT 56 4 of ID_AA64MMFR0_EL1;
    MMFR0_TGran4_2 40 4 of ID_AA64MMFR0_EL1;
    MMFR1_HCX 40 4 of ID_AA64MMFR1_EL1;
    PFR0_MPAM 40 4 of ID_AA64PFR0_EL1;
    PFR1_GCS 44 4 of ID_AA64PFR1_EL1;
    PFR1_SME 24 4 of ID_AA64PFR1_EL1;
    PFR1_MPAM_frac 16 4 of ID_AA64PFR1_EL1;
    SCTLR_LSMAOE 29 1 of SCTLR_EL2;
    SCTLR_nTLSMD 28 1 of SCTLR_EL2;
    SCTLR_SPAN 23 1 of SCTLR_EL2;
    SCTLR_nTWE 18 1 of SCTLR_EL2;
    SCTLR_nTWI 16 1 of SCTLR_EL2;
    // 52-bit addresses.
    VTCR_DS 32 1 of VTCR_EL2;
    // With SL0 = 0: walks start at level -1.
    VTCR_SL2 33 1 of VTCR_EL2;
}

/// The value of a register with all bits of these fields set and all others zero:
/// `set!(HCR_EL2: VM | RW)`.
macro_rules! set {
    ($register:ident: $($field:ident)|+) => {
        $($crate::arch::registers::$register::$field::SET.value)|+
    };
}

/// Does `$with!(n)` for numbers from zero on, up to a count.
macro_rules! for_some {
    ($count:expr, $with:ident, $($n:literal),+) => {
        'some: {
            $(
                if $n >= $count {
                    break 'some;
                }
                $with!($n);
            )+
        }
    };
}

pub(super) use {for_some, set};

/// A field of at most 8 bits.
#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "as said")]
pub fn field<R: RegisterLongName>(register: u64, field: Field<u64, R>) -> u8 {
    field.read(register) as u8
}

/// Makes earlier writes of system registers take effect.
#[inline(always)]
pub fn isb() {
    barrier::isb(barrier::SY);
}
