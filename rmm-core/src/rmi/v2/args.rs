// SPDX-License-Identifier: BSD-3-Clause
//! Arguments that several commands share: IPA ranges.

use super::{Result, require};
use crate::machine::Machine;
use crate::monitor::ThisCpu;
use crate::realm::Rd;
use crate::rmi::v1;
use rmm_granule::{GRANULE_SIZE, Ipa};
use rmm_rtt::{Stage2, StartRtt};

/// Half of the IPA space.
#[derive(Clone, Copy)]
pub enum Half {
    /// Protected.
    Protected,
    /// Unprotected.
    Unprotected,
}

/// `base_align`, `top_align`, `size_valid` and `ipa_bound` of a range in one half of the IPA space.
pub fn range(stage2: &Stage2, half: Half, base: u64, top: u64) -> Result<(Ipa, Ipa)> {
    let granule = GRANULE_SIZE as u64;
    require(base.is_multiple_of(granule) && top.is_multiple_of(granule))?;
    require(top > base)?;
    // `top` is above `base` and so at least a Granule.
    let last = Ipa(top - granule);
    let base = Ipa(base);
    require(match half {
        Half::Protected => stage2.is_protected(last),
        Half::Unprotected => stage2.is_unprotected(base) && stage2.in_range(last),
    })?;
    Ok((base, Ipa(top)))
}

/// The start of a command that unmaps a range: exchanges the lock of the RD for that of the start-level
/// RTT, and returns the end of the range.
pub fn lock_range<'a, M: Machine>(
    cpu: &'a ThisCpu<'_, M>,
    rd: u64,
    half: Half,
    (base, top): (u64, u64),
) -> Result<(StartRtt<'a>, Ipa)> {
    let mut rd = cpu.granules().lock::<Rd>(rd)?; // rd_align, rd_bound, rd_state
    let stage2 = rd.map(cpu.machine).stage2;
    // base_align, top_align, size_valid, ipa_bound
    let (base, top) = range(&stage2, half, base, top)?;
    Ok((v1::start_rtt(cpu, &stage2, base)?, top))
}
