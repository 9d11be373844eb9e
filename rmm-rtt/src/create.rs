// SPDX-License-Identifier: BSD-3-Clause
//! RTT_CREATE: a new table in place of an entry, which is unfolded.

use crate::entry::{UNASSIGNED_NS, VALID, at_level, is_unassigned};
use crate::error::RttError;
use crate::stage2::{ALL_ASSIGNED, ENTRIES, entry_size};
use crate::walk::Root;
use rmm_granule::{Delegated, Locked, Memory, Rtt};

/// Makes `rtt` the RTT of `level` for the root's IPA. Its entries inherit the state of the entry
/// that it replaces.
///
/// `level` is below the start level, and the Realm can address `rtt` ([`Stage2::can_output`]).
///
/// # Errors
/// The walk ends above `level` - 1, or the entry there is TABLE.
///
/// [`Stage2::can_output`]: crate::Stage2::can_output
#[inline]
pub fn create<M: Memory>(
    root: Root<'_>,
    mem: &M,
    level: i8,
    rtt: Locked<'_, Delegated>,
) -> Result<(), RttError> {
    let mut at = root.walk(mem, level.wrapping_sub(1));
    if at.level != level.wrapping_sub(1) || at.is_table() {
        return Err(at.error());
    }
    let desc = at.desc;
    let table = at.s2.table(rtt.pa());
    if is_unassigned(desc) {
        // A wiped Granule is a table of UNASSIGNED, EMPTY or of UNASSIGNED_NS entries.
        let _rtt = if desc == 0 {
            rtt.transition()
        } else {
            filled(rtt, mem, desc, 0)
        };
        at.table.granule().take_ref();
        mem.publish_tables();
        at.write(table);
        return Ok(());
    }

    let rtt = filled(rtt, mem, at_level(desc, level), entry_size(level));
    if at.is_protected() {
        // One live entry gives way to another.
        rtt.take_refs(ALL_ASSIGNED);
    } else {
        at.table.granule().take_ref();
    }
    mem.publish_tables();
    if desc & VALID != 0 {
        at.write(UNASSIGNED_NS);
        at.invalidate(at.level);
    }
    at.write(table);
    Ok(())
}

/// Entries written together.
const STRIDE: usize = 8;

/// A table whose first entry is `first` and whose every other is `step` above the one before.
#[inline(always)]
fn filled<'t, M: Memory>(
    rtt: Locked<'t, Delegated>,
    mem: &M,
    first: u64,
    step: u64,
) -> Locked<'t, Rtt> {
    let mut table = rtt.fill::<_, [u64; ENTRIES]>(mem);
    let (groups, _) = table.as_chunks_mut::<STRIDE>();
    let mut desc = first;
    for group in groups {
        for entry in group {
            *entry = desc;
            desc = desc.wrapping_add(step);
        }
    }
    table.commit()
}
