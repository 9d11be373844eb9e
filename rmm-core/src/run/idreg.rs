// SPDX-License-Identifier: BSD-3-Clause
//! The ID registers a Realm sees.
//!
//! An allow-list: a field is shown only if the monitor switches or emulates the feature that it
//! announces, up to the value that the monitor knows. Any other field reads as not implemented,
//! whatever a newer CPU has.

use crate::machine::IdRegisters;
use crate::realm::Resources;

/// A field that is shown: its lowest bit, and the highest value that the monitor supports. Fields
/// are four bits wide and unsigned.
struct Field(u32, u64);

/// Highest value of a field that announces nothing but instructions.
const ANY: u64 = 0xF;

/// Fields of `ID_AA64PFR0_EL1`: EL0, EL1 (AArch64 alone), GIC, DIT, CSV2 (without SCXTNUM), CSV3.
const PFR0: &[Field] = &[
    Field(0, 1),
    Field(4, 1),
    Field(24, 1),
    Field(48, 1),
    Field(56, 1),
    Field(60, ANY),
];
/// SVE of `ID_AA64PFR0_EL1`, if the Realm has it.
const PFR0_SVE: &[Field] = &[Field(32, 1)];
/// Fields of `ID_AA64ZFR0_EL1`: SVEver, AES, EltPerm, BitPerm, B16B16, BF16, SHA3, SM4, I8MM,
/// F32MM, F64MM.
const ZFR0: &[Field] = &[
    Field(0, ANY),
    Field(4, ANY),
    Field(12, ANY),
    Field(16, ANY),
    Field(20, ANY),
    Field(24, ANY),
    Field(32, ANY),
    Field(40, ANY),
    Field(44, ANY),
    Field(52, ANY),
    Field(56, ANY),
];
/// FP and AdvSIMD of `ID_AA64PFR0_EL1`, where 0xF says not implemented.
const PFR0_SIMD: u64 = 0xFF << 16;
/// Fields of `ID_AA64PFR1_EL1`: BT, SSBS.
const PFR1: &[Field] = &[Field(0, 1), Field(4, 2)];
/// Fields of `ID_AA64ISAR0_EL1`: all but TME.
const ISAR0: &[Field] = &[
    Field(4, ANY),
    Field(8, ANY),
    Field(12, ANY),
    Field(16, ANY),
    Field(20, ANY),
    Field(28, ANY),
    Field(32, ANY),
    Field(36, ANY),
    Field(40, ANY),
    Field(44, ANY),
    Field(48, ANY),
    Field(52, ANY),
    Field(56, ANY),
    Field(60, ANY),
];
/// Fields of `ID_AA64ISAR1_EL1`: all but XS and LS64, which need `HCRX_EL2`.
const ISAR1: &[Field] = &[
    Field(0, ANY),
    Field(4, ANY),
    Field(8, ANY),
    Field(12, ANY),
    Field(16, ANY),
    Field(20, ANY),
    Field(24, ANY),
    Field(28, ANY),
    Field(32, ANY),
    Field(36, ANY),
    Field(40, ANY),
    Field(44, ANY),
    Field(48, ANY),
    Field(52, ANY),
];
/// Fields of `ID_AA64ISAR2_EL1`: WFxT, RPRES, GPA3, APA3, BC, PAC_frac, CLRBHB, PRFMSLC, RPRFM,
/// CSSC.
const ISAR2: &[Field] = &[
    Field(0, 2),
    Field(4, 1),
    Field(8, ANY),
    Field(12, ANY),
    Field(20, 1),
    Field(24, 1),
    Field(28, 1),
    Field(40, 1),
    Field(48, 1),
    Field(52, 1),
];
/// Fields of `ID_AA64MMFR0_EL1`: PARange, ASIDBits, BigEnd, BigEndEL0, ExS.
const MMFR0: &[Field] = &[
    Field(0, ANY),
    Field(4, ANY),
    Field(8, 1),
    Field(16, 1),
    Field(44, 1),
];
/// TGran16, TGran64 and TGran4 of `ID_AA64MMFR0_EL1`: Realms walk their own tables. TGran64 and
/// TGran4 say 0xF for not implemented.
const MMFR0_GRANULES: u64 = 0xFFF << 20;
/// Fields of `ID_AA64MMFR1_EL1`: HAFDBS (without HAFT), HPDS, PAN, ETS, AFP, nTLBPA, ECBHB.
const MMFR1: &[Field] = &[
    Field(0, 2),
    Field(12, 2),
    Field(20, 3),
    Field(36, ANY),
    Field(44, 1),
    Field(48, 1),
    Field(60, 1),
];
/// Fields of `ID_AA64MMFR2_EL1`: CnP, UAO, VARange, CCIDX, ST, AT, IDS, TTL, BBM, E0PD.
const MMFR2: &[Field] = &[
    Field(0, 1),
    Field(4, 1),
    Field(16, 1),
    Field(20, 1),
    Field(28, 1),
    Field(32, 1),
    Field(36, 1),
    Field(48, 1),
    Field(52, 2),
    Field(60, 1),
];

