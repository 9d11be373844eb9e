// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_MAP_UNPROTECTED and RMI_RTT_UNMAP_UNPROTECTED (B4.3.19, B4.3.22).

use super::rtt::{Checked, aligned, walk};
use super::{Error, Outputs, Result};
use crate::machine::Machine;
use crate::monitor::Cx;
use rmm_granule::Ipa;
use rmm_rtt::{NsDesc, Stage2, entry_size};

/// `level_bound`, `ipa_align` and `ipa_bound` for an entry of the Unprotected half.
fn leaf(stage2: &Stage2, ipa: u64, level: u64) -> Checked<(i8, Ipa)> {
    let level = stage2.leaf_level(level.cast_signed()).ok_or(Error::Input)?;
    let ipa = aligned(stage2, ipa, entry_size(level))?;
    if stage2.is_unprotected(ipa) {
        Ok((level, ipa))
    } else {
        Err(Error::Input)
    }
}

/// RMI_RTT_MAP_UNPROTECTED. What lies at the output address is the Host's business: the granule
/// protection check keeps a Realm's accesses to it in Non-secure PAS.
pub fn map<M: Machine>(cx: &Cx<'_, M>, rd: u64, ipa: u64, level: u64, desc: u64) -> Result {
    let ((level, desc), root) = walk(cx, rd, |stage2| {
        let (level, ipa) = leaf(stage2, ipa, level)?;
        let desc = NsDesc::parse(stage2, level, desc).ok_or(Error::Input)?;
        Ok(((level, desc), ipa))
    })?;
    rmm_rtt::map_unprotected(root, cx.machine, level, desc)?;
    Ok(())
}

/// RMI_RTT_UNMAP_UNPROTECTED.
pub fn unmap<M: Machine>(
    cx: &Cx<'_, M>,
    rd: u64,
    ipa: u64,
    level: u64,
    out: &mut Outputs,
) -> Result {
    let (level, root) = walk(cx, rd, |stage2| leaf(stage2, ipa, level))?;
    match rmm_rtt::unmap_unprotected(root, cx.machine, level) {
        Ok(top) => {
            out.x1 = top.as_u64();
            Ok(())
        }
        Err(error) => {
            out.x1 = error.top.as_u64();
            Err(error.into())
        }
    }
}
