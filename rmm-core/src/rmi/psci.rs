// SPDX-License-Identifier: BSD-3-Clause
//! RMI_PSCI_COMPLETE (B4.3.7).

use super::{Error, Result};
use crate::machine::Machine;
use crate::monitor::Cx;
use crate::rec::{Rec, RecHead};
use rmm_granule::Rec as RecState;
use rmm_rsi::psci::Completion;

/// RMI_PSCI_COMPLETE. All failures are inputs', and any of them leaves the request pending.
pub fn complete<M: Machine>(
    cx: &Cx<'_, M>,
    calling_rec: u64,
    target_rec: u64,
    status: u64,
) -> Result {
    let (mut calling, mut target) = cx
        .granules()
        .lock_pair::<RecState, RecState>(calling_rec, target_rec)?;

    // A RUNNING caller has no pending request.
    let mut calling = calling
        .map::<_, RecHead, Rec>(cx.machine)
        .ok_or(Error::Input)?;
    let (calling_head, calling) = calling.split();
    let target_head = target.head::<_, RecHead>(cx.machine).clone();
    if !calling.is_psci_pending() || calling_head.rd() != target_head.rd() {
        return Err(Error::Input);
    }
    // A RUNNING target is runnable.
    let mut target = target.map::<_, RecHead, Rec>(cx.machine);
    let off = target.as_deref_mut().filter(|target| !target.is_runnable());

    let index = target_head.index;
    let gprs = &mut calling.context.gprs;
    let completion = rmm_rsi::psci::complete(gprs, index, off.is_none(), status)
        .map_err(|_refused| Error::Input)?;
    if let (Completion::Start { pc, context_id }, Some(target)) = (completion, off) {
        target.turn_on(index, pc, context_id, calling.context.el1.sctlr);
    }
    calling.set_psci_pending(false);
    Ok(())
}
