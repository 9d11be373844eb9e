// SPDX-License-Identifier: BSD-3-Clause
//! RTT_CREATE: a new RTT replaces an entry, which is unfolded into it.

use crate::entry::{UNASSIGNED_NS, VALID, at_level, is_unassigned, next_leaf};
use crate::error::RttError;
use crate::stage2::{ALL_ASSIGNED, entry_size};
use crate::walk::StartRtt;
use rmm_granule::{Delegated, Locked, Memory, Rtt};

/// Makes `rtt` the RTT of `level` for the IPA of the walk. Its entries inherit the state of the
/// entry that it replaces.
///
/// `level` is below the start level, and a descriptor of the Realm can hold the address of `rtt`
/// ([`Stage2::can_output`]).
///
/// # Errors
/// `rtt_walk` and `rtte_state`, with the level that the walk reached.
///
/// [`Stage2::can_output`]: crate::Stage2::can_output
#[inline]
pub fn create<M: Memory>(
    start: StartRtt<'_>,
    mem: &M,
    level: i8,
    rtt: Locked<'_, Delegated>,
) -> Result<(), RttError> {
    let mut at = start.walk_to_parent(mem, level);
    if !at.is_parent_of(level) {
        return Err(at.error()); // rtt_walk
    }
    if at.is_table() {
        return Err(at.error()); // rtte_state
    }
    let desc = at.desc;
    let table = at.s2.table(rtt.pa());
    if is_unassigned(desc) {
        // A wiped Granule already is a table of UNASSIGNED, EMPTY or of UNASSIGNED_NS entries.
        let _rtt = if desc == 0 {
            rtt.transition()
        } else {
            filled(rtt, mem, desc, 0)
        };
        at.table.granule().add_refs(1);
        mem.publish_tables();
        at.write(table);
        return Ok(());
    }

    let rtt = filled(rtt, mem, at_level(desc, level), entry_size(level));
    if at.is_protected() {
        // The parent's count stays: an ASSIGNED entry becomes TABLE, and both count.
        rtt.add_refs(ALL_ASSIGNED);
    } else {
        // ASSIGNED_NS does not count, neither here nor in the new RTT.
        at.table.granule().add_refs(1);
    }
    // The entries of the new RTT come before the entry that refers to it.
    mem.publish_tables();
    if desc & VALID != 0 {
        // Break before make.
        at.write(UNASSIGNED_NS);
        at.invalidate(at.level);
    }
    at.write(table);
    Ok(())
}

/// Entries written together.
const STRIDE: usize = 8;

/// Writes a table: entry 0 is `first`, and each other entry is `step` higher than the one before.
#[inline]
fn filled<'t, M: Memory>(
    rtt: Locked<'t, Delegated>,
    mem: &M,
    first: u64,
    step: u64,
) -> Locked<'t, Rtt> {
    let mut table = rtt.new_content::<_, Rtt>(mem);
    let (groups, _) = table.as_chunks_mut::<STRIDE>();
    let mut desc = first;
    for group in groups {
        for entry in group {
            *entry = desc;
            desc = next_leaf(desc, step);
        }
    }
    table.commit()
}
