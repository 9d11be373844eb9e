// SPDX-License-Identifier: BSD-3-Clause
//! The Unprotected half: memory of the Host.

use crate::entry::{NsDesc, UNASSIGNED_NS, is_unassigned};
use crate::error::{RttError, TopError};
use crate::walk::Root;
use rmm_granule::{Ipa, Memory};

/// Maps the Host's memory at the root's IPA by an entry of `level` (RTT_MAP_UNPROTECTED). `desc`
/// was parsed for that level.
///
/// # Errors
/// The walk ends above `level`, or the entry there is not UNASSIGNED_NS.
#[inline]
pub fn map_unprotected<M: Memory>(
    root: Root<'_>,
    mem: &M,
    level: i8,
    desc: NsDesc,
) -> Result<(), RttError> {
    let mut at = root.walk(mem, level);
    if at.level != level || !is_unassigned(at.desc) || at.is_protected() {
        return Err(at.error());
    }
    at.write(desc.for_level(level));
    Ok(())
}

/// Unmaps the Host's memory from the entry of `level` at the root's IPA
/// (RTT_UNMAP_UNPROTECTED). Returns the `top` output.
///
/// # Errors
/// The walk ends above `level`, or the entry there is not ASSIGNED_NS.
#[inline]
pub fn unmap_unprotected<M: Memory>(root: Root<'_>, mem: &M, level: i8) -> Result<Ipa, TopError> {
    let mut at = root.walk(mem, level);
    if at.level != level || at.is_table() || is_unassigned(at.desc) || at.is_protected() {
        return Err(at.top_error());
    }
    at.write(UNASSIGNED_NS);
    at.invalidate(level);
    Ok(at.top())
}
