// SPDX-License-Identifier: BSD-3-Clause
//! What the CPUs of this machine can do.

/// What all CPUs of this machine have; read once at boot.
#[derive(Clone, Copy, Debug)]
pub struct CpuFeatures {
    /// Implemented physical address width in bits.
    pub pa_bits: u8,
    /// FEAT_LPA2 for 4 KiB granules at stage 1 and stage 2.
    pub lpa2: bool,
    /// FEAT_VMID16.
    pub vmid16: bool,
    /// Largest SVE vector length a Realm may use, in units of 128 bits minus 1; `None` without SVE.
    pub sve_vl: Option<u8>,
    /// Breakpoints minus 1.
    pub num_bps: u8,
    /// Watchpoints minus 1.
    pub num_wps: u8,
    /// PMU event counters a Realm may use; `None` without PMU.
    pub pmu_counters: Option<u8>,
    /// GICv3 list registers minus 1.
    pub gic_num_lrs: u8,
    /// GICv3 virtual priority bits (`ICH_VTR_EL2.PRIbits` + 1).
    pub gic_pri_bits: u8,
    /// Virtual interrupt identifiers have 24 bits rather than 16.
    pub gic_id_24: bool,
    /// The GIC has the extended SPI and PPI ranges.
    pub gic_ext_range: bool,
    /// `CLIDR_EL1`, then `CCSIDR_EL1` of the data or unified cache and of the instruction cache of each of
    /// seven levels; zero for a cache that does not exist.
    pub caches: [u64; 15],
    /// FEAT_RAS, FEAT_SSBS and friends decide how an exception to EL1 changes PSTATE.
    pub id: IdRegisters,
}

impl CpuFeatures {
    /// Widest IPA space of a Realm with or without LPA2, in bits.
    #[must_use]
    pub fn max_ipa_width(&self, lpa2: bool) -> u8 {
        self.pa_bits.min(if lpa2 { 52 } else { 48 })
    }

    /// FEAT_HPMN0: a PMU may have no event counter.
    #[must_use]
    pub const fn has_hpmn0(&self) -> bool {
        self.id.dfr0 >> 60 == 1
    }
}

/// Raw values of the ID registers, as the CPU reports them at EL2.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "each field is the register of its name")]
pub struct IdRegisters {
    pub midr: u64,
    /// `CTR_EL0`: what concerns instruction caches.
    pub ctr: u64,
    pub pfr0: u64,
    pub pfr1: u64,
    pub zfr0: u64,
    pub dfr0: u64,
    pub dfr1: u64,
    pub isar0: u64,
    pub isar1: u64,
    pub isar2: u64,
    pub mmfr0: u64,
    pub mmfr1: u64,
    pub mmfr2: u64,
    pub mmfr3: u64,
}
