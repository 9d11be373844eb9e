// SPDX-License-Identifier: BSD-3-Clause
//! What a Realm's use of the CPU traps on: `HCR_EL2`, `CPTR_EL2`, `MDCR_EL2` and finer traps while it
//! runs.

use super::fields::*;

/// `HCR_EL2` while a Realm runs: stage 2 on; cache maintenance by set and way traps; no walks through
/// device memory; IRQ, FIQ and SError are taken to EL2; barriers reach at least the inner shareable
/// domain; SMC and the ID registers trap; IMPLEMENTATION DEFINED registers and controls trap; EL1 is
/// AArch64; external aborts and accesses to error records go to EL2; stage 2 decides on
/// cacheability. What the Realm invalidates on its CPU is invalidated on all, since the Host may
/// move a REC.
///
/// Zero, with intent: TGE; GPF, so that a granule protection fault is taken to EL1; FIEN; ATA (no
/// MTE); EnSCXT; NV; DC; TWI and TWE unless asked for.
const HCR_BASE: u64 = {
    let stage2 = set!(HCR_EL2: VM | SWIO | PTW | FB | FWB) | HCR_EL2::BSU::InnerShareable.value;
    let traps =
        set!(HCR_EL2: FMO | IMO | AMO | TID1 | TID3 | TSC | TIDCP | TACR | TSW | TERR | TEA);
    set!(HCR_EL2: E2H | RW) | stage2 | traps
};

/// A virtual SError is pending.
pub const HCR_VSE: u64 = set!(HCR_EL2: VSE);

/// `HCR_EL2` of any REC on a CPU with these ID registers. With `pauth` Realms use pointer
/// authentication.
pub fn hcr(pauth: bool, mmfr1: u64, pfr1: u64) -> u64 {
    let mut hcr = HCR_BASE;
    if pauth {
        hcr |= set!(HCR_EL2: APK | API);
    }
    // LORegion registers trap.
    if ID_AA64MMFR1_EL1::LO.is_set(mmfr1) {
        hcr |= set!(HCR_EL2: TLOR);
    }
    // GMID_EL1 traps.
    if ID_AA64PFR1_EL1::MTE.read(pfr1) > 1 {
        hcr |= set!(HCR_EL2: TID5);
    }
    hcr
}

/// `HCRX_EL2` on a CPU with this `ID_AA64PFR1_EL1`. Nothing is enabled that Realms do not have. With FEAT_NMI
/// a Realm's writes of ALLINT trap; reads cannot.
pub fn hcrx(pfr1: u64) -> u64 {
    if ID_AA64PFR1_EL1::NMI.is_set(pfr1) {
        set!(HCRX_EL2: TALLINT)
    } else {
        0
    }
}

/// `CPTR_EL2`: TAM and TTA, the activity monitors and trace registers, which no Realm has; FP/SIMD,
/// SVE and SME trapped too.
pub const CPTR_ALL_TRAPPED: u64 = set!(CPTR_EL2: TAM | TTA);
/// `CPTR_EL2`: FP/SIMD is not trapped.
pub const CPTR_FP: u64 = set!(CPTR_EL2: FPEN);
/// `CPTR_EL2`: SVE is not trapped.
pub const CPTR_SVE: u64 = set!(CPTR_EL2: ZEN);
/// `CPTR_EL2`: SME is not trapped.
pub const CPTR_SME: u64 = set!(CPTR_EL2: SMEN);

/// `HDFGRTR_EL2`: registers of the external debugger, which trap while the Realm uses the breakpoints,
/// too; and the ID registers of trace and profiling buffers, which nothing else traps.
pub const HDFGRTR: u64 = set!(HDFGRTR_EL2: PMBIDR_EL1 | TRBIDR_EL1)
    | set!(HDFGRTR_EL2: OSECCR_EL1 | DBGPRCR_EL1 | DBGCLAIM);
