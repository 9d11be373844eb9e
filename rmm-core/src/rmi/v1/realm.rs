// SPDX-License-Identifier: BSD-3-Clause
//! RMI_REALM_CREATE, RMI_REALM_ACTIVATE and RMI_REALM_DESTROY (B4.3.8 to B4.3.10).

use super::{Error, Result, require};
use crate::machine::{CpuFeatures, Machine};
use crate::monitor::ThisCpu;
use crate::realm::{self, NewRealm, Rd, RealmState, Resources};
use core::mem::MaybeUninit;
use rmm_abi::rmi::{HashAlgorithm, RealmFlags, RealmParams};
use rmm_attest::rim;
use rmm_granule::{Delegated, GRANULE_SIZE, Pa};
use rmm_rtt::{MAX_START_TABLES, MIN_IPA_WIDTH, Stage2};
use zerocopy::FromZeros;

/// RMI_REALM_CREATE.
// The parameters are a page, which no other command shall find on its stack.
#[inline(never)]
pub fn create<M: Machine>(cpu: &ThisCpu<'_, M>, rd: u64, params_ptr: u64) -> Result {
    let features = cpu.features();
    let page = cpu.granules().ns_granule(params_ptr)?; // params_align, params_bound
    let mut params = MaybeUninit::uninit();
    let params: &RealmParams = page.read_value(cpu.machine, 0, &mut params)?; // params_pas

    let hash_algorithm =
        HashAlgorithm::try_from(params.hash_algo).map_err(|_reserved| Error::Input)?; // params_valid
    require(params.num_bps != 0 && params.num_wps != 0)?; // params_valid
    require(is_supported(params, features))?; // params_supp
    let stage2 = stage2(params, features)?; // rtt_num_level
    let tables_size = u64::from(stage2.num_start) * GRANULE_SIZE as u64;
    require(params.rtt_base.is_multiple_of(tables_size))?; // rtt_align
    // Not a condition of the specification: without LPA2 no walker could find the tables.
    require(stage2.can_output(stage2.base))?;

    let mut tables = [0; MAX_START_TABLES];
    let tables = start_rtts(&stage2, &mut tables).ok_or(Error::Input)?; // rtt_state
    // rd_align, rd_bound, rd_state, rtt_state, alias
    let (rd, tables) = cpu.granules().lock_many::<Delegated>(rd, tables)?;
    require(features.vmid16 || stage2.vmid <= 0xFF)?; // vmid_valid
    let vmid = cpu.monitor.vmids.reserve(stage2.vmid).ok_or(Error::Input)?; // vmid_valid

    let new = NewRealm {
        stage2,
        hash_algorithm,
        rim: rim::realm_create(cpu.machine, hash_algorithm, params),
        rpv: params.rpv,
        resources: resources(params),
    };
    realm::create(cpu, rd, tables, vmid, &new);
    Ok(())
}

/// `params_supp`: every feature and size that the parameters ask for is supported.
fn is_supported(params: &RealmParams, features: &CpuFeatures) -> bool {
    let flags = params.realm_flags();
    let lpa2 = flags.contains(RealmFlags::LPA2);
    let ipa_widths = MIN_IPA_WIDTH..=features.max_ipa_width(lpa2);
    let at_most = |asked: u8, most: Option<u8>| most.is_some_and(|most| asked <= most);

    if lpa2 && !features.lpa2 || !ipa_widths.contains(&params.s2sz) {
        return false;
    }
    if params.num_bps > features.num_bps || params.num_wps > features.num_wps {
        return false;
    }
    if flags.contains(RealmFlags::SVE) && !at_most(params.sve_vl, features.sve_vl) {
        return false;
    }
    if flags.contains(RealmFlags::PMU) {
        let counters = params.pmu_num_ctrs;
        return at_most(counters, features.pmu_counters) && (counters > 0 || features.has_hpmn0());
    }
    true
}

/// `rtt_num_level`: IPA width, start level and number of start-level RTTs fit together.
fn stage2(params: &RealmParams, features: &CpuFeatures) -> Result<Stage2> {
    let stage2 = Stage2 {
        base: Pa(params.rtt_base),
        start_level: i8::try_from(params.rtt_level_start).map_err(|_| Error::Input)?,
        num_start: u8::try_from(params.rtt_num_start).map_err(|_| Error::Input)?,
        ipa_width: params.s2sz,
        lpa2: u8::from(params.realm_flags().contains(RealmFlags::LPA2)),
        vmid: params.vmid,
        ..Stage2::new_zeroed()
    };
    require(stage2.is_consistent())?;
    // A walk can start at level 0 or above only if physical addresses have 44 bits or more.
    require(stage2.start_level > 0 || features.pa_bits >= 44)?;
    Ok(stage2)
}

/// Addresses of the start-level RTTs, in `buffer`. `None` if they reach beyond all addresses.
fn start_rtts<'a>(stage2: &Stage2, buffer: &'a mut [u64; MAX_START_TABLES]) -> Option<&'a [u64]> {
    let tables = buffer.get_mut(..usize::from(stage2.num_start))?;
    let mut next = Some(stage2.base.as_u64());
    for table in tables.iter_mut() {
        *table = next?;
        next = table.checked_add(GRANULE_SIZE as u64);
    }
    Some(tables)
}

/// What each REC of the Realm has.
fn resources(params: &RealmParams) -> Resources {
    let flags = params.realm_flags();
    let sve = flags.contains(RealmFlags::SVE);
    let pmu = flags.contains(RealmFlags::PMU);
    Resources::new(
        params.num_bps,
        params.num_wps,
        sve.then_some(params.sve_vl),
        pmu.then_some(params.pmu_num_ctrs),
    )
}

/// RMI_REALM_ACTIVATE.
pub fn activate<M: Machine>(cpu: &ThisCpu<'_, M>, rd: u64) -> Result {
    let mut rd = cpu.granules().lock::<Rd>(rd)?; // rd_align, rd_bound, rd_state
    let mut realm = rd.map(cpu.machine);
    if realm.state() != RealmState::New {
        return Err(Error::Realm(0)); // realm_state
    }

    realm.set_state(RealmState::Active);
    Ok(())
}

/// RMI_REALM_DESTROY.
pub fn destroy<M: Machine>(cpu: &ThisCpu<'_, M>, rd: u64) -> Result {
    let rd = cpu.granules().lock::<Rd>(rd)?; // rd_align, rd_bound, rd_state

    realm::destroy(cpu, rd).map_err(|_| Error::Realm(0)) // realm_live
}
