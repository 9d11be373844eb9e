// SPDX-License-Identifier: BSD-3-Clause
//! Granules that change their physical address space (PAS) between Non-secure and Realm.

use crate::machine::Machine;
use core::mem::MaybeUninit;

use crate::monitor::ThisCpu;
use rmm_abi::el3;
use rmm_granule::{Delegated, Locked, Pa, Undelegated, bug};

/// The Granule is not in Non-secure PAS, or EL3 does not move it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotMoved;

/// Moves a Granule to Realm PAS and wipes it.
///
/// # Errors
/// The Granule is not in Non-secure PAS, or EL3 does not move it; nothing has changed.
pub fn delegate<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    granule: Locked<'_, Undelegated>,
) -> Result<(), NotMoved> {
    // EL3 moves whatever the GPT covers, RAM or not. A read through Non-secure PAS shows that there
    // is memory, at a point where nothing has changed and where an abort is recovered from.
    cpu.machine
        .read_ns(granule.pa(), [(0, &mut [MaybeUninit::uninit(); 8])])
        .map_err(|_fault| NotMoved)?;
    if !set_pas(cpu, el3::fid::RMM_GTSI_DELEGATE, granule.pa()) {
        return Err(NotMoved);
    }
    let _delegated = granule.wipe_into_delegated(cpu.machine);
    cpu.machine.delegations().count_delegated();
    Ok(())
}

/// Moves a Granule to Non-secure PAS. Its content is zero, as that of each DELEGATED Granule.
pub fn undelegate<M: Machine>(cpu: &ThisCpu<'_, M>, granule: Locked<'_, Delegated>) {
    if !set_pas(cpu, el3::fid::RMM_GTSI_UNDELEGATE, granule.pa()) {
        bug!("EL3 does not take a Granule back");
    }
    let _undelegated = granule.transition::<Undelegated>();
    cpu.machine.delegations().count_undelegated();
}

/// Asks EL3 to move a Granule; whether it did.
fn set_pas<M: Machine>(cpu: &ThisCpu<'_, M>, fid: u64, granule: Pa) -> bool {
    let [status, ..] = cpu.machine.call_el3(fid, [granule.as_u64(), 0, 0, 0]);
    status == 0
}
