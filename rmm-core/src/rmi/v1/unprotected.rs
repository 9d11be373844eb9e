// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_MAP_UNPROTECTED and RMI_RTT_UNMAP_UNPROTECTED (B4.3.19, B4.3.22).

use super::args::{lock_start_rtt, unprotected};
use super::{Error, Result};
use crate::machine::Machine;
use crate::monitor::ThisCpu;
use crate::rmi::call::Outputs;
use rmm_rtt::NsDesc;

/// RMI_RTT_MAP_UNPROTECTED. The output address need not be memory of the Host: the granule
/// protection check keeps each access of the Realm to it in Non-secure PAS.
pub fn map<M: Machine>(cpu: &ThisCpu<'_, M>, rd: u64, ipa: u64, level: u64, desc: u64) -> Result {
    // rd_align, rd_bound, rd_state
    let ((level, desc), start) = lock_start_rtt(cpu, rd, |stage2| {
        let (level, ipa) = unprotected(stage2, ipa, level)?; // level_bound, ipa_align, ipa_bound
        // attr_valid, addr_align, addr_bound
        let desc = NsDesc::parse(stage2, level, desc).ok_or(Error::Input)?;
        Ok(((level, desc), ipa))
    })?;

    rmm_rtt::map_unprotected(start, cpu.machine, level, desc)?; // rtt_walk, rtte_state
    Ok(())
}

/// RMI_RTT_UNMAP_UNPROTECTED.
pub fn unmap<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    rd: u64,
    ipa: u64,
    level: u64,
    out: &mut Outputs,
) -> Result {
    // rd_align, rd_bound, rd_state, level_bound, ipa_align, ipa_bound
    let (level, start) = lock_start_rtt(cpu, rd, |stage2| unprotected(stage2, ipa, level))?;

    match rmm_rtt::unmap_unprotected(start, cpu.machine, level) {
        Ok(top) => {
            out.x1 = top.as_u64();
            Ok(())
        }
        // rtt_walk, rtte_state
        Err(error) => {
            out.x1 = error.top.as_u64();
            Err(error.into())
        }
    }
}
