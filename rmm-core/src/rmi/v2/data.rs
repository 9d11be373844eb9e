// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_DATA_MAP and RMI_RTT_DATA_UNMAP (B4.5.65, B4.5.67). RMI_RTT_DATA_MAP_INIT is RMI_DATA_CREATE of
//! 1.0.

use super::address_set::{Report, Sources};
use super::args::{Half, lock_range, range};
use super::{Error, Result, require};
use crate::machine::Machine;
use crate::monitor::ThisCpu;
use crate::realm::{Rd, RealmState};
use crate::rmi::call::Outputs;
use crate::rmi::v1;
use rmm_abi::rmi::v2::{MapFlags, MemoryState, UnmapFlags};

/// RMI_RTT_DATA_MAP.
pub fn map<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    rd: u64,
    (base, top): (u64, u64),
    flags: u64,
    oaddr: u64,
    out: &mut Outputs,
) -> Result {
    require(MapFlags(flags).is_valid_for_data())?;
    // oaddr_type, oaddr_single_align, oaddr_list_align, oaddr_list_pas
    let sources = Sources::read(cpu, MapFlags(flags), oaddr)?;
    require(sources.is_delegated())?; // gran_state

    let mut rd = cpu.granules().lock::<Rd>(rd)?; // rd_align, rd_bound, rd_state
    let realm = rd.map(cpu.machine);
    let stage2 = realm.stage2;
    if !matches!(realm.state(), RealmState::New | RealmState::Active) {
        return Err(Error::Realm); // Not a condition of the specification.
    }
    drop(realm);
    // base_align, top_align, size_valid, ipa_bound
    let (base, top) = range(&stage2, Half::Protected, base, top)?;
    let start = v1::start_rtt(cpu, &stage2, base)?;
    drop(rd);

    // rtte_state, rtte_size, gran_state
    let out_top = rmm_rtt::map_data_range(
        start,
        cpu.machine,
        sources.level(),
        top,
        |level| sources.blocks(level),
        |content| cpu.machine.publish_instructions(content),
        || cpu.machine.interrupt_pending(),
    )?;
    out.x1 = out_top.as_u64();
    Ok(())
}

/// RMI_RTT_DATA_UNMAP.
pub fn unmap<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    rd: u64,
    range: (u64, u64),
    flags: u64,
    oaddr: u64,
    out: &mut Outputs,
) -> Result {
    // oaddr_align, oaddr_list_pas
    let mut report = Report::new(cpu, UnmapFlags(flags), oaddr, MemoryState::Delegated)?;
    // rd_align, rd_bound, rd_state, base_align, top_align, size_valid, ipa_bound
    let (start, top) = lock_range(cpu, rd, Half::Protected, range)?;

    // rtte_size
    let out_top = rmm_rtt::unmap_data_range(
        start,
        cpu.machine,
        top,
        |pa, level| report.add(pa, level),
        || cpu.machine.interrupt_pending(),
    )?;
    (out.x2, out.x3) = report.finish(cpu);
    out.x1 = out_top.as_u64();
    Ok(())
}
