// SPDX-License-Identifier: BSD-3-Clause
//! RTT_MAP_UNPROTECTED and RTT_UNMAP_UNPROTECTED: memory of the Host in the Unprotected half.

use crate::entry::{NsDesc, UNASSIGNED_NS, is_unassigned};
use crate::error::{RttError, TopError};
use crate::walk::StartRtt;
use rmm_granule::{Ipa, Memory};

/// Writes `desc` to the entry of `level` at the IPA of the walk (RTT_MAP_UNPROTECTED).
///
/// # Errors
/// `rtt_walk` and `rtte_state`, with the level that the walk reached.
///
/// # Panics
/// If `desc` was checked for another level. This is a bug of the caller.
#[inline]
pub fn map_unprotected<M: Memory>(
    start: StartRtt<'_>,
    mem: &M,
    level: i8,
    desc: NsDesc,
) -> Result<(), RttError> {
    let mut at = start.walk(mem, level);
    if at.level != level {
        return Err(at.error()); // rtt_walk
    }
    if !is_unassigned(at.desc) || at.is_protected() {
        return Err(at.error()); // rtte_state
    }
    at.write(desc.for_level(level));
    Ok(())
}

/// Makes the entry of `level` at the IPA of the walk UNASSIGNED_NS (RTT_UNMAP_UNPROTECTED). Returns
/// the `top` output.
///
/// # Errors
/// `rtt_walk` and `rtte_state`, with the level that the walk reached.
#[inline]
pub fn unmap_unprotected<M: Memory>(
    start: StartRtt<'_>,
    mem: &M,
    level: i8,
) -> Result<Ipa, TopError> {
    let mut at = start.walk(mem, level);
    if at.level != level {
        return Err(at.top_error()); // rtt_walk
    }
    if at.is_table() || is_unassigned(at.desc) || at.is_protected() {
        return Err(at.top_error()); // rtte_state
    }
    at.write(UNASSIGNED_NS);
    at.invalidate(level);
    Ok(at.top())
}
