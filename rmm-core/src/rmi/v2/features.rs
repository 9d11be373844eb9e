// SPDX-License-Identifier: BSD-3-Clause
//! RMI_FEATURES (B4.5.14).

use super::Result;
use crate::machine::{CpuFeatures, Machine};
use crate::monitor::ThisCpu;
use crate::realm::MAX_INDEXED_RECS_ORDER;
use crate::rmi::call::Outputs;
use rmm_abi::rmi::v2::{FeatureRegister0, FeatureRegister1};

/// RMI_FEATURES. Registers 2 to 4 are zero: no devices, no planes, no memory encryption contexts. A
/// register that does not exist reads as zero, too.
pub fn features<M: Machine>(cpu: &ThisCpu<'_, M>, index: u64, out: &mut Outputs) -> Result {
    out.x1 = match index {
        0 => feature_register_0(cpu.features()).bits(),
        1 => feature_register_1(cpu.features()).bits(),
        _ => 0,
    };
    Ok(())
}

/// `RmiFeatureRegister0` of these CPUs. Without SVE: a REC has no room for its registers, and Hosts
/// pass none.
fn feature_register_0(features: &CpuFeatures) -> FeatureRegister0 {
    FeatureRegister0::new()
        .with_s2sz(u64::from(features.max_ipa_width(features.lpa2)))
        .with_lpa2(features.lpa2)
        .with_num_bps(u64::from(features.num_bps))
        .with_num_wps(u64::from(features.num_wps))
        .with_pmu(features.pmu_counters.is_some())
        .with_pmu_num_ctrs(u64::from(features.pmu_counters.unwrap_or(0)))
}

/// `RmiFeatureRegister1`. An entry of the level 0 GPT protects 1 GiB on all boards.
fn feature_register_1(features: &CpuFeatures) -> FeatureRegister1 {
    FeatureRegister1::new()
        .with_granule_4kb(true)
        .with_hash_sha_256(true)
        .with_hash_sha_384(true)
        .with_hash_sha_512(true)
        .with_max_recs_order(MAX_INDEXED_RECS_ORDER)
        .with_l0gptsz(0)
        .with_pps(pps(features.pa_bits))
}

/// `GPCCR_EL3.PPS` for addresses of this many bits.
const fn pps(pa_bits: u8) -> u64 {
    match pa_bits {
        ..=35 => 0,
        36..=39 => 1,
        40..=41 => 2,
        42..=43 => 3,
        44..=47 => 4,
        48..=51 => 5,
        _ => 6,
    }
}
