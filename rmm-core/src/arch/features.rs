// SPDX-License-Identifier: BSD-3-Clause
//! What the CPU's ID registers tell.

use super::optional::Optional;
use super::realm_gic::SRE_ON;
use super::registers::*;
use super::{realm_pmu, simd};
use crate::boot::El3Interface;
use crate::machine::{CpuFeatures, IdRegisters};

/// What of `CTR_EL0` [`cache`](super::cache) goes by, and Realms on behalf of other CPUs.
const INSTRUCTION_CACHES: u64 = {
    let lines = CTR_EL0::DminLine.mask << CTR_EL0::DminLine.shift;
    let lines = lines | CTR_EL0::IminLine.mask << CTR_EL0::IminLine.shift;
    let kind = CTR_EL0::L1Ip.mask << CTR_EL0::L1Ip.shift;
    set!(CTR_EL0: DIC | IDC) | lines | kind
};

/// Reads the features of this CPU; `open` are those of which EL3 has a say.
#[must_use]
pub fn read(el3: El3Interface, open: &Optional) -> CpuFeatures {
    let sre = ICC_SRE_EL2.get();
    ICC_SRE_EL2.set(SRE_ON);
    isb();
    let vtr = ICH_VTR_EL2.get();
    let gic_ext_range = ICC_CTLR_EL1.is_set(ICC_CTLR_EL1::ExtRange);
    if el3.shares_gic_registers() {
        ICC_SRE_EL2.set(sre);
        isb();
    }
    let mut id = IdRegisters {
        midr: MIDR_EL1.get(),
        ctr: CTR_EL0.get() & INSTRUCTION_CACHES,
        pfr0: ID_AA64PFR0_EL1.get(),
        pfr1: ID_AA64PFR1_EL1.get(),
        zfr0: ID_AA64ZFR0_EL1.get(),
        dfr0: ID_AA64DFR0_EL1.get(),
        dfr1: ID_AA64DFR1_EL1.get(),
        isar0: ID_AA64ISAR0_EL1.get(),
        isar1: ID_AA64ISAR1_EL1.get(),
        isar2: ID_AA64ISAR2_EL1.get(),
        mmfr0: ID_AA64MMFR0_EL1.get(),
        mmfr1: ID_AA64MMFR1_EL1.get(),
        mmfr2: ID_AA64MMFR2_EL1.get(),
        mmfr3: ID_AA64MMFR3_EL1.get(),
    };
    if !el3.banks_pauth_keys() {
        // The instructions trap.
        id.isar1 &= !set!(ID_AA64ISAR1_EL1: APA | API | GPA | GPI);
        id.isar2 &= !set!(ID_AA64ISAR2_EL1: GPA3 | APA3 | PAC_frac);
    }
    // TGran4 1 and TGran4_2 3 (or 0: as TGran4) say 52-bit addresses.
    let stage1 = field(id.mmfr0, ID_AA64MMFR0_EL1::TGran4) == 1;
    let stage2 = matches!(
        (field(id.mmfr0, MMFR0_TGran4_2), stage1),
        (3, _) | (0, true)
    );
    let lpa2 = stage1 && stage2;
    let (num_bps, num_wps) = debug(&id);
    CpuFeatures {
        pa_bits: match field(id.mmfr0, ID_AA64MMFR0_EL1::PARange) {
            0 => 32,
            1 => 36,
            2 => 40,
            3 => 42,
            4 => 44,
            5 => 48,
            // 52 bits and more take descriptors of that width.
            _ if lpa2 => 52,
            _ => 48,
        },
        lpa2,
        vmid16: ID_AA64MMFR1_EL1::VMIDBits::Bits16.matches_all(id.mmfr1),
        sve_vl: simd::sve_vl(open),
        num_bps,
        num_wps,
        pmu_counters: realm_pmu::event_counters(open),
        gic_num_lrs: field(vtr, ICH_VTR_EL2::ListRegs),
        gic_pri_bits: field(vtr, ICH_VTR_EL2::PRIbits) + 1,
        gic_id_24: field(vtr, ICH_VTR_EL2::IDbits) == 1,
        gic_ext_range,
        id,
    }
}

/// Breakpoints and watchpoints, minus 1 each.
fn debug(id: &IdRegisters) -> (u8, u8) {
    (
        field(id.dfr0, ID_AA64DFR0_EL1::BRPs),
        field(id.dfr0, ID_AA64DFR0_EL1::WRPs),
    )
}

/// Whether a CPU, `here`, has what Realms were promised, `promised` being what the boot CPU has: a
/// REC may run on any CPU.
#[must_use]
pub fn match_those(promised: &CpuFeatures, here: &CpuFeatures) -> bool {
    let of = |features: &CpuFeatures| {
        let id = &features.id;
        let gic = [
            features.gic_num_lrs,
            features.gic_pri_bits,
            features.gic_id_24.into(),
            features.gic_ext_range.into(),
        ];
        let id = [
            // A page of instructions is published as the CPU has it that does so.
            id.ctr, id.pfr0, id.pfr1, id.zfr0, id.dfr0, id.dfr1, id.isar0, id.isar1, id.isar2,
            id.mmfr0, id.mmfr1, id.mmfr2, id.mmfr3,
        ];
        (id, gic, features.sve_vl)
    };
    // More event counters do no harm.
    of(promised) == of(here) && here.pmu_counters >= promised.pmu_counters
}
