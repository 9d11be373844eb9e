// SPDX-License-Identifier: BSD-3-Clause
//! Changes of RIPAS.

use crate::entry::{DESTROYED, RIPAS, VALID, is_unassigned, ripas_of, table_bit, unassigned};
use crate::error::RttError;
use crate::stage2::PAGE_LEVEL;
use crate::walk::Root;
use core::sync::atomic::{AtomicU64, Ordering};
use rmm_abi::rmi::Ripas;
use rmm_granule::{Ipa, Memory};

/// Gives entries from the root's IPA on the RIPAS RAM (RTT_INIT_RIPAS), as far as whole entries of
/// one RTT fit below `top` and none is TABLE. Returns the end of the last of them (`out_top`).
///
/// `measure` is told base and end of each entry, in ascending order, after nothing can fail any
/// more. `top` is not beyond the Protected half.
///
/// # Errors
/// The IPA is not at the start of its entry, the entry is not UNASSIGNED, or it ends beyond `top`.
#[inline]
pub fn init_ripas<M: Memory>(
    root: Root<'_>,
    mem: &M,
    top: Ipa,
    mut measure: impl FnMut(Ipa, Ipa),
) -> Result<Ipa, RttError> {
    let at = root.walk(mem, PAGE_LEVEL);
    let top = top.min(at.s2.protected_end());
    if at.base() != at.ipa || !is_unassigned(at.desc) || at.end() > top {
        return Err(at.error());
    }
    let table_bit = table_bit(at.level);
    let ram = at.s2.assigned_attributes(at.level, Ripas::Ram);
    let address = at.s2.address_mask();
    let mut base = at.base();
    for entry in at.run(at.whole_entries(top)) {
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
        let end = Ipa(base.0.wrapping_add(at.size()));
        measure(base, end);
        base = end;
    }
    mem.publish_tables();
    Ok(base)
}

/// Gives entries from the root's IPA on the RIPAS `ripas`, EMPTY or RAM (RTT_SET_RIPAS), as far as
/// whole entries of one RTT fit below `top` and none is TABLE or, unless `change_destroyed`,
/// DESTROYED. Returns the end of what now has it (`out_top`), at most `top`.
///
/// # Errors
/// The RIPAS of the first entry would have to change, but the IPA is not at its start, it ends
/// beyond `top`, or it is DESTROYED and may not change.
#[inline]
pub fn set_ripas<M: Memory>(
    root: Root<'_>,
    mem: &M,
    top: Ipa,
    ripas: Ripas,
    change_destroyed: bool,
) -> Result<Ipa, RttError> {
    let at = root.walk(mem, PAGE_LEVEL);
    if !at.is_protected() {
        return Err(at.error());
    }
    let top = top.min(at.s2.protected_end());
    if at.base() != at.ipa || at.end() > top {
        // Part of an entry cannot change; what is as it should be is progress.
        return if ripas_of(at.desc) == ripas {
            Ok(at.end().min(top))
        } else {
            Err(at.error())
        };
    }

    let table_bit = table_bit(at.level);
    let assigned = at.s2.assigned_attributes(at.level, ripas);
    let address = at.s2.address_mask();
    let wanted = unassigned(ripas);
    let entries = at.run(at.whole_entries(top));
    let mut done = 0;
    // Entries that were valid and are not any more lie between these two.
    let mut removed: Option<(usize, usize)> = None;
    while let Some(entry) = entries.get(done) {
        let desc = entry.load(Ordering::Relaxed);
        let old = desc & RIPAS;
        if desc & table_bit != 0 || old == DESTROYED && !change_destroyed {
            break;
        }
        let first = done;
        let rest = entries.get(first..).unwrap_or_default();
        if old == wanted {
            done = first.wrapping_add(alter_run(rest, desc, address, 0));
            continue;
        }
        let attributes = if is_unassigned(desc) {
            wanted
        } else {
            assigned
        };
        let change = desc & !address ^ attributes;
        done = first.wrapping_add(alter_run(rest, desc, address, change));
        if desc & VALID != 0 {
            removed = Some((removed.map_or(first, |(first, _)| first), done));
        }
    }
    if done == 0 {
        return Err(at.error());
    }
    mem.publish_tables();
    if let Some((first, last)) = removed {
        let (base, end) = (at.end_of(first), at.end_of(last));
        mem.invalidate_stage2(at.s2.vmid, base, end.0.wrapping_sub(base.0), at.level);
    }
    Ok(at.end_of(done))
}

/// Flips the bits `change` in all entries that come first and equal `like` but for their address;
/// how many those are.
#[inline(always)]
fn alter_run(entries: &[AtomicU64], like: u64, address: u64, change: u64) -> usize {
    let mut count = 0;
    for entry in entries {
        let desc = entry.load(Ordering::Relaxed);
        if (desc ^ like) & !address != 0 {
            break;
        }
        if change != 0 {
            entry.store(desc ^ change, Ordering::Relaxed);
        }
        count += 1;
    }
    count
}