/// `HDFGWTR_EL2`, likewise.
pub const HDFGWTR: u64 = set!(HDFGWTR_EL2: OSECCR_EL1 | DBGPRCR_EL1 | DBGCLAIM);
/// `MPAM2_EL2`: all of MPAM traps. TIDR is RES0 where a CPU does not have it.
pub const MPAM2: u64 = set!(MPAM2_EL2: TIDR | TRAPMPAM0EL1 | TRAPMPAM1EL1);
/// `MPAMHCR_EL2`: MPAMIDR_EL1 traps, also where TIDR does not exist.
pub const MPAMHCR: u64 = set!(MPAMHCR_EL2: TRAP_MPAMIDR_EL1);

/// The fields of `MDCR_EL2` that differ for a Realm with a PMU.
const MDCR_PMU: u64 = set!(MDCR_EL2: HPMN | TPMCR | TPM);

/// `MDCR_EL2`: no debug, PMU, trace or profiling for Realms, and no counting in the monitor. EL1
/// has all `counters`. `dfr0` is the ID register of this name; with FEAT_FGT there is TDCC.
pub fn mdcr(counters: usize, dfr0: u64, has_fgt: bool) -> u64 {
    use ID_AA64DFR0_EL1::{PMSVer, PMUVer, TraceFilt};
    // Zero, with intent: TDE, and E2PB and E2TB, which then trap the buffer registers.
    let mut value = MDCR_EL2::HPMN.val(counters as u64).value;
    value |= set!(MDCR_EL2: TDA | TDOSA | TDRA | TPM | TPMCR);
    if has_pmu(dfr0) {
        if PMUVer.read(dfr0) >= 4 {
            value |= set!(MDCR_EL2: HPMD);
        }
        if PMUVer.read(dfr0) >= 6 {
            value |= set!(MDCR_EL2: HCCD);
        }
    }
    if PMSVer.is_set(dfr0) {
        value |= set!(MDCR_EL2: TPMS);
    }
    if TraceFilt.is_set(dfr0) {
        value |= set!(MDCR_EL2: TTRF);
    }
    // The communications channel stays trapped while a Realm uses the breakpoints.
    if has_fgt {
        value |= set!(MDCR_EL2: TDCC);
    }
    value
}

/// `MDCR_EL2` while a Realm uses the PMU and sees `counters` event counters.
#[inline]
pub fn mdcr_with_pmu(mdcr: u64, counters: u8) -> u64 {
    mdcr & !MDCR_PMU | MDCR_EL2::HPMN.val(counters.into()).value
}

/// `MDCR_EL2` after [`mdcr_with_pmu`]: the fields that it changed as in `before`.
#[inline]
pub fn mdcr_without_pmu(mdcr: u64, before: u64) -> u64 {
    mdcr & !MDCR_PMU | before & MDCR_PMU
}

