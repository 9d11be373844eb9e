// SPDX-License-Identifier: BSD-3-Clause
//! Reading entries: RTT_READ_ENTRY, faults of a Realm, RSI_IPA_STATE_GET.

use crate::entry::{RIPAS, RttEntry, host_view, ripas_of, table_bit};
use crate::scan::first_different;
use crate::stage2::PAGE_LEVEL;
use crate::walk::StartRtt;
use rmm_abi::rmi::{Ripas, RttEntryState};
use rmm_granule::{Ipa, Memory};

/// Outputs of RTT_READ_ENTRY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryReport {
    /// `walk_level`: the level that the walk reached.
    pub level: i8,
    /// `state`.
    pub state: RttEntryState,
    /// `desc`: the physical address and, for ASSIGNED_NS, MemAttr and S2AP, each at its place in a
    /// descriptor; 0 if the entry is not live.
    pub desc: u64,
    /// `ripas`; EMPTY if the entry has none.
    pub ripas: Ripas,
}

/// Reports the entry that a walk to `level` reaches. `level` is one that the Realm has.
#[inline]
pub fn read_entry<M: Memory>(start: StartRtt<'_>, mem: &M, level: i8) -> EntryReport {
    let at = start.walk(mem, level);
    let entry = at.s2.decode(at.desc, at.level, at.is_protected());
    let (state, ripas) = match entry {
        RttEntry::Unassigned { ripas } => (RttEntryState::Unassigned, ripas),
        RttEntry::Assigned { ripas, .. } => (RttEntryState::Assigned, ripas),
        RttEntry::UnassignedNs => (RttEntryState::Unassigned, Ripas::Empty),
        RttEntry::AssignedNs { .. } => (RttEntryState::Assigned, Ripas::Empty),
        RttEntry::Table { .. } => (RttEntryState::Table, Ripas::Empty),
    };
    EntryReport {
        level: at.level,
        state,
        desc: host_view(&at.s2, at.desc, &entry),
        ripas,
    }
}

/// Level and state of the entry that translates the IPA of the walk, or fails to translate it.
///
/// If an access took a translation fault and the entry is ASSIGNED with RIPAS RAM, or ASSIGNED_NS,
/// another CPU has changed the entry since, and the access must be tried again.
#[inline]
pub fn find_entry<M: Memory>(start: StartRtt<'_>, mem: &M) -> (i8, RttEntry) {
    let at = start.walk(mem, PAGE_LEVEL);
    (at.level, at.s2.decode(at.desc, at.level, at.is_protected()))
}

/// Entries that [`ripas_extent`] looks at one by one.
const NEAR: usize = 4;

/// RIPAS at the IPA of the walk, and an IPA above it, at most `top`, up to which the RIPAS is the
/// same (RSI_IPA_STATE_GET). Looks no further than the end of the RTT that the walk reaches. `None`
/// if the IPA is not Protected, or `top` is not above it.
#[inline]
pub fn ripas_extent<M: Memory>(start: StartRtt<'_>, mem: &M, top: Ipa) -> Option<(Ipa, Ripas)> {
    if !start.is_protected() || top <= start.ipa() {
        return None;
    }
    let mut at = start.walk(mem, PAGE_LEVEL);
    let top = top.min(at.s2.protected_end());
    // Entries with the same RIPAS that are not TABLE agree in these bits.
    let key = RIPAS | table_bit(at.level);
    let (index, desc) = (at.index, at.desc);
    let rest = &at.table.entries()[index..];
    // Short extents are frequent, and not worth a group of entries.
    let (near, far) = rest.split_at(rest.len().min(NEAR));
    let differs = |entry: &u64| (entry ^ desc) & key != 0;
    let alike = match near.iter().position(differs) {
        Some(alike) => alike,
        None => first_different(far, desc, key).map_or(rest.len(), |index| near.len() + index),
    };
    Some((at.end_of(alike).min(top), ripas_of(desc)))
}