/// DoubleLock of `ID_AA64DFR0_EL1`: not implemented.
const DFR0_NO_DOUBLE_LOCK: u64 = 0xF << 36;

fn select(hardware: u64, fields: &[Field]) -> u64 {
    fields.iter().fold(0, |shown, &Field(shift, highest)| {
        shown | (hardware >> shift & 0xF).min(highest) << shift
    })
}

/// DebugVer of `ID_AA64DFR0_EL1`, at most: Armv8.2 debug.
const DFR0_DEBUG_VER: u64 = 8;
/// PMUVer of `ID_AA64DFR0_EL1`, at most: PMUv3p5.
const DFR0_PMU_VER: u64 = 6;
/// PMUVer of `ID_AA64DFR0_EL1` of a PMU that is not Arm's.
const DFR0_PMU_OTHER: u64 = 0xF;

/// `ID_AA64DFR0_EL1` of a Realm with these resources.
fn dfr0(hardware: u64, resources: &Resources) -> u64 {
    // The field has room for 15, which stands for 16.
    let count = |n: u8| u64::from(n.min(15));
    let pmu = match hardware >> 8 & 0xF {
        _ if resources.pmu_counters().is_none() => 0,
        DFR0_PMU_OTHER => 0,
        version => version.min(DFR0_PMU_VER),
    };
    (hardware & 0xF).min(DFR0_DEBUG_VER)
        | pmu << 8
        | count(resources.breakpoints) << 12
        | count(resources.watchpoints) << 20
        | DFR0_NO_DOUBLE_LOCK
}