/// Whether there is a PMU of Arm's architecture, by `ID_AA64DFR0_EL1`.
pub fn has_pmu(dfr0: u64) -> bool {
    // 0xF: a PMU of another architecture.
    !matches!(ID_AA64DFR0_EL1::PMUVer.read(dfr0), 0 | 0xF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::bits;

    /// D24.2.62: VM 0, SWIO 1, PTW 2, FMO 3, IMO 4, AMO 5, VSE 8, FB 9, BSU 11:10 (0b01: inner
    /// shareable), TID1 16, TID3 18, TSC 19, TIDCP 20, TACR 21, TSW 22, RW 31, E2H 34, TLOR 35, TERR 36,
    /// TEA 37, APK 40, API 41, FWB 46, TID5 58. LO is ID_AA64MMFR1_EL1 19:16, MTE is
    /// ID_AA64PFR1_EL1 11:8 (0b0010: with GMID_EL1).
    #[test]
    fn hcr_of_a_rec() {
        let base = bits([
            0, 1, 2, 3, 4, 5, 9, 10, 16, 18, 19, 20, 21, 22, 31, 34, 36, 37, 46,
        ]);
        assert_eq!(hcr(false, 0, 0), base);
        assert_eq!(hcr(true, 0, 0), base | bits([40, 41]));
        assert_eq!(hcr(false, 1 << 16, 0), base | bits([35]));
        assert_eq!(hcr(false, 0, 1 << 8), base);
        assert_eq!(hcr(false, 0, 2 << 8), base | bits([58]));
        assert_eq!(hcr(false, !0xF_0000, !0xF00), base);
        assert_eq!(HCR_VSE, bits([8]));
    }

    /// D24.2.63: TALLINT 6. ID_AA64PFR1_EL1: NMI 39:36.
    #[test]
    fn hcrx_of_a_rec() {
        assert_eq!(hcrx(0), 0);
        assert_eq!(hcrx(!(0xF << 36)), 0);
        assert_eq!(hcrx(1 << 36), bits([6]));
    }

    /// D24.2.38 with E2H: ZEN 17:16, FPEN 21:20, SMEN 25:24, TTA 28, TAM 30.
    #[test]
    fn cptr_of_a_rec() {
        assert_eq!(CPTR_ALL_TRAPPED, bits([28, 30]));
        assert_eq!(CPTR_SVE, bits([16, 17]));
        assert_eq!(CPTR_FP, bits([20, 21]));
        assert_eq!(CPTR_SME, bits([24, 25]));
    }

    /// D24.2.67, D24.2.69: DBGCLAIM 5, DBGPRCR_EL1 7, OSECCR_EL1 10, TRBIDR_EL1 51, PMBIDR_EL1 63.
    /// D24.12.3: TRAPMPAM1EL1 48, TRAPMPAM0EL1 49, TIDR 58. D24.12.12: TRAP_MPAMIDR_EL1 31.
    #[test]
    fn finer_traps() {
        assert_eq!(HDFGRTR, bits([5, 7, 10, 51, 63]));
        assert_eq!(HDFGWTR, bits([5, 7, 10]));
        assert_eq!(MPAM2, bits([48, 49, 58]));
        assert_eq!(MPAMHCR, bits([31]));
    }

    /// D24.3.17: HPMN 4:0, TPMCR 5, TPM 6, TDA 9, TDOSA 10, TDRA 11, TPMS 14, HPMD 17, TTRF 19,
    /// HCCD 23, TDCC 27. ID_AA64DFR0_EL1: PMUVer 11:8, PMSVer 35:32, TraceFilt 43:40.
    #[test]
    fn mdcr_by_features() {
        let base = bits([5, 6, 9, 10, 11]);
        assert_eq!(mdcr(0, 0, false), base);
        assert_eq!(mdcr(31, 0, false), base | 31);
        assert_eq!(mdcr(0, 0, true), base | bits([27]));
        for (version, expected) in [
            (1, 0),
            (4, bits([17])),
            (5, bits([17])),
            (6, bits([17, 23])),
            (9, bits([17, 23])),
            // IMPLEMENTATION DEFINED.
            (0xF, 0),
        ] {
            let dfr0 = version << 8;
            assert_eq!(mdcr(6, dfr0, false), base | 6 | expected, "{version}");
        }
        // MTPMU, which no bit here opens.
        let dfr0 = 6 << 8 | 1 << 48;
        assert_eq!(mdcr(0, dfr0, false), base | bits([17, 23]));
        assert_eq!(mdcr(0, 1 << 32, false), base | bits([14]));
        assert_eq!(mdcr(0, 1 << 40, false), base | bits([19]));
    }

    #[test]
    fn a_realm_with_a_pmu() {
        let before = mdcr(6, 6 << 8, true);
        let with = mdcr_with_pmu(before, 4);
        assert_eq!(with & 0x1F, 4);
        assert_eq!(with & bits([5, 6]), 0);
        assert_eq!(with & !0x7F, before & !0x7F);
        // What else changed meanwhile stays.
        let debug = bits([9]);
        assert_eq!(mdcr_without_pmu(with & !debug, before), before & !debug);
    }

    #[test]
    fn pmu_of_arms() {
        for (version, expected) in [(0, false), (1, true), (9, true), (0xE, true), (0xF, false)] {
            assert_eq!(has_pmu(version << 8 | !0xF00), expected, "{version}");
        }
    }
}
