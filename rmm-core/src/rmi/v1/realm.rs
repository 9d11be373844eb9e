// SPDX-License-Identifier: BSD-3-Clause
//! RMI_REALM_CREATE, RMI_REALM_ACTIVATE and RMI_REALM_DESTROY (B4.3.8 to B4.3.10).

use super::{Error, Result, require};
use crate::machine::Machine;
use crate::mode::Mode;
use crate::monitor::ThisCpu;
use crate::realm::{self, Dialect, NewRealm, Rd, Request};
use core::mem::MaybeUninit;
use rmm_abi::rmi::{HashAlgorithm, RealmFlags, RealmParams};
use rmm_attest::rim;
use rmm_granule::Delegated;
use rmm_rtt::MAX_START_TABLES;

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
    require(hash_algorithm != HashAlgorithm::Sha384)?; // params_valid
    require(params.num_bps != 0 && params.num_wps != 0)?; // params_valid
    let request = request(params);
    require(request.is_supported(features))?; // params_supp
    // rtt_num_level, rtt_align
    let stage2 = request.stage2(features, params.vmid).ok_or(Error::Input)?;

    let mut tables = [0; MAX_START_TABLES];
    let tables = realm::start_rtts(&stage2, &mut tables).ok_or(Error::Input)?; // rtt_state
    // rd_align, rd_bound, rd_state, rtt_state, alias
    let (rd, tables) = cpu.granules().lock_many::<Delegated>(rd, tables)?;
    // Not a condition of the specification: another CPU may be changing the dialect.
    require(cpu.monitor.modes.confirm(Mode::V1))?;
    require(features.vmid16 || stage2.vmid <= 0xFF)?; // vmid_valid
    let vmid = cpu.monitor.vmids.reserve(stage2.vmid).ok_or(Error::Input)?; // vmid_valid

    let new = NewRealm {
        dialect: Dialect::V1,
        stage2,
        hash_algorithm,
        rim: rim::realm_create(cpu.machine, hash_algorithm, params),
        rpv: params.rpv,
        resources: request.resources(),
        instance: [0; 32],
        lfa_policy: 0,
    };
    realm::create(cpu, rd, tables, vmid, &new);
    Ok(())
}

/// What the parameters ask for.
fn request(params: &RealmParams) -> Request {
    let flags = params.realm_flags();
    let sve = flags.contains(RealmFlags::SVE);
    let pmu = flags.contains(RealmFlags::PMU);
    Request {
        lpa2: flags.contains(RealmFlags::LPA2),
        ipa_width: params.s2sz,
        num_bps: params.num_bps,
        num_wps: params.num_wps,
        sve_vl: sve.then_some(params.sve_vl),
        pmu_counters: pmu.then_some(params.pmu_num_ctrs),
        rtt_base: params.rtt_base,
        rtt_level_start: params.rtt_level_start,
        rtt_num_start: params.rtt_num_start,
    }
}

/// RMI_REALM_ACTIVATE.
pub fn activate<M: Machine>(cpu: &ThisCpu<'_, M>, rd: u64) -> Result {
    let mut rd = cpu.granules().lock::<Rd>(rd)?; // rd_align, rd_bound, rd_state

    realm::activate(cpu, &mut rd).map_err(|_| Error::Realm(0)) // realm_state
}

/// RMI_REALM_DESTROY.
pub fn destroy<M: Machine>(cpu: &ThisCpu<'_, M>, rd: u64) -> Result {
    let rd = cpu.granules().lock::<Rd>(rd)?; // rd_align, rd_bound, rd_state

    realm::destroy(cpu, rd).map_err(|_| Error::Realm(0)) // realm_live
}
