// SPDX-License-Identifier: BSD-3-Clause
//! RMI_GRANULE_RANGE_DELEGATE, RMI_GRANULE_RANGE_UNDELEGATE and RMI_GRANULE_TRACKING_GET (B4.5.17 to
//! B4.5.19), RMI_GPT_L1_CREATE (B4.5.15), RMI_GPT_INFO.

use super::{Error, Result, require};
use crate::machine::{CpuFeatures, Machine};
use crate::monitor::ThisCpu;
use crate::rmi::call::Outputs;
use crate::rmi::v1;
use rmm_abi::rmi::fid;
use rmm_abi::rmi::v2::{gpt, tracking};
use rmm_granule::GRANULE_SIZE;

/// Most granules of one call. A call also ends when the Host has an interrupt to serve.
const MAX_GRANULES: u64 = 512;

/// Bytes that an entry of the level 0 GPT protects: 1 GiB on all boards.
const L0_GPT_SIZE: u64 = 1 << 30;

const GRANULE: u64 = GRANULE_SIZE as u64;

/// RMI_GRANULE_RANGE_DELEGATE.
pub fn range_delegate<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    base: u64,
    top: u64,
    out: &mut Outputs,
) -> Result {
    // gran_bound, gran_state, gran_gpt
    let delegate = |addr| v1::succeeds(cpu, fid::RMI_GRANULE_DELEGATE, addr);
    out.x1 = each_granule(cpu, base, top, delegate)?;
    Ok(())
}

/// RMI_GRANULE_RANGE_UNDELEGATE. It passes over granules that are UNDELEGATED already: Linux
/// undelegates a range of which it does not know how much it has delegated.
pub fn range_undelegate<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    base: u64,
    top: u64,
    out: &mut Outputs,
) -> Result {
    // gran_bound, gran_state
    let undelegate = |addr| {
        v1::succeeds(cpu, fid::RMI_GRANULE_UNDELEGATE, addr)
            || cpu.granules().ns_granule(addr).is_ok()
    };
    out.x1 = each_granule(cpu, base, top, undelegate)?;
    Ok(())
}

/// Calls `step` for the granules of `[base, top)`, and returns where it ended. Fails only if the first
/// step does; a later failure ends the call before that granule. A step is the command of 1.0 for one
/// granule.
fn each_granule<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    base: u64,
    top: u64,
    step: impl Fn(u64) -> bool,
) -> Result<u64> {
    require(base.is_multiple_of(GRANULE) && top.is_multiple_of(GRANULE))?; // base_align, top_align
    require(top > base)?; // size_valid
    let last = top.min(base.saturating_add(MAX_GRANULES * GRANULE));

    let mut next = base;
    while step(next) {
        next += GRANULE;
        if next == last || cpu.machine.interrupt_pending() {
            break;
        }
    }
    require(next > base)?;
    Ok(next)
}

/// RMI_GRANULE_TRACKING_GET, in any state of the RMM: Hosts call it before RMI_RMM_ACTIVATE, too. Each
/// granule that can be delegated is tracked by itself, from the boot on.
pub fn tracking_get<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    base: u64,
    top: u64,
    out: &mut Outputs,
) -> Result {
    require(base.is_multiple_of(GRANULE) && top.is_multiple_of(GRANULE))?; // base_align, top_align
    require(top > base && top <= pa_end(cpu.features()))?; // size_valid, base_bound, top_bound

    let (is_delegable, end) = cpu.granules().delegable_extent(base, top);
    out.x1 = tracking::CONVENTIONAL;
    out.x2 = if is_delegable {
        tracking::FINE
    } else {
        tracking::RESERVED
    };
    out.x3 = end;
    Ok(())
}

/// RMI_GPT_INFO: the firmware has made all level 1 tables.
pub fn gpt_info<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    base: u64,
    top: u64,
    out: &mut Outputs,
) -> Result {
    require(base.is_multiple_of(L0_GPT_SIZE) && top.is_multiple_of(L0_GPT_SIZE))?; // base_align, top_align
    require(top > base && base < pa_end(cpu.features()))?; // size_valid, base_bound

    out.x1 = top;
    out.x2 = gpt::PLATFORM;
    Ok(())
}

/// RMI_GPT_L1_CREATE: the table is there already.
pub fn gpt_l1_create<M: Machine>(cpu: &ThisCpu<'_, M>, addr: u64) -> Result {
    require(addr.is_multiple_of(L0_GPT_SIZE))?; // addr_align
    require(addr < pa_end(cpu.features()))?; // addr_bound
    Err(Error::Gpt) // l0gpt_state
}

/// First address beyond the physical address space.
fn pa_end(features: &CpuFeatures) -> u64 {
    1 << (features.pa_bits & 63)
}
