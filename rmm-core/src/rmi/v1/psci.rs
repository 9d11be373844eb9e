// SPDX-License-Identifier: BSD-3-Clause
//! RMI_PSCI_COMPLETE (B4.3.7).

use super::{Error, Result, require};
use crate::machine::Machine;
use crate::monitor::ThisCpu;
use crate::rec::Rec;
use rmm_rsi::psci::Completion;

/// RMI_PSCI_COMPLETE. Every failure is an error of an input and leaves the request pending.
pub fn complete<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    calling_rec: u64,
    target_rec: u64,
    status: u64,
) -> Result {
    // alias, calling_align, calling_bound, calling_state, target_align, target_bound, target_state
    let (mut calling, mut target) = cpu
        .granules()
        .lock_pair::<Rec, Rec>(calling_rec, target_rec)?;
    // A RUNNING caller has no pending request.
    let mut calling = calling.map(cpu.machine).ok_or(Error::Input)?; // pending
    let (calling_head, calling) = calling.split();
    require(calling.attributes.is_psci_pending())?; // pending
    let (target_rd, index) = {
        let head = target.head(cpu.machine);
        (head.rd(), head.index)
    };
    require(calling_head.rd() == target_rd)?; // owner
    // A RUNNING target is runnable.
    let mut target = target.map(cpu.machine);
    let off = target
        .as_deref_mut()
        .filter(|target| !target.attributes.is_runnable());
    let gprs = &mut calling.context.gprs;
    let completion = rmm_rsi::psci::complete(gprs, index, off.is_none(), status)
        .map_err(|_refused| Error::Input)?; // target, status

    if let (Completion::Start { pc, context_id }, Some(target)) = (completion, off) {
        target.turn_on(index, pc, context_id, calling.context.el1.sctlr);
    }
    calling.attributes.set_psci_pending(false);
    Ok(())
}
