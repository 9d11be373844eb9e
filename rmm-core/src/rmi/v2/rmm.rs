// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RMM_CONFIG_SET, RMI_RMM_CONFIG_GET, RMI_RMM_ACTIVATE, RMI_RMM_DEACTIVATE and RMI_RMM_STATE_GET
//! (B4.5.52 to B4.5.54; the last two are younger than that text).

use super::{Error, Result, require};
use crate::machine::Machine;
use crate::mode::Mode;
use crate::monitor::ThisCpu;
use crate::rmi::call::Outputs;
use core::mem::MaybeUninit;
use core::sync::atomic::Ordering;
use rmm_abi::rmi::v2::{RmmConfig, rmm_state};
use zerocopy::{FromZeros, IntoBytes};

/// `RmiTrackingRegionSize` with granules of 4 KiB: 1 GiB, and 2 MiB from 2.0-bet3 on. Which number is
/// which makes no difference: each granule is tracked.
const TRACKING_REGION_SIZES: u8 = 2;
/// `RmiGranuleSize`: 4 KiB.
const GRANULE_4KB: u8 = 0;

/// RMI_RMM_CONFIG_SET. Of the page only the two fields count: Hosts leave the rest as they find it.
pub fn config_set<M: Machine>(cpu: &ThisCpu<'_, M>, mode: Mode, config_ptr: u64) -> Result {
    if mode != Mode::V2Init {
        return Err(Error::Global); // rmm_state
    }
    let page = cpu.granules().ns_granule(config_ptr)?; // config_align, config_pas
    let mut fields = MaybeUninit::uninit();
    let fields: &[u64; 2] = page.read_value(cpu.machine, 0, &mut fields)?; // config_pas
    let [tracking_region_size, granule_size] = fields.map(|field| field.to_le_bytes()[0]);
    require(tracking_region_size < TRACKING_REGION_SIZES)?; // tracking_size_supp
    require(granule_size == GRANULE_4KB)?; // granule_size_supp

    cpu.monitor
        .tracking_region_size
        .store(tracking_region_size, Ordering::Relaxed);
    Ok(())
}

/// RMI_RMM_CONFIG_GET, in any state of the RMM: Hosts call it before RMI_RMM_ACTIVATE.
#[inline(never)]
pub fn config_get<M: Machine>(cpu: &ThisCpu<'_, M>, config_ptr: u64) -> Result {
    let page = cpu.granules().ns_granule(config_ptr)?; // config_align, config_pas
    let mut config = RmmConfig::new_zeroed();
    config.tracking_region_size = cpu.monitor.tracking_region_size.load(Ordering::Relaxed);
    config.rmi_granule_size = GRANULE_4KB;

    page.write(cpu.machine, 0..0, [(0, config.as_bytes())])?; // config_pas
    Ok(())
}

/// RMI_RMM_ACTIVATE, complete at once: the monitor needs no memory for it.
pub fn activate<M: Machine>(cpu: &ThisCpu<'_, M>) -> Result {
    if cpu.monitor.modes.step(Mode::V2Init, Mode::V2Active) {
        Ok(())
    } else {
        Err(Error::Global) // rmm_state
    }
}

/// RMI_RMM_DEACTIVATE. The configuration stays.
pub fn deactivate<M: Machine>(cpu: &ThisCpu<'_, M>) -> Result {
    let modes = &cpu.monitor.modes;
    if modes.change(cpu.machine, Mode::V2Active, Mode::V2Init) == Some(true) {
        Ok(())
    } else {
        Err(Error::Global) // rmm_state, gran_state
    }
}

/// RMI_RMM_STATE_GET.
pub fn state_get(mode: Mode, out: &mut Outputs) -> Result {
    out.x1 = match mode {
        Mode::V2Active => rmm_state::ACTIVE,
        _ => rmm_state::INIT,
    };
    Ok(())
}
