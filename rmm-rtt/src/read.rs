// SPDX-License-Identifier: BSD-3-Clause
//! Looking at entries.

use crate::entry::{Entry, RIPAS, host_view, ripas_of, table_bit};
use crate::stage2::PAGE_LEVEL;
use crate::walk::Root;
use rmm_abi::rmi::{Ripas, RttEntryState};
use rmm_granule::{Ipa, Memory};

/// An entry as RTT_READ_ENTRY reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryReport {
    /// `walk_level`: level that the walk reached.
    pub level: i8,
    /// `state`.
    pub state: RttEntryState,
    /// `desc`: address and, for ASSIGNED_NS, MemAttr and S2AP in the layout of a descriptor; else 0.
    pub desc: u64,
    /// `ripas`; EMPTY where an entry has none.
    pub ripas: Ripas,
}

/// Reports the entry that a walk to `level` reaches. `level` is one the Realm has.
#[inline]
pub fn read_entry<M: Memory>(root: Root<'_>, mem: &M, level: i8) -> EntryReport {
    let at = root.walk(mem, level);
    let entry = at.s2.decode(at.desc, at.level, at.is_protected());
    let (state, ripas) = match entry {
        Entry::Unassigned { ripas } => (RttEntryState::Unassigned, ripas),
        Entry::Assigned { ripas, .. } => (RttEntryState::Assigned, ripas),
        Entry::UnassignedNs => (RttEntryState::Unassigned, Ripas::Empty),
        Entry::AssignedNs { .. } => (RttEntryState::Assigned, Ripas::Empty),
        Entry::Table { .. } => (RttEntryState::Table, Ripas::Empty),
    };
    EntryReport {
        level: at.level,
        state,
        desc: host_view(&at.s2, at.desc, &entry),
        ripas,
    }
}

/// Level and state of the entry that translates, or fails to translate, the root's IPA.
///
/// An ASSIGNED entry with RIPAS RAM, or an ASSIGNED_NS one, after a translation fault means that
/// the entry changed in between: the access is to be tried again.
#[inline]
pub fn classify<M: Memory>(root: Root<'_>, mem: &M) -> (i8, Entry) {
    let at = root.walk(mem, PAGE_LEVEL);
    (at.level, at.s2.decode(at.desc, at.level, at.is_protected()))
}

/// RIPAS at the root's IPA, and an IPA above it, at most `top`, up to which it is the same. Looks
/// no further than the end of the RTT that the walk reaches. `None` outside the Protected half, or
/// if `top` is not above the IPA.
#[inline]
pub fn ripas_extent<M: Memory>(root: Root<'_>, mem: &M, top: Ipa) -> Option<(Ipa, Ripas)> {
    if !root.is_protected() || top <= root.ipa() {
        return None;
    }
    let mut at = root.walk(mem, PAGE_LEVEL);
    let top = top.min(at.s2.protected_end());
    let index = at.index;
    // What an entry with the same RIPAS, and no TABLE, agrees in.
    let key = RIPAS | table_bit(at.level);
    let desc = at.desc;
    let differs = |entry: &u64| (entry ^ desc) & key != 0;
    let rest = at.table.entries().get(index..).unwrap_or_default();
    let alike = rest.iter().position(differs).unwrap_or(rest.len());
    Some((at.end_of(alike).min(top), ripas_of(desc)))
}
