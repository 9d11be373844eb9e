// SPDX-License-Identifier: BSD-3-Clause
//! What ID registers say.

use super::fields::*;
use crate::machine::{CpuFeatures, IdRegisters};

/// The fields of `CTR_EL0` that matter for publishing instructions, which a Realm does on behalf of
/// other CPUs, too.
pub const INSTRUCTION_CACHES: u64 = set!(CTR_EL0: DIC | IDC | DminLine | IminLine | L1Ip);

/// The width of physical addresses in bits that the monitor and its Realms can use, and whether the
/// CPU has FEAT_LPA2 for 4 KiB granules at both stages, by `ID_AA64MMFR0_EL1`.
pub fn addresses(mmfr0: u64) -> (u8, bool) {
    let stage1 = field(mmfr0, ID_AA64MMFR0_EL1::TGran4) == 1;
    // 0: as at stage 1.
    let stage2 = match field(mmfr0, ID_AA64MMFR0_EL1::TGran4_2) {
        0 => stage1,
        support => support == 3,
    };
    let lpa2 = stage1 && stage2;
    let pa_bits = match field(mmfr0, ID_AA64MMFR0_EL1::PARange) {
        0 => 32,
        1 => 36,
        2 => 40,
        3 => 42,
        4 => 44,
        // Wider addresses need the descriptors of FEAT_LPA2.
        6.. if lpa2 => 52,
        _ => 48,
    };
    (pa_bits, lpa2)
}

/// Whether the CPU has pointer authentication for addresses, with any algorithm.
pub fn has_pauth(isar1: u64, isar2: u64) -> bool {
    isar1 & set!(ID_AA64ISAR1_EL1: APA | API) != 0 || ID_AA64ISAR2_EL1::APA3.is_set(isar2)
}

/// Removes pointer authentication, whose instructions trap to EL3.
pub fn hide_pauth(id: &mut IdRegisters) {
    id.isar1 &= !set!(ID_AA64ISAR1_EL1: APA | API | GPA | GPI);
    id.isar2 &= !set!(ID_AA64ISAR2_EL1: GPA3 | APA3 | PAC_frac);
}

/// Event counters that Realms may use, of those that EL3 leaves open on a CPU with this `ID_AA64DFR0_EL1`.
/// `None` with FEAT_MTPMU: a Realm that sets PMEVTYPER<n>_EL0.MT would count what the Host and other Realms do
/// on other threads of the core, and MDCR_EL2.MTPME forbids that only where there is no EL3.
pub fn realm_counters(counters: Option<u8>, dfr0: u64) -> Option<u8> {
    counters.filter(|_| !ID_AA64DFR0_EL1::MTPMU::Implemented.matches_all(dfr0))
}

/// The block that DC ZVA zeroes, in bytes, by `DCZID_EL0`; `None` if DC ZVA is prohibited or 16
/// blocks do not make a whole part of a Granule.
#[inline]
pub fn zero_block(dczid: u64) -> Option<usize> {
    let block = 4_usize << DCZID_EL0::BS.read(dczid);
    (!DCZID_EL0::DZP.is_set(dczid) && (64..=256).contains(&block)).then_some(block)
}

/// The smallest data cache line in bytes, by `CTR_EL0`.
#[inline]
pub fn data_line(ctr: u64) -> usize {
    4 << CTR_EL0::DminLine.read(ctr)
}

/// `CSSELR_EL1` for the cache of number `n`, by `CLIDR_EL1`: 1 and 2 are the data or unified cache and the
/// instruction cache of level 1, and so on to 14 of level 7. `None` if it does not exist.
pub fn cache_selector(clidr: u64, n: usize) -> Option<u64> {
    let index = n.checked_sub(1)? as u64;
    let (level, is_instruction) = (index / 2, index % 2);
    // Ctype of the level: 1 instruction cache, 2 data cache, 3 both, 4 unified.
    let exists = match clidr >> (3 * level) & 7 {
        1 => is_instruction == 1,
        2 | 4 => is_instruction == 0,
        3 => true,
        _ => false,
    };
    (level < 7 && exists).then_some(level << 1 | is_instruction)
}

