// SPDX-License-Identifier: BSD-3-Clause
//! The registers of a REC, as they lie in its Granules while they are not in the CPU.

use super::TimerLines;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The registers of a REC that are switched at every entry and exit, or that fit in the REC
/// Granule, where this lives. Assembly addresses the first fields by offset.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecContext {
    /// X0 to X30.
    pub gprs: [u64; 31],
    /// The Realm's PC (`ELR_EL2`).
    pub pc: u64,
    /// The Realm's PSTATE (`SPSR_EL2`).
    pub pstate: u64,
    /// `SP_EL0`.
    pub sp_el0: u64,
    /// Pointer authentication keys APIA, APIB, APDA, APDB, APGA, low half first.
    pub pauth: [u64; 10],
    /// Number of the REC among all RECs created since boot, from 1 on.
    pub serial: u64,
    /// `VMPIDR_EL2`: what the Realm reads from `MPIDR_EL1`.
    pub vmpidr: u64,
    /// `VSESR_EL2` of a virtual SError that waits for the Realm.
    pub vsesr: u64,
    /// Bits added to `HCR_EL2` while this REC runs (a pending virtual SError).
    pub hcr_extra: u64,
    /// EL1 and EL0 registers.
    pub el1: El1State,
    /// EL1 timers.
    pub timers: TimerState,
    /// Virtual GIC CPU interface.
    pub gic: GicState,
    /// Breakpoints and watchpoints.
    pub debug: DebugState,
    /// PMU.
    pub pmu: PmuState,
}

impl RecContext {
    /// Completes the A64 instruction at PC, which was trapped and is emulated. As its execution would
    /// have done, this ends a single step and a branch target check. The PC wraps as in the CPU.
    pub fn step_over(&mut self) {
        const BTYPE: u64 = 3 << 10;
        const SS: u64 = 1 << 21;
        self.pc = self.pc.wrapping_add(4);
        self.pstate &= !(BTYPE | SS);
    }
}

/// EL1 and EL0 system registers of a REC; each field is the register of its name.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs, reason = "each field is the register of its name")]
pub struct El1State {
    pub sp_el1: u64,
    pub elr: u64,
    pub spsr: u64,
    pub esr: u64,
    pub far: u64,
    pub afsr0: u64,
    pub afsr1: u64,
    pub vbar: u64,
    pub disr: u64,
    pub sctlr: u64,
    pub cpacr: u64,
    pub csselr: u64,
    pub ttbr0: u64,
    pub ttbr1: u64,
    pub tcr: u64,
    pub mair: u64,
    pub amair: u64,
    pub contextidr: u64,
    pub par: u64,
    pub tpidr_el1: u64,
    pub tpidr_el0: u64,
    pub tpidrro_el0: u64,
    pub mdscr: u64,
    pub mdccint: u64,
}

impl El1State {
    /// Whether self-hosted debug acts without any access to its registers: breakpoints and
    /// watchpoints (`MDSCR_EL1.MDE`) or single step (`MDSCR_EL1.SS`) are enabled. Single step needs
    /// the OS lock open, which is switched with the debug registers.
    #[must_use]
    pub const fn debugs(&self) -> bool {
        self.mdscr & (1 << 15 | 1 << 0) != 0
    }
}

/// EL1 timers of a REC. Counter offsets are zero for every Realm.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TimerState {
    /// `CNTKCTL_EL1`.
    pub cntkctl: u64,
    /// `CNTP_CTL_EL0`.
    pub cntp_ctl: u64,
    /// `CNTP_CVAL_EL0`.
    pub cntp_cval: u64,
    /// `CNTV_CTL_EL0`.
    pub cntv_ctl: u64,
    /// `CNTV_CVAL_EL0`.
    pub cntv_cval: u64,
}

