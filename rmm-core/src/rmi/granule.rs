// SPDX-License-Identifier: BSD-3-Clause
//! RMI_GRANULE_DELEGATE and RMI_GRANULE_UNDELEGATE (B4.3.5, B4.3.6).

use super::{Error, Result};
use crate::machine::Machine;
use crate::monitor::Cx;
use rmm_abi::el3;
use rmm_granule::{Delegated, Pa, Undelegated};

/// RMI_GRANULE_DELEGATE.
pub fn delegate<M: Machine>(cx: &Cx<'_, M>, addr: u64) -> Result {
    let granule = cx.granules().lock::<Undelegated>(addr)?;
    // EL3 moves whatever the GPT covers, RAM or not. A read through Non-secure PAS tells, at a
    // point where nothing has changed and where its abort is recovered from.
    cx.machine.read_ns(granule.pa(), &mut [0; 8])?;
    if !set_pas(cx, el3::fid::RMM_GTSI_DELEGATE, granule.pa()) {
        return Err(Error::Input);
    }
    let _delegated = granule.wipe_into_delegated(cx.machine);
    Ok(())
}

/// RMI_GRANULE_UNDELEGATE. The content is zero: a DELEGATED Granule always is.
pub fn undelegate<M: Machine>(cx: &Cx<'_, M>, addr: u64) -> Result {
    let granule = cx.granules().lock::<Delegated>(addr)?;
    if !set_pas(cx, el3::fid::RMM_GTSI_UNDELEGATE, granule.pa()) {
        cx.machine.fatal("EL3 does not take a Granule back");
    }
    let _undelegated = granule.transition::<Undelegated>();
    Ok(())
}

fn set_pas<M: Machine>(cx: &Cx<'_, M>, fid: u64, granule: Pa) -> bool {
    let [status, ..] = cx.machine.call_el3(fid, [granule.as_u64(), 0, 0]);
    status == 0
}
