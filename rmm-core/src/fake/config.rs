// SPDX-License-Identifier: BSD-3-Clause
//! The hardware of a fake machine.

use super::attestation::El3Attestation;
use crate::machine::{CpuFeatures, IdRegisters};
use rmm_abi::el3::Version;
use rmm_granule::Bank;

/// The hardware of a machine.
#[derive(Clone, Debug)]
pub struct Config {
    /// DRAM. The Host allocates its pages from the first bank.
    pub dram: Vec<Bank>,
    /// Ranges without RAM that the manifest lists as DRAM nevertheless; EL3 delegates them.
    pub holes: Vec<Bank>,
    /// Ranges that are never delegable.
    pub reserved: Vec<Bank>,
    /// Features of all CPUs.
    pub features: CpuFeatures,
    /// Number of CPUs.
    pub cpus: usize,
    /// Version of the RMM-EL3 interface, unless `attestation` has another one.
    pub interface: Version,
    /// What EL3 has for attestation; `None` if it does not support attestation.
    pub attestation: Option<El3Attestation>,
}

impl Default for Config {
    fn default() -> Self {
        let bank = |base, size| [Bank { base, size }].to_vec();
        // Miri takes long to look at each granule.
        let dram = if cfg!(miri) { 4 << 20 } else { 32 << 20 };
        Self {
            dram: bank(0x8000_0000, dram),
            holes: bank(0x8800_0000, 1 << 20),
            reserved: bank(0x8000_0000, 1 << 20),
            features: features(),
            cpus: 4,
            interface: Version::new(0, 4),
            attestation: None,
        }
    }
}

/// Features of an ordinary CPU: 48-bit addresses; no LPA2, no SVE, no PMU for Realms.
#[must_use]
pub fn features() -> CpuFeatures {
    CpuFeatures {
        pa_bits: 48,
        lpa2: false,
        vmid16: true,
        sve_vl: None,
        num_bps: 5,
        num_wps: 3,
        pmu_counters: None,
        gic_num_lrs: 3,
        gic_pri_bits: 5,
        gic_id_24: false,
        gic_ext_range: false,
        caches: [0; 15],
        id: IdRegisters {
            midr: 0x410F_D0F0,
            // CSV3, CSV2, RME, DIT, RAS, GIC, SIMD with half precision; EL0 to EL3 AArch64 only.
            pfr0: 0x1111_0000_1111_1111,
            // SSBS, BT.
            pfr1: 0x21,
            // Six breakpoints, four watchpoints, a PMU, Armv8.8 debug.
            dfr0: 0x0000_0010_1030_560A,
            isar0: 0x0221_1110_0021_2120,
            mmfr0: 0x0000_0110_0010_1125,
            mmfr1: 0x0000_0000_1121_2122,
            mmfr2: 0x1221_0111_1100_1011,
            ..IdRegisters::default()
        },
    }
}

/// As [`features`], with LPA2 and 52-bit addresses.
#[must_use]
pub fn lpa2_features() -> CpuFeatures {
    CpuFeatures {
        pa_bits: 52,
        lpa2: true,
        ..features()
    }
}

/// As [`lpa2_features`], with SVE vectors of up to 512 bits and a PMU with six event counters.
#[must_use]
pub fn full_features() -> CpuFeatures {
    let mut features = CpuFeatures {
        sve_vl: Some(3),
        pmu_counters: Some(6),
        ..lpa2_features()
    };
    features.id.pfr0 |= 1 << 32;
    features.id.zfr0 = 1;
    features
}
