// SPDX-License-Identifier: BSD-3-Clause
//! RTT_INIT_RIPAS and RTT_SET_RIPAS.

use crate::entry::{DESTROYED, RIPAS, VALID, is_unassigned, ripas_of, table_bit, unassigned};
use crate::error::RttError;
use crate::scan::flip_run;
use crate::stage2::{PAGE_LEVEL, entry_size};
use crate::walk::StartRtt;
use core::sync::atomic::Ordering;
use rmm_abi::rmi::Ripas;
use rmm_granule::{Ipa, Memory};

/// Changes RIPAS to RAM (RTT_INIT_RIPAS) in consecutive entries of one RTT, from the IPA of the walk
/// (`base`) up to the first entry that is TABLE or ends beyond `top`. Returns the end of the last
/// entry changed (the `out_top` output).
///
/// Calls `measure` with base and end of each entry, in ascending order, once nothing can fail any
/// more. `top` is at most the end of the Protected half.
///
/// # Errors
/// `base_align`, `rtte_state` and `no_progress`, with the level that the walk reached.
#[inline]
pub fn init_ripas<M: Memory>(
    start: StartRtt<'_>,
    mem: &M,
    top: Ipa,
    mut measure: impl FnMut(Ipa, Ipa),
) -> Result<Ipa, RttError> {
    let at = start.walk(mem, PAGE_LEVEL);
    let top = top.min(at.s2.protected_end());
    if at.base() != at.ipa {
        return Err(at.error()); // base_align
    }
    if !is_unassigned(at.desc) {
        return Err(at.error()); // rtte_state
    }
    if at.end() > top {
        return Err(at.error()); // no_progress
    }
    let table_bit = table_bit(at.level);
    let ram = at.s2.assigned_attributes(at.level, Ripas::Ram);
    let address = at.s2.address_mask();
    let size = entry_size(at.level);
    let mut base = at.base();
    for entry in at.entries_below(top) {
        let desc = entry.load(Ordering::Relaxed);
        if desc & table_bit != 0 {
            break;
        }
        let attributes = if is_unassigned(desc) {
            unassigned(Ripas::Ram)
        } else {
            ram
        };
        entry.store(desc & address | attributes, Ordering::Relaxed);
        let end = Ipa(base.0 + size);
        measure(base, end);
        base = end;
    }
    mem.publish_tables();
    Ok(base)
}

/// Who asks for a change of RIPAS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The Host, of a new Realm (RTT_INIT_RIPAS of RMI 2.0). Entries are whole, and stay DESTROYED: what
    /// the Realm was to find there is gone, and nothing but its RIPAS shows that.
    Initial,
    /// The Realm (RTT_SET_RIPAS). An entry that has the RIPAS already need not be whole.
    Requested {
        /// Whether entries that are DESTROYED change, too.
        destroyed: bool,
    },
}

/// Changes RIPAS to `ripas`, EMPTY or RAM, in consecutive entries of one RTT, from the IPA of the walk
/// (`base`) up to the first entry that is TABLE, ends beyond `top` or must stay DESTROYED. Returns the
/// end of the range that now has this RIPAS (the `out_top` output), at most `top`.
///
/// # Errors
/// `base_align` and `no_progress`, with the level that the walk reached.
#[inline]
pub fn set_ripas<M: Memory>(
    start: StartRtt<'_>,
    mem: &M,
    top: Ipa,
    ripas: Ripas,
    change: Change,
) -> Result<Ipa, RttError> {
    let at = start.walk(mem, PAGE_LEVEL);
    if !at.is_protected() {
        // No condition of the specification: a Realm can only ask for Protected IPAs.
        return Err(at.error());
    }
    let top = top.min(at.s2.protected_end());
    let is_part = at.base() != at.ipa || at.end() > top;
    if is_part && (change == Change::Initial || ripas_of(at.desc) != ripas) {
        return Err(at.error()); // base_align, no_progress
    }
    if is_part {
        // The entry cannot change in part, and need not.
        return Ok(at.end().min(top));
    }

    let change_destroyed = change == Change::Requested { destroyed: true };
    let table_bit = table_bit(at.level);
    let assigned = at.s2.assigned_attributes(at.level, ripas);
    let address = at.s2.address_mask();
    let wanted = unassigned(ripas);
    let entries = at.entries_below(top);
    let mut done = 0;
    // From the first to beyond the last entry that was valid and is not any more.
    let mut removed: Option<(usize, usize)> = None;
    while let Some(entry) = entries.get(done) {
        let desc = entry.load(Ordering::Relaxed);
        let old = desc & RIPAS;
        if desc & table_bit != 0 || old == DESTROYED && !change_destroyed {
            break;
        }
        let first = done;
        let rest = &entries[first..];
        if old == wanted {
            done += flip_run(rest, desc, address, 0);
            continue;
        }
        let attributes = if is_unassigned(desc) {
            wanted
        } else {
            assigned
        };
        let change = desc & !address ^ attributes;
        done += flip_run(rest, desc, address, change);
        if desc & VALID != 0 {
            removed = Some((removed.map_or(first, |(first, _)| first), done));
        }
    }
    if done == 0 {
        return Err(at.error()); // no_progress
    }
    mem.publish_tables();
    if let Some((first, last)) = removed {
        let (base, end) = (at.end_of(first), at.end_of(last));
        mem.invalidate_stage2(at.s2.vmid, base, end.0 - base.0, at.level);
    }
    Ok(at.end_of(done))
}
