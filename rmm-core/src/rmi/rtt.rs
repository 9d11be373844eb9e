// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_CREATE, RMI_RTT_DESTROY, RMI_RTT_FOLD and RMI_RTT_READ_ENTRY (B4.3.15 to B4.3.17,
//! B4.3.20).

use super::{Error, Outputs, Result};
use crate::machine::Machine;
use crate::monitor::Cx;
use crate::realm::Realm;
use rmm_granule::{Delegated, GRANULE_SIZE, Ipa, Rd};
use rmm_rtt::{Root, Stage2, entry_size};

/// A result with a value.
pub type Checked<T> = core::result::Result<T, Error>;

impl<M: Machine> Cx<'_, M> {
    /// Locks the start-level RTT for `ipa`, which is within the IPA space or an input error.
    pub fn root(&self, stage2: &Stage2, ipa: Ipa) -> Checked<Root<'_>> {
        rmm_rtt::root(stage2, self.granules(), ipa).ok_or(Error::Input)
    }
}

/// The start of a walk for a command that needs nothing else of the RD: locks it, has `check` find
/// the IPA in its terms, and swaps the lock for that of the start-level RTT.
pub fn walk<'a, M: Machine, T>(
    cx: &'a Cx<'_, M>,
    rd: u64,
    check: impl FnOnce(&Stage2) -> Checked<(T, Ipa)>,
) -> Checked<(T, Root<'a>)> {
    let mut rd = cx.granules().lock::<Rd>(rd)?;
    let stage2 = rd.map::<_, Realm>(cx.machine).stage2;
    let (found, ipa) = check(&stage2)?;
    Ok((found, cx.root(&stage2, ipa)?))
}

/// `ipa_align` and `ipa_bound` for a Granule of the Protected half.
pub fn protected(stage2: &Stage2, ipa: u64) -> Checked<Ipa> {
    let ipa = aligned(stage2, ipa, GRANULE_SIZE as u64)?;
    if stage2.is_protected(ipa) {
        Ok(ipa)
    } else {
        Err(Error::Input)
    }
}

/// `ipa_align` and `ipa_bound` for an entry of this size in bytes, anywhere in the IPA space.
pub fn aligned(stage2: &Stage2, ipa: u64, size: u64) -> Checked<Ipa> {
    let ipa = Ipa(ipa);
    if ipa.is_aligned_to(size) && stage2.in_range(ipa) {
        Ok(ipa)
    } else {
        Err(Error::Input)
    }
}

/// `level_bound`, `ipa_align` and `ipa_bound` for an RTT of `level`: the level, and the IPA that its
/// parent's entry translates.
fn table(stage2: &Stage2, ipa: u64, level: u64) -> Checked<(i8, Ipa)> {
    let level = stage2
        .table_level(level.cast_signed())
        .ok_or(Error::Input)?;
    let ipa = aligned(stage2, ipa, entry_size(level - 1))?;
    Ok((level, ipa))
}

/// RMI_RTT_CREATE.
pub fn create<M: Machine>(cx: &Cx<'_, M>, rd: u64, rtt: u64, ipa: u64, level: u64) -> Result {
    let (mut rd, rtt) = cx.granules().lock_pair::<Rd, Delegated>(rd, rtt)?;
    let stage2 = rd.map::<_, Realm>(cx.machine).stage2;
    let (level, ipa) = table(&stage2, ipa, level)?;
    if !stage2.can_output(rtt.pa()) {
        return Err(Error::Input);
    }
    let root = cx.root(&stage2, ipa)?;
    drop(rd);
    rmm_rtt::create(root, cx.machine, level, rtt)?;
    Ok(())
}

/// RMI_RTT_DESTROY.
pub fn destroy<M: Machine>(
    cx: &Cx<'_, M>,
    rd: u64,
    ipa: u64,
    level: u64,
    out: &mut Outputs,
) -> Result {
    let (level, root) = walk(cx, rd, |stage2| table(stage2, ipa, level))?;
    match rmm_rtt::destroy(root, cx.machine, level) {
        Ok(destroyed) => {
            out.x1 = destroyed.rtt.as_u64();
            out.x2 = destroyed.top.as_u64();
            Ok(())
        }
        Err(error) => {
            out.x2 = error.top.as_u64();
            Err(error.into())
        }
    }
}

/// RMI_RTT_FOLD.
pub fn fold<M: Machine>(
    cx: &Cx<'_, M>,
    rd: u64,
    ipa: u64,
    level: u64,
    out: &mut Outputs,
) -> Result {
    let (level, root) = walk(cx, rd, |stage2| table(stage2, ipa, level))?;
    out.x1 = rmm_rtt::fold(root, cx.machine, level)?.as_u64();
    Ok(())
}

/// RMI_RTT_READ_ENTRY.
pub fn read_entry<M: Machine>(
    cx: &Cx<'_, M>,
    rd: u64,
    ipa: u64,
    level: u64,
    out: &mut Outputs,
) -> Result {
    // An output of the command even when it fails.
    out.x4 = Some(0);
    let (level, root) = walk(cx, rd, |stage2| {
        let level = stage2.any_level(level.cast_signed()).ok_or(Error::Input)?;
        Ok((level, aligned(stage2, ipa, entry_size(level))?))
    })?;
    let entry = rmm_rtt::read_entry(root, cx.machine, level);
    out.x1 = i64::from(entry.level).cast_unsigned();
    out.x2 = entry.state.into();
    out.x3 = entry.desc;
    out.x4 = Some(entry.ripas.into());
    Ok(())
}
