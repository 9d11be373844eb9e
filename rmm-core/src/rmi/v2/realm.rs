// SPDX-License-Identifier: BSD-3-Clause
//! RMI_REALM_CREATE and RMI_REALM_TERMINATE (B4.5.46, B4.5.48). RMI_REALM_ACTIVATE and RMI_REALM_DESTROY
//! are those of 1.0: that a Realm of 2.0 has to be a ZOMBIE is known to `realm`.

use super::{Error, Result, require};
use crate::machine::Machine;
use crate::mode::Mode;
use crate::monitor::ThisCpu;
use crate::realm::{self, Dialect, NewRealm, Rd, Request};
use core::mem::MaybeUninit;
use rmm_abi::rmi::HashAlgorithm;
use rmm_abi::rmi::v2::{RealmFlags0, RealmFlags1, RealmParams};
use rmm_attest::Measurement;
use rmm_granule::Delegated;
use rmm_rtt::MAX_START_TABLES;

/// RMI_REALM_CREATE.
// The parameters are a page, which no other command shall find on its stack.
#[inline(never)]
pub fn create<M: Machine>(cpu: &ThisCpu<'_, M>, rd: u64, params_ptr: u64) -> Result {
    let features = cpu.features();
    let page = cpu.granules().ns_granule(params_ptr)?; // params_align, params_pas
    let mut params = MaybeUninit::uninit();
    let params: &RealmParams = page.read_value(cpu.machine, 0, &mut params)?; // params_pas

    let hash_algorithm =
        HashAlgorithm::try_from(params.hash_algo).map_err(|_reserved| Error::Input)?; // params_valid
    let flags = params.realm_flags0();
    require(flags.lfa_policy() <= 1 && flags.mec_policy() <= 1)?; // params_valid
    require(params.num_bps != 0 && params.num_wps != 0)?; // params_valid
    require(!needs_what_is_absent(params))?; // params_supp, ats_plane
    let request = request(params);
    require(request.is_supported(features))?; // params_supp
    // The VMID comes last. rtt_num_level, rtt_align
    let mut stage2 = request.stage2(features, 0).ok_or(Error::Input)?;
    let mut tables = [0; MAX_START_TABLES];
    let tables = realm::start_rtts(&stage2, &mut tables).ok_or(Error::Input)?; // rtt_state
    // rd_align, rd_bound, rd_state, rtt_state, alias
    let (rd, tables) = cpu.granules().lock_many::<Delegated>(rd, tables)?;
    if flags.mec_policy() == PRIVATE_MEC {
        return Err(Error::Global); // mec_policy
    }
    if !cpu.monitor.modes.confirm(Mode::V2Active) {
        return Err(Error::Global); // the state of the RMM, which another CPU may be changing
    }
    let instance = cpu.machine.random().ok_or(Error::Global)?; // No entropy.
    let last_vmid = if features.vmid16 { u16::MAX } else { 0xFF };
    let vmid = cpu
        .monitor
        .vmids
        .reserve_any(last_vmid)
        .ok_or(Error::Global)?; // vmid

    stage2.vmid = vmid.get();
    let new = NewRealm {
        dialect: Dialect::V2,
        stage2,
        hash_algorithm,
        rim: Measurement::ZERO,
        rpv: params.rpv,
        resources: request.resources(),
        instance,
        lfa_policy: u8::from(flags.lfa_policy() == LFA_ALLOWED),
    };
    realm::create(cpu, rd, tables, vmid, &new);
    Ok(())
}

/// LFA policy: allowed.
const LFA_ALLOWED: u64 = 1;
/// MEC policy: a memory encryption context of its own.
const PRIVATE_MEC: u64 = 1;

/// Whether the parameters ask for something that no feature register offers: SVE, devices, planes,
/// indirect permissions.
fn needs_what_is_absent(params: &RealmParams) -> bool {
    params
        .realm_flags0()
        .intersects(RealmFlags0::SVE | RealmFlags0::DA)
        || params.realm_flags1().intersects(RealmFlags1::all())
        || params.num_aux_planes != 0
        || params.ats_plane != 0
}

/// What the parameters ask for.
fn request(params: &RealmParams) -> Request {
    let flags = params.realm_flags0();
    Request {
        lpa2: flags.contains(RealmFlags0::LPA2),
        ipa_width: params.s2sz,
        num_bps: params.num_bps,
        num_wps: params.num_wps,
        sve_vl: None,
        pmu_counters: flags
            .contains(RealmFlags0::PMU)
            .then_some(params.pmu_num_ctrs),
        rtt_base: params.rtt_base,
        rtt_level_start: params.rtt_level_start,
        rtt_num_start: params.rtt_num_start,
    }
}

/// RMI_REALM_TERMINATE. A Realm that is terminated already stays so.
pub fn terminate<M: Machine>(cpu: &ThisCpu<'_, M>, rd: u64) -> Result {
    let mut rd = cpu.granules().lock::<Rd>(rd)?; // rd_align, rd_tracking, rd_state
    // Not a condition of the specification, see `Modes`: a Realm of 1.0 does not count its RUNNING RECs.
    require(rd.map(cpu.machine).is_v2())?;

    realm::terminate(cpu, &mut rd).map_err(|_| Error::Realm) // rec_running
}
