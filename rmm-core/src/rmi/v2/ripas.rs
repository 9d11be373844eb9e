// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_INIT_RIPAS (B4.5.73). RMI_RTT_SET_RIPAS is in `rmi/v1`.

use super::{Error, Result, require};
use crate::machine::Machine;
use crate::monitor::ThisCpu;
use crate::realm::{Rd, RealmState};
use crate::rmi::call::Outputs;
use crate::rmi::v1;
use rmm_abi::rmi::Ripas;
use rmm_granule::{GRANULE_SIZE, Ipa};
use rmm_rtt::Change;

/// RMI_RTT_INIT_RIPAS. It is not measured. Entries may hold DATA already, and those with RIPAS RAM count
/// as done; it stops at DESTROYED.
pub fn init<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    rd: u64,
    base: u64,
    top: u64,
    out: &mut Outputs,
) -> Result {
    require(top > base)?; // size_valid
    let top = Ipa::granule(top).ok_or(Error::Input)?; // top_gran_align
    let mut rd = cpu.granules().lock::<Rd>(rd)?; // rd_align, rd_bound, rd_state
    let realm = rd.map(cpu.machine);
    // Not a condition of the specification, see `Modes`: a Realm of 1.0 has its RIPAS measured.
    require(realm.is_v2())?;
    let stage2 = realm.stage2;
    // `top` is above `base` and so at least a Granule.
    let last = Ipa(top.as_u64() - GRANULE_SIZE as u64);
    require(stage2.is_protected(last))?; // top_bound
    if realm.state() != RealmState::New {
        return Err(Error::Realm); // realm_state
    }
    drop(realm);
    let start = v1::start_rtt(cpu, &stage2, Ipa(base))?;
    drop(rd);

    // base_align, rtte_state, no_progress
    let out_top = rmm_rtt::set_ripas(start, cpu.machine, top, Ripas::Ram, Change::Initial)?;
    out.x1 = out_top.as_u64();
    Ok(())
}
