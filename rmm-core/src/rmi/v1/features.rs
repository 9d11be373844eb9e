// SPDX-License-Identifier: BSD-3-Clause
//! RMI_FEATURES (B4.3.4).

use super::Result;
use crate::machine::{CpuFeatures, Machine};
use crate::monitor::ThisCpu;
use crate::realm::MAX_RECS_ORDER;
use crate::rmi::call::Outputs;
use rmm_abi::rmi::FeatureRegister0;

/// RMI_FEATURES. A register that does not exist reads as zero.
pub fn features<M: Machine>(cpu: &ThisCpu<'_, M>, index: u64, out: &mut Outputs) -> Result {
    if index == 0 {
        out.x1 = feature_register_0(cpu.features()).bits();
    }
    Ok(())
}

/// `RmiFeatureRegister0` of these CPUs.
fn feature_register_0(features: &CpuFeatures) -> FeatureRegister0 {
    FeatureRegister0::new()
        .with_s2sz(u64::from(features.max_ipa_width(features.lpa2)))
        .with_lpa2(features.lpa2)
        .with_sve_en(features.sve_vl.is_some())
        .with_sve_vl(u64::from(features.sve_vl.unwrap_or(0)))
        .with_num_bps(u64::from(features.num_bps))
        .with_num_wps(u64::from(features.num_wps))
        .with_pmu_en(features.pmu_counters.is_some())
        .with_pmu_num_ctrs(u64::from(features.pmu_counters.unwrap_or(0)))
        .with_hash_sha_256(true)
        .with_hash_sha_512(true)
        .with_gicv3_num_lrs(u64::from(features.gic_num_lrs))
        .with_max_recs_order(MAX_RECS_ORDER)
}
