// SPDX-License-Identifier: BSD-3-Clause
//! RMI_PSCI_COMPLETE (B4.5.38), in the form up to 2.0-bet1, with a target, and in that from 2.0-bet2 on.
//!
//! The second argument is the address of a REC, or a status. No address of a REC is a status: that of
//! address 0 can be none.

use super::{Error, Result, require};
use crate::machine::Machine;
use crate::monitor::ThisCpu;
use crate::rec::{self, Rec, RecBody, RecHead};
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
    let request = {
        let mut calling = cpu.granules().lock::<Rec>(calling)?; // calling_align, calling_bound, calling_state
        // A RUNNING caller has no pending request.
        let mut calling = calling.map(cpu.machine).ok_or(Error::Input)?; // pending
        let (head, calling) = calling.split();
        Request::of(head, calling)?
    };
    // Nothing is locked from here on. Whoever locks the caller next finds out what has changed.
    let target = || rec::find(cpu, request.rd, request.target).map(|target| target.pa().as_u64());
    let without_target = || complete_without_target(cpu, calling, &request, status);
    let Some(found) = target() else {
        return without_target();
    };
    v1::psci_complete(cpu, calling, found, status).or_else(|error| match target() {
        // Destroyed in between.
        None => without_target(),
        Some(_) => Err(error.into()),
    })
}

/// A PSCI request that is pending.
#[derive(PartialEq, Eq)]
struct Request {
    /// RD of the calling REC.
    rd: Pa,
    /// Serial number of the calling REC.
    caller: u64,
    /// Index of the REC that it names.
    target: u64,
}

impl Request {
    /// The request of this REC, which is READY.
    fn of(head: &RecHead, rec: &RecBody) -> Result<Self> {
        // Not a condition of the specification, see `Modes`: a Realm of 1.0 does not know its RECs by index.
        require(head.is_v2())?;
        require(rec.attributes.is_psci_pending())?; // pending
        Ok(Self {
            rd: head.rd(),
            caller: rec.context.serial,
            target: mpidr_el1_to_index(rec.context.gprs[1]),
        })
    }
}

/// Completes a PSCI_CPU_ON whose target is destroyed. It can only be denied.
fn complete_without_target<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    calling: u64,
    request: &Request,
    status: u64,
) -> Result {
    let mut calling = cpu.granules().lock::<Rec>(calling)?;
    let mut calling = calling.map(cpu.machine).ok_or(Error::Input)?;
    let (head, calling) = calling.split();
    // The caller may be another REC by now, or wait for another target. As long as it is the same one, so
    // is its Realm, where no REC gets the index of one that is destroyed.
    require(Request::of(head, calling)? == *request && status == DENIED)?; // status
    let gprs = &mut calling.context.gprs;
    let _unchanged = rmm_rsi::psci::complete(gprs, request.target, false, status)
        .map_err(|_refused| Error::Input)?;

    calling.attributes.set_psci_pending(false);
    Ok(())
}
