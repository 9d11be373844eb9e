// SPDX-License-Identifier: BSD-3-Clause
//! RTT_FOLD: a homogeneous RTT is replaced by one entry.

use crate::entry::{UNASSIGNED_NS, VALID, as_block, is_table, is_unassigned};
use crate::error::RttError;
use crate::scan::{are_equal, is_progression};
use crate::stage2::{ALL_ASSIGNED, INDEX_BITS, Stage2, entry_size};
use crate::walk::StartRtt;
use rmm_granule::{Memory, Pa, RTT_ENTRIES};

/// Folds the RTT of `level` for the IPA of the walk. Returns its Granule, now DELEGATED (the `rtt`
/// output).
///
/// `level` is below the start level.
///
/// # Errors
/// `rtt_walk` and `rtte_state` with the level that the walk reached; `rtt_homo` with `level`.
#[inline]
pub fn fold<M: Memory>(start: StartRtt<'_>, mem: &M, level: i8) -> Result<Pa, RttError> {
    let mut at = start.walk_to_parent(mem, level);
    if !at.is_parent_of(level) {
        return Err(at.error()); // rtt_walk
    }
    if !at.is_table() {
        return Err(at.error()); // rtte_state
    }
    let mut child = at.lock_child().open_table(mem);
    let Some(parent) = folded(&at.s2, child.entries(), level) else {
        return Err(RttError { level }); // rtt_homo
    };

    let child = child.close();
    if parent & VALID != 0 {
        // Break before make: one valid entry replaces another.
        at.write(UNASSIGNED_NS);
        at.invalidate(level);
        at.write(parent);
    } else {
        at.write(parent);
        at.invalidate(level);
    }
    if at.is_protected() && !is_unassigned(parent) {
        // The parent's count stays: TABLE becomes an ASSIGNED entry, and both count.
        child.remove_refs(ALL_ASSIGNED);
    } else {
        at.table.granule().remove_refs(1);
    }
    let rtt = child.pa();
    // SAFETY: no entry refers to the RTT any more, in tables or, after the invalidation, in TLBs.
    drop(unsafe { child.wipe_unused_into_delegated(mem) });
    Ok(rtt)
}

/// The entry that replaces a homogeneous table of `level` (specification A5.5.6); `None` if the
/// table is not homogeneous.
#[inline]
fn folded(s2: &Stage2, table: &[u64; RTT_ENTRIES], level: i8) -> Option<u64> {
    let first = table[0];
    if is_table(first, level) {
        return None;
    }
    let is_homogeneous = if is_unassigned(first) {
        are_equal(table)
    } else {
        let size = entry_size(level);
        // Level 0 has no blocks.
        let may_be_block = level > 1 && s2.output(first).is_aligned_to(size << INDEX_BITS);
        may_be_block && is_progression(table, size)
    };
    is_homogeneous.then(|| as_block(first))
}
