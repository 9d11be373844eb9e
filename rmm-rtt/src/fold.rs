// SPDX-License-Identifier: BSD-3-Clause
//! RTT_FOLD: a homogeneous table gives way to one entry.

use crate::entry::{UNASSIGNED_NS, VALID, at_level, is_table, is_unassigned};
use crate::error::RttError;
use crate::stage2::{ALL_ASSIGNED, ENTRIES, Stage2, entry_size};
use crate::walk::Root;
use rmm_granule::{Memory, Pa};

/// Folds the RTT of `level` for the root's IPA and returns the Granule it was in, now DELEGATED.
///
/// `level` is below the start level.
///
/// # Errors
/// The walk ends above `level` - 1, the entry there is not TABLE, or (with `level`) the RTT is not
/// homogeneous.
#[inline]
pub fn fold<M: Memory>(root: Root<'_>, mem: &M, level: i8) -> Result<Pa, RttError> {
    let mut at = root.walk(mem, level.wrapping_sub(1));
    if at.level != level.wrapping_sub(1) || !at.is_table() {
        return Err(at.error());
    }
    let mut child = at.lock_child().open_table(mem);
    let parent = common_entry(&at.s2, child.entries(), level).ok_or(RttError { level })?;

    let child = child.close();
    if parent & VALID != 0 {
        at.write(UNASSIGNED_NS);
        at.invalidate(level);
        at.write(parent);
    } else {
        at.write(parent);
        at.invalidate(level);
    }
    if at.is_protected() && !is_unassigned(parent) {
        // The entry stays live.
        child.put_refs(ALL_ASSIGNED);
    } else {
        at.table.granule().put_ref();
    }
    let rtt = child.pa();
    drop(child.wipe_into_delegated(mem));
    Ok(rtt)
}

/// The entry of `level` - 1 that stands for a homogeneous table of `level`; `None` if it is not.
#[inline(always)]
fn common_entry(s2: &Stage2, table: &[u64; ENTRIES], level: i8) -> Option<u64> {
    let first = table[0];
    if is_table(first, level) {
        return None;
    }
    let step = if is_unassigned(first) {
        0
    } else {
        let aligned = s2
            .output(first)
            .is_aligned_to(entry_size(level.wrapping_sub(1)));
        if level < 2 || !aligned {
            return None;
        }
        entry_size(level)
    };
    is_progression(table, first, step).then(|| at_level(first, level.wrapping_sub(1)))
}

/// Entries compared together.
const STRIDE: usize = 8;

/// Whether each entry is `step` above the one before.
#[inline(always)]
fn is_progression(table: &[u64; ENTRIES], first: u64, step: u64) -> bool {
    let (groups, _) = table.as_chunks::<STRIDE>();
    let mut expected = first;
    groups.iter().all(|group| {
        let mut difference = 0;
        for entry in group {
            difference |= entry ^ expected;
            expected = expected.wrapping_add(step);
        }
        difference == 0
    })
}
