// SPDX-License-Identifier: BSD-3-Clause
//! RMI_GRANULE_DELEGATE and RMI_GRANULE_UNDELEGATE (B4.3.5, B4.3.6).

use super::{Error, Result};
use crate::machine::Machine;
use crate::monitor::ThisCpu;
use crate::pas;
use rmm_granule::{Delegated, Undelegated};

/// RMI_GRANULE_DELEGATE.
pub fn delegate<M: Machine>(cpu: &ThisCpu<'_, M>, addr: u64) -> Result {
    let granule = cpu.granules().lock::<Undelegated>(addr)?; // gran_align, gran_bound, gran_state

    pas::delegate(cpu, granule).map_err(|_| Error::Input) // gran_gpt
}

/// RMI_GRANULE_UNDELEGATE.
pub fn undelegate<M: Machine>(cpu: &ThisCpu<'_, M>, addr: u64) -> Result {
    let granule = cpu.granules().lock::<Delegated>(addr)?; // gran_align, gran_bound, gran_state

    pas::undelegate(cpu, granule);
    Ok(())
}