/// The ID register with op0 3, op1 0, CRn 0 and these CRm and op2; zero if there is none.
#[must_use]
pub fn read(crm: u64, op2: u64, hardware: &IdRegisters, resources: &Resources) -> u64 {
    let has_sve = resources.sve_vl().is_some();
    match (crm, op2) {
        (4, 0) => {
            let sve = if has_sve {
                select(hardware.pfr0, PFR0_SVE)
            } else {
                0
            };
            select(hardware.pfr0, PFR0) | hardware.pfr0 & PFR0_SIMD | sve
        }
        (4, 1) => select(hardware.pfr1, PFR1),
        (4, 4) if has_sve => select(hardware.zfr0, ZFR0),
        (5, 0) => dfr0(hardware.dfr0, resources),
        (6, 0) => select(hardware.isar0, ISAR0),
        (6, 1) => select(hardware.isar1, ISAR1),
        (6, 2) => select(hardware.isar2, ISAR2),
        (7, 0) => select(hardware.mmfr0, MMFR0) | hardware.mmfr0 & MMFR0_GRANULES,
        (7, 1) => select(hardware.mmfr1, MMFR1),
        (7, 2) => select(hardware.mmfr2, MMFR2),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: IdRegisters = IdRegisters {
        midr: !0,
        ctr: !0,
        pfr0: !0,
        pfr1: !0,
        zfr0: !0,
        dfr0: !0,
        dfr1: !0,
        isar0: !0,
        isar1: !0,
        isar2: !0,
        mmfr0: !0,
        mmfr1: !0,
        mmfr2: !0,
        mmfr3: !0,
    };

    fn field(crm: u64, op2: u64, shift: u32) -> u64 {
        read(crm, op2, &ALL, &Resources::new(5, 3, None, None)) >> shift & 0xF
    }

    // Conformance: Exceptions and accesses that do not exit hidden
    #[test]
    fn hidden_whatever_the_cpu_has() {
        // (CRm, op2, shift): EL2, EL3, RAS, SVE, SEL2, MPAM, AMU, RME; MTE, SME, NMI, GCS.
        for (crm, op2, shift) in [
            (4, 0, 8),
            (4, 0, 12),
            (4, 0, 28),
            (4, 0, 32),
            (4, 0, 36),
            (4, 0, 40),
            (4, 0, 44),
            (4, 0, 52),
            (4, 1, 8),
            (4, 1, 24),
            (4, 1, 36),
            (4, 1, 44),
            // Trace, PMUVer, PMSVer, TraceFilt, TraceBuffer, BRBE.
            (5, 0, 4),
            (5, 0, 8),
            (5, 0, 32),
            (5, 0, 40),
            (5, 0, 44),
            (5, 0, 52),
            // TME, XS, LS64, MOPS, SYSREG_128.
            (6, 0, 24),
            (6, 1, 56),
            (6, 1, 60),
            (6, 2, 16),
            (6, 2, 32),
            // FGT, ECV, LO, VMID16, VHE, HCX, TIDCP1, NV, FWB, EVT.
            (7, 0, 56),
            (7, 0, 60),
            (7, 1, 16),
            (7, 1, 4),
            (7, 1, 8),
            (7, 1, 40),
            (7, 1, 52),
            (7, 2, 24),
            (7, 2, 40),
            (7, 2, 56),
        ] {
            assert_eq!(field(crm, op2, shift), 0, "CRm {crm} op2 {op2} bit {shift}");
        }
        for (crm, op2) in [
            (4, 4),
            (4, 5),
            (4, 2),
            (5, 1),
            (6, 3),
            (7, 3),
            (7, 4),
            (1, 0),
        ] {
            assert_eq!(read(crm, op2, &ALL, &Resources::default()), 0);
        }
    }

    #[test]
    fn sve_and_pmu_where_the_realm_has_them() {
        let with = Resources::new(5, 3, Some(3), Some(4));
        let without = Resources::new(5, 3, None, None);
        let all = |crm, op2| (read(crm, op2, &ALL, &with), read(crm, op2, &ALL, &without));
        let (pfr0, hidden) = all(4, 0);
        assert_eq!(pfr0 ^ hidden, 1 << 32);
        assert_eq!(all(4, 4), (0xFFF0_FF0F_FFFF_F0FF & ZFR0_SHOWN, 0));
        let other_pmu = all(5, 0).0 >> 8 & 0xF;
        assert_eq!(other_pmu, 0, "a PMU that is not Arm's");
        let v3p7 = IdRegisters {
            dfr0: 7 << 8,
            ..ALL
        };
        assert_eq!(read(5, 0, &v3p7, &with) >> 8 & 0xF, 6);
        assert_eq!(read(5, 0, &v3p7, &without) >> 8 & 0xF, 0);
    }

    const ZFR0_SHOWN: u64 = 0x0FF0_FF0F_0FFF_F0FF;

    /// Whole registers of a CPU that has everything.
    #[test]
    fn nothing_but_what_is_allowed() {
        for (crm, op2, shown) in [
            (6, 0, 0xFFFF_FFFF_F0FF_FFF0),
            (6, 1, 0x00FF_FFFF_FFFF_FFFF),
            (6, 2, 0x0011_0100_1110_FF12),
            (7, 0, 0x0000_1000_FFF1_01FF),
            (7, 1, 0x1001_10F0_0030_2002),
            (7, 2, 0x1021_0011_1011_0011),
        ] {
            let value = read(crm, op2, &ALL, &Resources::default());
            assert_eq!(value, shown, "CRm {crm} op2 {op2}: {value:#x}");
        }
    }

    #[test]
    fn shown_up_to_what_is_supported() {
        assert_eq!(field(4, 0, 0), 1, "EL0 in AArch64 alone");
        assert_eq!(field(4, 0, 16), 0xF, "FP as the hardware says");
        assert_eq!(field(4, 1, 4), 2, "SSBS");
        assert_eq!(
            (field(5, 0, 0), field(5, 0, 12), field(5, 0, 20)),
            (8, 5, 3),
            "debug"
        );
        assert_eq!(field(7, 1, 0), 2, "HAFDBS without HAFT");
        assert_eq!(
            read(4, 0, &IdRegisters::default(), &Resources::default()),
            0
        );
    }
}
