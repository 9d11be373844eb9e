// SPDX-License-Identifier: BSD-3-Clause
//! RMI_REALM_CREATE, RMI_REALM_ACTIVATE and RMI_REALM_DESTROY (B4.3.8 to B4.3.10).

use super::version::max_ipa_width;
use super::{Error, Result};
use crate::machine::{CpuFeatures, Machine};
use crate::monitor::Cx;
use crate::realm::{NewRealm, Realm, RealmState, Resources};
use rmm_abi::rmi::{HashAlgorithm, RealmFlags, RealmParams};
use rmm_attest::rim;
use rmm_granule::{GRANULE_SIZE, Pa, Rd};
use rmm_rtt::Stage2;
use zerocopy::{FromZeros, IntoBytes};

/// Most start level RTTs: 16 concatenated tables.
const MAX_START_RTTS: usize = 16;

/// Narrowest IPA space in bits.
const MIN_IPA_WIDTH: u8 = 32;

/// RMI_REALM_CREATE.
// Its parameters are a page, which no other command shall find on its stack.
#[inline(never)]
pub fn create<M: Machine>(cx: &Cx<'_, M>, rd: u64, params_ptr: u64) -> Result {
    let mut params = RealmParams::new_zeroed();
    let page = cx.granules().ns_granule(params_ptr)?;
    page.read(cx.machine, 0, params.as_mut_bytes())?;
    let (stage2, new) = check_params(cx, &params)?;

    // `alias`, `rd_*` and `rtt_state`: all of them DELEGATED and none named twice.
    let mut tables = [0; MAX_START_RTTS];
    let count = usize::from(stage2.num_start);
    let tables = tables.get_mut(..count).ok_or(Error::Input)?;
    for (n, table) in tables.iter_mut().enumerate() {
        let offset = (n * GRANULE_SIZE) as u64;
        *table = stage2
            .base
            .checked_add(offset)
            .ok_or(Error::Input)?
            .as_u64();
    }
    let (rd, tables) = cx
        .granules()
        .lock_many::<rmm_granule::Delegated>(rd, tables)?;
    if !cx.features().vmid16 && stage2.vmid > 0xFF {
        return Err(Error::Input);
    }
    let vmid = cx.monitor.vmids.reserve(stage2.vmid).ok_or(Error::Input)?;

    vmid.keep();
    rmm_rtt::init_start_tables(&stage2, tables, cx.machine);
    let mut realm = rd.fill::<_, Realm>(cx.machine);
    realm.init(&new);
    let _rd = realm.commit::<Rd>();
    Ok(())
}

/// `params_valid`, `params_supp`, `rtt_num_level`, `rtt_align`.
fn check_params<M: Machine>(
    cx: &Cx<'_, M>,
    params: &RealmParams,
) -> core::result::Result<(Stage2, NewRealm), Error> {
    let features = cx.features();
    let flags = params.realm_flags();
    let lpa2 = flags.contains(RealmFlags::LPA2);
    let hash_algorithm = HashAlgorithm::try_from(params.hash_algo).map_err(|_| Error::Input)?;
    if params.num_bps == 0 || params.num_wps == 0 || !is_supported(params, features) {
        return Err(Error::Input);
    }
    let stage2 = Stage2 {
        base: Pa(params.rtt_base),
        start_level: i8::try_from(params.rtt_level_start).map_err(|_| Error::Input)?,
        num_start: u8::try_from(params.rtt_num_start).map_err(|_| Error::Input)?,
        ipa_width: params.s2sz,
        lpa2: u8::from(lpa2),
        vmid: params.vmid,
        ..Stage2::new_zeroed()
    };
    // A walk that starts at level 0 or above needs an output size of at least 44 bits.
    let reachable = stage2.start_level > 0 || features.pa_bits >= 44;
    let size = u64::from(stage2.num_start) * GRANULE_SIZE as u64;
    if !stage2.is_consistent() || !reachable || !params.rtt_base.is_multiple_of(size) {
        return Err(Error::Input);
    }
    // The specification has no such condition; without LPA2 no walker would find the tables.
    if !stage2.can_output(stage2.base) {
        return Err(Error::Input);
    }
    let new = NewRealm {
        stage2,
        hash_algorithm,
        rim: rim::realm_create(cx.machine, hash_algorithm, params),
        rpv: params.rpv,
        resources: Resources::new(
            params.num_bps,
            params.num_wps,
            flags.contains(RealmFlags::SVE).then_some(params.sve_vl),
            flags
                .contains(RealmFlags::PMU)
                .then_some(params.pmu_num_ctrs),
        ),
    };
    Ok((stage2, new))
}

/// `params_supp`: what the Realm asks for is there.
fn is_supported(params: &RealmParams, features: &CpuFeatures) -> bool {
    let flags = params.realm_flags();
    let lpa2 = flags.contains(RealmFlags::LPA2);
    let widest = if lpa2 { 52 } else { 48 };
    let within = |asked: u8, most: Option<u8>| most.is_some_and(|most| asked <= most);
    (!lpa2 || features.lpa2)
        && (MIN_IPA_WIDTH..=max_ipa_width(features).min(widest)).contains(&params.s2sz)
        && params.num_bps <= features.num_bps
        && params.num_wps <= features.num_wps
        && (!flags.contains(RealmFlags::SVE) || within(params.sve_vl, features.sve_vl))
        && (!flags.contains(RealmFlags::PMU)
            || within(params.pmu_num_ctrs, features.pmu_counters)
                && (params.pmu_num_ctrs > 0 || features.has_hpmn0()))
}

/// RMI_REALM_ACTIVATE.
pub fn activate<M: Machine>(cx: &Cx<'_, M>, rd: u64) -> Result {
    let mut rd = cx.granules().lock::<Rd>(rd)?;
    let mut realm = rd.map::<_, Realm>(cx.machine);
    if realm.state() != RealmState::New {
        return Err(Error::Realm(0));
    }
    realm.set_state(RealmState::Active);
    Ok(())
}

/// RMI_REALM_DESTROY.
pub fn destroy<M: Machine>(cx: &Cx<'_, M>, rd: u64) -> Result {
    let mut rd = cx.granules().lock::<Rd>(rd)?;
    let stage2 = rd.map::<_, Realm>(cx.machine).stage2;
    if rd.refs() != 0 {
        return Err(Error::Realm(0));
    }
    rmm_rtt::destroy_start_tables(&stage2, cx.granules(), cx.machine)
        .map_err(|_live| Error::Realm(0))?;
    let _delegated = rd.wipe_into_delegated(cx.machine);
    cx.monitor.vmids.release(stage2.vmid);
    Ok(())
}
