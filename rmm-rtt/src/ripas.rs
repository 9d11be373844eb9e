// SPDX-License-Identifier: BSD-3-Clause
//! Changes of RIPAS.

use crate::entry::{VALID, is_table, is_unassigned, ripas_of, unassigned};
use crate::error::RttError;
use crate::stage2::PAGE_LEVEL;
use crate::walk::Root;
use core::sync::atomic::Ordering;
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
    let mut base = at.base();
    for entry in at.remaining() {
        let end = Ipa(base.0.wrapping_add(at.size()));
        let desc = entry.load(Ordering::Relaxed);
        if end > top || is_table(desc, at.level) {
            break;
        }
        if is_unassigned(desc) {
            entry.store(unassigned(Ripas::Ram), Ordering::Relaxed);
        } else if desc & VALID == 0 {
            let ram = at.s2.assigned_again(desc, at.level, Ripas::Ram);
            entry.store(ram, Ordering::Relaxed);
        }
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

    let (level, size) = (at.level, at.size());
    let mut end = at.base();
    // Range of entries that were valid and are not any more.
    let mut removed: Option<(Ipa, Ipa)> = None;
    for entry in at.remaining() {
        let base = end;
        let next = Ipa(base.0.wrapping_add(size));
        let desc = entry.load(Ordering::Relaxed);
        if next > top || is_table(desc, level) {
            break;
        }
        let old = ripas_of(desc);
        if old == Ripas::Destroyed && !change_destroyed {
            break;
        }
        end = next;
        if old == ripas {
            continue;
        }
        if is_unassigned(desc) {
            entry.store(unassigned(ripas), Ordering::Relaxed);
            continue;
        }
        entry.store(at.s2.assigned_again(desc, level, ripas), Ordering::Relaxed);
        if desc & VALID != 0 {
            removed = Some((removed.map_or(base, |(first, _)| first), next));
        }
    }
    if end == at.base() {
        return Err(at.error());
    }
    mem.publish_tables();
    if let Some((first, last)) = removed {
        mem.invalidate_stage2(at.s2.vmid, first, last.0.wrapping_sub(first.0), level);
    }
    Ok(end)
}
