// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_CREATE, RMI_RTT_DESTROY, RMI_RTT_FOLD and RMI_RTT_READ_ENTRY (B4.3.15 to B4.3.17,
//! B4.3.20).

use super::args::{aligned, lock_start_rtt, start_rtt, table};
use super::{Error, Result, require};
use crate::machine::Machine;
use crate::monitor::ThisCpu;
use crate::realm::Rd;
use crate::rmi::call::Outputs;
use rmm_granule::Delegated;
use rmm_rtt::entry_size;

/// RMI_RTT_CREATE.
pub fn create<M: Machine>(cpu: &ThisCpu<'_, M>, rd: u64, rtt: u64, ipa: u64, level: u64) -> Result {
    // rd_align, rd_bound, rd_state, rtt_align, rtt_bound, rtt_state
    let (mut rd, rtt) = cpu.granules().lock_pair::<Rd, Delegated>(rd, rtt)?;
    let stage2 = rd.map(cpu.machine).stage2;
    let (level, ipa) = table(&stage2, ipa, level)?; // level_bound, ipa_align, ipa_bound
    require(stage2.can_output(rtt.pa()))?; // rtt_bound2
    let start = start_rtt(cpu, &stage2, ipa)?;
    drop(rd);

    rmm_rtt::create(start, cpu.machine, level, rtt)?; // rtt_walk, rtte_state
    Ok(())
}

/// RMI_RTT_DESTROY.
pub fn destroy<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    rd: u64,
    ipa: u64,
    level: u64,
    out: &mut Outputs,
) -> Result {
    // rd_align, rd_bound, rd_state, level_bound, ipa_align, ipa_bound
    let (level, start) = lock_start_rtt(cpu, rd, |stage2| table(stage2, ipa, level))?;

    match rmm_rtt::destroy(start, cpu.machine, level) {
        Ok(destroyed) => {
            out.x1 = destroyed.rtt.as_u64();
            out.x2 = destroyed.top.as_u64();
            Ok(())
        }
        // rtt_walk, rtte_state, rtt_live
        Err(error) => {
            out.x2 = error.top.as_u64();
            Err(error.into())
        }
    }
}

/// RMI_RTT_FOLD.
pub fn fold<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    rd: u64,
    ipa: u64,
    level: u64,
    out: &mut Outputs,
) -> Result {
    // rd_align, rd_bound, rd_state, level_bound, ipa_align, ipa_bound
    let (level, start) = lock_start_rtt(cpu, rd, |stage2| table(stage2, ipa, level))?;

    let rtt = rmm_rtt::fold(start, cpu.machine, level)?; // rtt_walk, rtte_state, rtt_homo
    out.x1 = rtt.as_u64();
    Ok(())
}

/// RMI_RTT_READ_ENTRY.
pub fn read_entry<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    rd: u64,
    ipa: u64,
    level: u64,
    out: &mut Outputs,
) -> Result {
    // An output of the command even if it fails.
    out.x4 = Some(0);
    // rd_align, rd_bound, rd_state
    let (level, start) = lock_start_rtt(cpu, rd, |stage2| {
        let level = stage2.any_level(level.cast_signed()).ok_or(Error::Input)?; // level_bound
        let ipa = aligned(stage2, ipa, entry_size(level))?; // ipa_align, ipa_bound
        Ok((level, ipa))
    })?;

    let entry = rmm_rtt::read_entry(start, cpu.machine, level);
    out.x1 = i64::from(entry.level).cast_unsigned();
    out.x2 = entry.state.into();
    out.x3 = entry.desc;
    out.x4 = Some(entry.ripas.into());
    Ok(())
}
