// SPDX-License-Identifier: BSD-3-Clause
//! Reads the ID registers, and what else tells CPUs apart.

use super::optional::Optional;
use super::realm_gic::SRE_ON;
use super::registers::*;
use super::{realm_pmu, simd};
use crate::boot::El3Interface;
use crate::encoding::features::{
    INSTRUCTION_CACHES, addresses, cache_selector, hide_pauth, realm_counters,
};
use crate::machine::{CpuFeatures, IdRegisters};

/// Reads the features of this CPU; `open` are the optional ones that it may use.
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
    if !open.pauth {
        hide_pauth(&mut id);
    }
    let (pa_bits, lpa2) = addresses(id.mmfr0);
    CpuFeatures {
        pa_bits,
        lpa2,
        vmid16: ID_AA64MMFR1_EL1::VMIDBits::Bits16.matches_all(id.mmfr1),
        sve_vl: simd::sve_vl(open),
        // Minus 1, as the ID register gives them.
        num_bps: field(id.dfr0, ID_AA64DFR0_EL1::BRPs),
        num_wps: field(id.dfr0, ID_AA64DFR0_EL1::WRPs),
        pmu_counters: realm_counters(realm_pmu::event_counters(open), id.dfr0),
        gic_num_lrs: field(vtr, ICH_VTR_EL2::ListRegs),
        gic_pri_bits: field(vtr, ICH_VTR_EL2::PRIbits) + 1,
        gic_id_24: field(vtr, ICH_VTR_EL2::IDbits) == 1,
        gic_ext_range,
        caches: caches(),
        id,
    }
}

/// What a Realm reads of the caches, which nothing traps: `CLIDR_EL1`, and `CCSIDR_EL1` of each cache.
fn caches() -> [u64; 15] {
    let selected = CSSELR_EL1.get();
    let clidr = CLIDR_EL1.get();
    let ccsidr = |select: u64| {
        CSSELR_EL1.set(select);
        isb();
        CCSIDR_EL1.get()
    };
    let caches = core::array::from_fn(|n| match cache_selector(clidr, n) {
        Some(select) => ccsidr(select),
        None if n == 0 => clidr,
        None => 0,
    });
    CSSELR_EL1.set(selected);
    caches
}