impl TimerState {
    /// The outputs of timers with these registers.
    #[must_use]
    pub fn asserted(&self) -> TimerLines {
        const ENABLE: u64 = 1 << 0;
        const IMASK: u64 = 1 << 1;
        const ISTATUS: u64 = 1 << 2;
        let asserted = |ctl: u64| ctl & (ENABLE | IMASK | ISTATUS) == ENABLE | ISTATUS;
        TimerLines {
            virt: asserted(self.cntv_ctl),
            phys: asserted(self.cntp_ctl),
        }
    }
}

/// Virtual GIC CPU interface of a REC.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct GicState {
    /// `ICH_HCR_EL2`, complete with the bits the monitor forces.
    pub hcr: u64,
    /// `ICH_LR<n>_EL2`; those the CPU does not have are zero.
    pub lrs: [u64; 16],
    /// `ICH_MISR_EL2` at the last exit.
    pub misr: u64,
    /// `ICH_VMCR_EL2`.
    pub vmcr: u64,
    /// `ICH_AP0R<n>_EL2`.
    pub ap0r: [u64; 4],
    /// `ICH_AP1R<n>_EL2`.
    pub ap1r: [u64; 4],
}

/// FP/SIMD registers of a REC; lives in an auxiliary Granule.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(16))]
pub struct SimdState {
    /// Q0 to Q31, low half first.
    pub q: [[u64; 2]; 32],
    /// `FPSR`.
    pub fpsr: u64,
    /// `FPCR`.
    pub fpcr: u64,
}

/// Z0 to Z15 or Z16 to Z31 of a REC, at its Realm's vector length; an auxiliary Granule.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(16))]
pub struct ZRegisters(pub [u8; 4096]);

/// SVE registers of a REC other than Z0 to Z31; lives in an auxiliary Granule.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(16))]
pub struct SveState {
    /// P0 to P15, at the Realm's vector length.
    pub p: [u8; 512],
    /// FFR.
    pub ffr: [u8; 32],
    /// `FPSR`.
    pub fpsr: u64,
    /// `FPCR`.
    pub fpcr: u64,
    /// `ZCR_EL1`.
    pub zcr: u64,
    /// Zero.
    pub reserved: u64,
}

/// Breakpoints and watchpoints of a REC: all that the CPU has, even if the Realm was created with
/// fewer, since the Realm can access them all.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DebugState {
    /// `DBGBVR<n>_EL1`.
    pub bvr: [u64; 16],
    /// `DBGBCR<n>_EL1`.
    pub bcr: [u64; 16],
    /// `DBGWVR<n>_EL1`.
    pub wvr: [u64; 16],
    /// `DBGWCR<n>_EL1`.
    pub wcr: [u64; 16],
}

/// PMU of a REC.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PmuState {
    /// `PMCR_EL0`.
    pub pmcr: u64,
    /// `PMCCNTR_EL0`.
    pub ccntr: u64,
    /// `PMCCFILTR_EL0`.
    pub ccfiltr: u64,
    /// `PMCNTENSET_EL0`.
    pub cntenset: u64,
    /// `PMINTENSET_EL1`.
    pub intenset: u64,
    /// `PMOVSSET_EL0`.
    pub ovsset: u64,
    /// `PMSELR_EL0`.
    pub selr: u64,
    /// `PMUSERENR_EL0`.
    pub userenr: u64,
    /// `PMEVCNTR<n>_EL0`.
    pub evcntr: [u64; 31],
    /// `PMEVTYPER<n>_EL0`.
    pub evtyper: [u64; 31],
}

impl PmuState {
    /// Whether the counters that are enabled count (`PMCR_EL0.E`).
    #[must_use]
    pub const fn counts(&self) -> bool {
        self.pmcr & 1 != 0
    }

    /// Whether the PMU asserts its interrupt: on an overflow, whether or not its counter still
    /// counts.
    #[must_use]
    pub const fn asserts_interrupt(&self) -> bool {
        self.counts() && self.ovsset & self.intenset != 0
    }
}