/// The number of the last register in each group of active priorities of the GIC's virtual interface,
/// by `ICH_VTR_EL2`.
pub fn last_priority_register(vtr: u64) -> u64 {
    // Preemption bits minus 1.
    match ICH_VTR_EL2::PREbits.read(vtr) {
        6.. => 3,
        5 => 1,
        _ => 0,
    }
}

/// Whether a CPU with the features `here` keeps what Realms were `promised` by the features of the
/// boot CPU: a REC may run on any CPU.
pub fn keeps(promised: &CpuFeatures, here: &CpuFeatures) -> bool {
    let must_be_same = |features: &CpuFeatures| {
        let id = &features.id;
        let gic = [
            features.gic_num_lrs,
            features.gic_pri_bits,
            features.gic_id_24.into(),
            features.gic_ext_range.into(),
        ];
        let id = [
            // The CPU that publishes a page of instructions does so by its own caches.
            id.ctr, id.pfr0, id.pfr1, id.zfr0, id.dfr0, id.dfr1, id.isar0, id.isar1, id.isar2,
            id.mmfr0, id.mmfr1, id.mmfr2, id.mmfr3,
        ];
        (id, gic, features.sve_vl, features.caches)
    };
    // More event counters do no harm.
    must_be_same(promised) == must_be_same(here) && here.pmu_counters >= promised.pmu_counters
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::bits;

    /// D24.2.42: IminLine 3:0, L1Ip 15:14, DminLine 19:16, IDC 28, DIC 29.
    #[test]
    fn caches() {
        let lines = 0xF | 0xF << 16;
        assert_eq!(INSTRUCTION_CACHES, lines | bits([14, 15, 28, 29]));
    }

    /// D24.2.44: BS 3:0 is log2 of the block in words, DZP 4.
    #[test]
    fn blocks_of_zeroes() {
        for (bs, block) in [
            (0, None),
            (3, None),
            (4, Some(64)),
            (5, Some(128)),
            (6, Some(256)),
            (7, None),
            (8, None),
            (9, None),
        ] {
            assert_eq!(zero_block(bs), block, "{bs}");
            assert_eq!(zero_block(bs | 1 << 4), None, "{bs}");
        }
        assert_eq!(data_line(0), 4);
        assert_eq!(data_line(4 << 16 | !0xF_0000), 64);
    }

    /// D24.2.88: PARange 3:0, TGran4 31:28 (0b0001: 52 bits, 0b1111: none), TGran4_2 43:40 (0b0000:
    /// as TGran4, 0b0001: none, 0b0010: 48 bits, 0b0011: 52 bits).
    #[test]
    fn widths_of_addresses() {
        for (pa_range, narrow, wide) in [
            (0, 32, 32),
            (1, 36, 36),
            (2, 40, 40),
            (3, 42, 42),
            (4, 44, 44),
            (5, 48, 48),
            (6, 48, 52),
            (7, 48, 52),
        ] {
            for (tgran4, tgran4_2, lpa2) in [
                (0, 0, false),
                (0, 3, false),
                (1, 0, true),
                (1, 1, false),
                (1, 2, false),
                (1, 3, true),
                (0xF, 3, false),
            ] {
                let mmfr0 = pa_range | tgran4 << 28 | tgran4_2 << 40;
                let pa_bits = if lpa2 { wide } else { narrow };
                assert_eq!(addresses(mmfr0), (pa_bits, lpa2), "{mmfr0:#x}");
            }
        }
    }

    /// D24.2.85: APA 7:4, API 11:8, GPA 27:24, GPI 31:28. D24.2.86: GPA3 11:8, APA3 15:12, PAC_frac
    /// 27:24.
    #[test]
    fn pointer_authentication() {
        assert!(!has_pauth(0, 0));
        assert!(!has_pauth(!0xFF0, !0xF000));
        assert!(has_pauth(1 << 4, 0));
        assert!(has_pauth(1 << 8, 0));
        assert!(has_pauth(0, 1 << 12));
        let mut id = IdRegisters {
            isar1: u64::MAX,
            isar2: u64::MAX,
            ..IdRegisters::default()
        };
        hide_pauth(&mut id);
        assert_eq!(!id.isar1, 0xFF00_0FF0);
        assert_eq!(!id.isar2, 0x0F00_FF00);
        assert!(!has_pauth(id.isar1, id.isar2));
    }

    /// ID_AA64DFR0_EL1: MTPMU 51:48 (0b0001: implemented, 0b1111: not even MT exists).
    #[test]
    fn no_counters_where_they_count_other_threads() {
        for (mtpmu, expected) in [(0, Some(6)), (1, None), (0xF, Some(6))] {
            let dfr0 = mtpmu << 48;
            assert_eq!(realm_counters(Some(6), dfr0), expected, "{mtpmu:#x}");
            assert_eq!(realm_counters(None, dfr0), None, "{mtpmu:#x}");
        }
    }

    /// CLIDR_EL1: Ctype<n> 3n-1:3n-3. CSSELR_EL1: InD 0, Level 3:1.
    #[test]
    fn selectors_of_caches() {
        // Split, unified, then each kind alone, and what is reserved.
        let clidr = 3 | 4 << 3 | 1 << 6 | 2 << 9 | 7 << 12;
        let found: Vec<_> = (0..20).map(|n| cache_selector(clidr, n)).collect();
        let mut expected = vec![None; 20];
        for (n, select) in [(1, 0), (2, 1), (3, 2), (6, 5), (7, 6)] {
            expected[n] = Some(select);
        }
        assert_eq!(found, expected);
        assert_eq!(cache_selector(4 << 18, 13), Some(12));
        assert_eq!(cache_selector(u64::MAX / 7 * 3, 15), None);
    }

    /// GICv3 12.4: ICH_VTR_EL2.PREbits 28:26. 5 preemption bits need one register, 6 two, 7 four.
    #[test]
    fn active_priorities() {
        for (preemption_bits, registers) in [(5, 1), (6, 2), (7, 4)] {
            let vtr = (preemption_bits - 1) << 26;
            assert_eq!(last_priority_register(vtr | !(7 << 26)), registers - 1);
        }
    }

    fn features() -> CpuFeatures {
        CpuFeatures {
            sve_vl: Some(3),
            pmu_counters: Some(6),
            id: IdRegisters::default(),
            ..crate::fake::features()
        }
    }

    #[test]
    fn a_cpu_that_differs_is_found() {
        let promised = features();
        assert!(keeps(&promised, &features()));
        let differs: [fn(&mut CpuFeatures); 20] = [
            |f| f.id.ctr = 1,
            |f| f.id.pfr0 = 1,
            |f| f.id.pfr1 = 1,
            |f| f.id.zfr0 = 1,
            |f| f.id.dfr0 = 1,
            |f| f.id.dfr1 = 1,
            |f| f.id.isar0 = 1,
            |f| f.id.isar1 = 1,
            |f| f.id.isar2 = 1,
            |f| f.id.mmfr0 = 1,
            |f| f.id.mmfr1 = 1,
            |f| f.id.mmfr2 = 1,
            |f| f.id.mmfr3 = 1,
            |f| f.sve_vl = None,
            |f| f.gic_num_lrs = 4,
            |f| f.gic_pri_bits = 6,
            |f| f.gic_id_24 = true,
            |f| f.gic_ext_range = true,
            |f| f.caches[0] = 1,
            |f| f.caches[14] = 1,
        ];
        for (n, change) in differs.into_iter().enumerate() {
            let mut here = features();
            change(&mut here);
            assert!(!keeps(&promised, &here), "{n}");
        }
    }

    #[test]
    fn cpus_may_differ_in_name_and_have_more_counters() {
        let promised = features();
        let mut here = features();
        here.id.midr = 1;
        assert!(keeps(&promised, &here));
        for (counters, enough) in [(None, false), (Some(5), false), (Some(7), true)] {
            here.pmu_counters = counters;
            assert_eq!(keeps(&promised, &here), enough, "{counters:?}");
        }
    }
}
