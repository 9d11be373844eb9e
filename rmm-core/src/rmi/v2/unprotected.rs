// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_UNPROT_MAP and RMI_RTT_UNPROT_UNMAP (B4.5.77, B4.5.78).

use super::address_set::{Report, Sources};
use super::args::{Half, lock_range, range};
use super::{Result, require};
use crate::machine::Machine;
use crate::monitor::ThisCpu;
use crate::realm::Rd;
use crate::rmi::call::Outputs;
use crate::rmi::v1;
use rmm_abi::rmi::v2::{MapFlags, MemoryState, UnmapFlags};
use rmm_rtt::{NsDesc, PAGE_LEVEL};

/// Permissions in the direct encoding.
const WRITE: u64 = 1 << 0;
const READ: u64 = 1 << 1;

/// RMI_RTT_UNPROT_MAP. The addresses need not be memory of the Host: the granule protection check keeps
/// each access of the Realm to them in Non-secure PAS. The state in their descriptors is not looked at,
/// because Hosts differ in its encoding.
pub fn map<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    rd: u64,
    (base, top): (u64, u64),
    flags: u64,
    oaddr: u64,
    out: &mut Outputs,
) -> Result {
    let flags = MapFlags(flags);
    require(flags.is_valid_for_unprotected())?;
    let permissions = flags.permissions();
    require(permissions & !(READ | WRITE) == 0)?; // attr_valid
    // oaddr_type, oaddr_single_align, oaddr_list_align, oaddr_list_pas
    let sources = Sources::read(cpu, flags, oaddr)?;

    let mut rd = cpu.granules().lock::<Rd>(rd)?; // rd_align, rd_bound, rd_state
    let stage2 = rd.map(cpu.machine).stage2;
    // base_align, top_align, size_valid, ipa_bound
    let (base, top) = range(&stage2, Half::Unprotected, base, top)?;
    let descs = |level| {
        sources.blocks(level).map_while(move |pa| {
            NsDesc::new(
                &stage2,
                level,
                pa,
                flags.memory_attribute(),
                permissions & READ != 0,
                permissions & WRITE != 0,
            )
        })
    };
    require(descs(PAGE_LEVEL).next().is_some())?; // attr_valid, addr_bound
    let start = v1::start_rtt(cpu, &stage2, base)?;
    drop(rd);

    // rtte_state, rtte_size
    let out_top = rmm_rtt::map_unprotected_range(start, cpu.machine, sources.level(), top, descs)?;
    out.x1 = out_top.as_u64();
    Ok(())
}

/// RMI_RTT_UNPROT_UNMAP.
pub fn unmap<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    rd: u64,
    range: (u64, u64),
    flags: u64,
    oaddr: u64,
    out: &mut Outputs,
) -> Result {
    // oaddr_align, oaddr_list_pas
    let mut report = Report::new(cpu, UnmapFlags(flags), oaddr, MemoryState::Undelegated)?;
    // rd_align, rd_bound, rd_state, base_align, top_align, size_valid, ipa_bound
    let (start, top) = lock_range(cpu, rd, Half::Unprotected, range)?;

    // rtte_size
    let out_top = rmm_rtt::unmap_unprotected_range(start, cpu.machine, top, |pa, level| {
        report.add(pa, level)
    })?;
    (out.x2, out.x3) = report.finish(cpu);
    out.x1 = out_top.as_u64();
    Ok(())
}
