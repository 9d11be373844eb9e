// SPDX-License-Identifier: BSD-3-Clause
//! RMI_PSCI_COMPLETE (B4.5.38), in the form up to 2.0-bet1, with a target, and in that from 2.0-bet2 on.
//!
//! The second argument is the address of a REC, or a status. No address of a REC is a status: that of
//! address 0 can be none.

use super::{Error, Result, require};
use crate::machine::Machine;
use crate::monitor::ThisCpu;
use crate::rec::{self, Rec};
use crate::rmi::v1;
use rmm_abi::mpidr::mpidr_el1_to_index;
use rmm_abi::psci::DENIED;
use rmm_granule::{GranuleState, Pa};

/// RMI_PSCI_COMPLETE.
pub fn complete<M: Machine>(cpu: &ThisCpu<'_, M>, calling: u64, x2: u64, x3: u64) -> Result {
    if cpu.granules().state(x2) == Ok(GranuleState::Rec) {
        return Ok(v1::psci_complete(cpu, calling, x2, x3)?);
    }
    let status = x2;
    match target(cpu, calling)? {
        Some(target) => Ok(v1::psci_complete(cpu, calling, target.as_u64(), status)?),
        None => complete_without_target(cpu, calling, status),
    }
}

/// The REC that the pending request of `calling` names; `None` if it is destroyed.
fn target<M: Machine>(cpu: &ThisCpu<'_, M>, calling: u64) -> Result<Option<Pa>> {
    let (rd, index) = {
        let mut calling = cpu.granules().lock::<Rec>(calling)?; // calling_align, calling_bound, calling_state
        // A RUNNING caller has no pending request.
        let calling = calling.map(cpu.machine).ok_or(Error::Input)?; // pending
        require(calling.attributes.is_psci_pending())?; // pending
        (
            calling.head().rd(),
            mpidr_el1_to_index(calling.context.gprs[1]),
        )
    };
    // Nothing is locked any more. What changes meanwhile, RMI_PSCI_COMPLETE of 1.0 finds out.
    Ok(rec::find(cpu, rd, index).map(|target| target.pa()))
}

/// Completes a PSCI_CPU_ON whose target is destroyed. It can only be denied.
fn complete_without_target<M: Machine>(cpu: &ThisCpu<'_, M>, calling: u64, status: u64) -> Result {
    let mut calling = cpu.granules().lock::<Rec>(calling)?;
    let mut calling = calling.map(cpu.machine).ok_or(Error::Input)?;
    require(calling.attributes.is_psci_pending() && status == DENIED)?; // status
    let gprs = &mut calling.context.gprs;
    let index = mpidr_el1_to_index(gprs[1]);
    let _unchanged =
        rmm_rsi::psci::complete(gprs, index, false, status).map_err(|_refused| Error::Input)?;

    calling.attributes.set_psci_pending(false);
    Ok(())
}
