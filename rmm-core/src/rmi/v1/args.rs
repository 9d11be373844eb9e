// SPDX-License-Identifier: BSD-3-Clause
//! Arguments that several commands share: IPAs and RTT levels.

use super::{Error, Result, require};
use crate::machine::Machine;
use crate::monitor::ThisCpu;
use crate::realm::Rd;
use rmm_granule::{GRANULE_SIZE, Ipa};
use rmm_rtt::{Stage2, StartRtt, entry_size};

/// Locks the start-level RTT for `ipa`, or fails with `RMI_ERROR_INPUT` if `ipa` is beyond the IPA
/// space.
pub fn start_rtt<'a, M: Machine>(
    cpu: &'a ThisCpu<'_, M>,
    stage2: &Stage2,
    ipa: Ipa,
) -> Result<StartRtt<'a>> {
    rmm_rtt::start_rtt(stage2, cpu.granules(), ipa).ok_or(Error::Input)
}

/// The start of a command that needs only the stage 2 tables of the Realm: locks the RD
/// (`rd_align`, `rd_bound`, `rd_state`), lets `check` validate the other arguments, and exchanges
/// the lock for that of the start-level RTT.
pub fn lock_start_rtt<'a, M: Machine, T>(
    cpu: &'a ThisCpu<'_, M>,
    rd: u64,
    check: impl FnOnce(&Stage2) -> Result<(T, Ipa)>,
) -> Result<(T, StartRtt<'a>)> {
    let mut rd = cpu.granules().lock::<Rd>(rd)?;
    let stage2 = rd.map(cpu.machine).stage2;
    let (checked, ipa) = check(&stage2)?;
    Ok((checked, start_rtt(cpu, &stage2, ipa)?))
}

/// `ipa_align` and `ipa_bound` of a Protected Granule.
pub fn protected(stage2: &Stage2, ipa: u64) -> Result<Ipa> {
    let ipa = aligned(stage2, ipa, GRANULE_SIZE as u64)?;
    require(stage2.is_protected(ipa))?;
    Ok(ipa)
}

/// `ipa_align` and `ipa_bound` of an entry of `size` bytes, anywhere in the IPA space.
pub fn aligned(stage2: &Stage2, ipa: u64, size: u64) -> Result<Ipa> {
    let ipa = Ipa(ipa);
    require(ipa.is_aligned_to(size) && stage2.in_range(ipa))?;
    Ok(ipa)
}

/// `level_bound`, `ipa_align` and `ipa_bound` of an RTT of `level`: the level, and the IPA that its
/// parent's entry translates.
pub fn table(stage2: &Stage2, ipa: u64, level: u64) -> Result<(i8, Ipa)> {
    let level = stage2
        .table_level(level.cast_signed())
        .ok_or(Error::Input)?;
    let ipa = aligned(stage2, ipa, entry_size(level - 1))?;
    Ok((level, ipa))
}

/// `level_bound`, `ipa_align` and `ipa_bound` of an entry of the Unprotected half.
pub fn unprotected(stage2: &Stage2, ipa: u64, level: u64) -> Result<(i8, Ipa)> {
    let level = stage2.leaf_level(level.cast_signed()).ok_or(Error::Input)?;
    let ipa = aligned(stage2, ipa, entry_size(level))?;
    require(stage2.is_unprotected(ipa))?;
    Ok((level, ipa))
}
