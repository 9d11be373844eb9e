// SPDX-License-Identifier: BSD-3-Clause
//! The RTTs of one Realm as the specification defines them (A5.3, A5.5): HIPAS, RIPAS and
//! addresses.

use rmm_core::fake::EntryReport;
use std::collections::BTreeMap;

/// RIPAS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ripas {
    Empty,
    Ram,
    Destroyed,
}

/// State of an RTT entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Unassigned(Ripas),
    Assigned(Ripas, u64),
    UnassignedNs,
    /// MemAttr and S2AP at their bits of a descriptor, and the output address.
    AssignedNs(u64, u64),
    Table(u64),
}

use Entry::{Assigned, AssignedNs, Table, Unassigned, UnassignedNs};

impl Entry {
    /// Whether the entry is live: it has an address (A5.5.8).
    pub fn is_live(self) -> bool {
        !matches!(self, Unassigned(_) | UnassignedNs)
    }

    /// Whether the entry makes its RTT live.
    pub fn holds_rtt(self) -> bool {
        matches!(self, Assigned(..) | Table(_))
    }

    pub fn ripas(self) -> Option<Ripas> {
        match self {
            Unassigned(ripas) | Assigned(ripas, _) => Some(ripas),
            _ => None,
        }
    }

    /// The entry with another RIPAS.
    pub fn with_ripas(self, ripas: Ripas) -> Self {
        match self {
            Unassigned(_) => Unassigned(ripas),
            Assigned(_, pa) => Assigned(ripas, pa),
            other => other,
        }
    }

    /// The entry of the RTT below, `offset` bytes into this entry, after unfolding.
    fn child(self, offset: u64) -> Self {
        match self {
            Assigned(ripas, pa) => Assigned(ripas, pa + offset),
            AssignedNs(attributes, pa) => AssignedNs(attributes, pa + offset),
            other => other,
        }
    }
}

/// One RTT.
pub struct Rtt {
    pub pa: u64,
    pub entries: Vec<Entry>,
}

/// Where a walk ended.
#[derive(Clone, Copy, Debug)]
pub struct At {
    pub level: i64,
    /// First IPA of the RTT.
    pub table: u64,
    pub index: usize,
    pub entry: Entry,
}

impl At {
    /// First IPA of the entry.
    pub fn base(&self) -> u64 {
        self.table + self.index as u64 * size(self.level)
    }

    /// First IPA behind the entry.
    pub fn end(&self) -> u64 {
        self.base() + size(self.level)
    }
}

/// Bytes that one entry of a level translates.
pub fn size(level: i64) -> u64 {
    4096 << (9 * (3 - level))
}

/// The RTTs of a Realm.
pub struct Tables {
    pub s2sz: u8,
    pub start_level: i64,
    pub lpa2: bool,
    /// By level and first IPA.
    pub rtts: BTreeMap<(i64, u64), Rtt>,
}

impl Tables {
    /// Start-level RTTs after RMI_REALM_CREATE.
    pub fn new(s2sz: u8, start_level: i64, start: &[u64], lpa2: bool) -> Self {
        let mut tables = Self {
            s2sz,
            start_level,
            lpa2,
            rtts: BTreeMap::new(),
        };
        for (n, pa) in start.iter().enumerate() {
            let first = n as u64 * 512 * size(start_level);
            let entries = (0..512).map(|n| {
                if tables.is_protected(first + n * size(start_level)) {
                    Unassigned(Ripas::Empty)
                } else {
                    UnassignedNs
                }
            });
            let rtt = Rtt {
                pa: *pa,
                entries: entries.collect(),
            };
            tables.rtts.insert((start_level, first), rtt);
        }
        tables
    }

    /// First Unprotected IPA.
    pub fn half(&self) -> u64 {
        1 << (self.s2sz - 1)
    }

    /// First IPA beyond the IPA space.
    pub fn end(&self) -> u64 {
        1 << self.s2sz
    }

    pub fn is_protected(&self, ipa: u64) -> bool {
        ipa < self.half()
    }

    pub fn is_level(&self, level: i64) -> bool {
        (self.start_level..=3).contains(&level)
    }

    /// A walk towards a level for an IPA below [`Tables::end`] (A5.5.10).
    pub fn walk(&self, ipa: u64, target: i64) -> At {
        let mut level = self.start_level;
        loop {
            let table = ipa & !(512 * size(level) - 1);
            let rtt = &self.rtts[&(level, table)];
            let index = ((ipa - table) / size(level)) as usize;
            let entry = rtt.entries[index];
            if matches!(entry, Table(_)) && level < target {
                level += 1;
                continue;
            }
            return At {
                level,
                table,
                index,
                entry,
            };
        }
    }

    /// Sets the entry where a walk ended.
    pub fn set(&mut self, at: &At, entry: Entry) {
        let rtt = self.rtts.get_mut(&(at.level, at.table));
        rtt.expect("a walk ended there").entries[at.index] = entry;
    }

    /// The `top` output of a command whose walk for `ipa` ended here, with the current entries.
    pub fn top(&self, at: &At, ipa: u64) -> u64 {
        let entries = &self.rtts[&(at.level, at.table)].entries;
        if entries[at.index].is_live() {
            return ipa;
        }
        let live = (at.index..512).find(|&n| entries[n].is_live());
        at.table + live.unwrap_or(512) as u64 * size(at.level)
    }

    /// RMI_RTT_CREATE: replaces the entry by an RTT at `pa`.
    pub fn unfold(&mut self, at: &At, pa: u64) {
        let child = size(at.level + 1);
        let entries = (0..512).map(|n| at.entry.child(n * child)).collect();
        self.rtts
            .insert((at.level + 1, at.base()), Rtt { pa, entries });
        self.set(at, Table(pa));
    }

    /// Whether the RTT below the entry is live (A5.5.8).
    pub fn child_is_live(&self, at: &At) -> bool {
        let child = &self.rtts[&(at.level + 1, at.base())];
        child.entries.iter().any(|entry| entry.holds_rtt())
    }

    /// The entry that the RTT below this one folds to; `None` if it is not homogeneous (A5.5.6).
    pub fn folded(&self, at: &At) -> Option<Entry> {
        let level = at.level + 1;
        let entries = &self.rtts[&(level, at.base())].entries;
        let first = entries[0];
        match first {
            Table(_) => return None,
            Assigned(_, pa) | AssignedNs(_, pa)
                if level < 2 || !pa.is_multiple_of(size(at.level)) =>
            {
                return None;
            }
            _ => {}
        }
        let alike = |n: usize| entries[n] == first.child(n as u64 * size(level));
        (0..512).all(alike).then_some(first)
    }

    /// Removes the RTT below the entry and sets the entry. Returns the address of the RTT.
    pub fn remove_child(&mut self, at: &At, entry: Entry) -> u64 {
        let child = self.rtts.remove(&(at.level + 1, at.base()));
        self.set(at, entry);
        child.expect("a table").pa
    }

    /// Outputs of RMI_RTT_READ_ENTRY.
    pub fn report(&self, at: &At) -> EntryReport {
        match at.entry {
            Unassigned(ripas) => EntryReport::unassigned(at.level, ripas as u64),
            Assigned(ripas, pa) => EntryReport::assigned(at.level, self.address(pa), ripas as u64),
            UnassignedNs => EntryReport::unassigned(at.level, 0),
            AssignedNs(attributes, pa) => {
                EntryReport::assigned(at.level, attributes | self.address(pa), 0)
            }
            Table(pa) => EntryReport::table(at.level, self.address(pa)),
        }
    }

    /// Bits of an address in a descriptor.
    pub fn address(&self, pa: u64) -> u64 {
        if self.lpa2 {
            pa & ((1 << 50) - 1) | pa >> 50 << 8
        } else {
            pa
        }
    }

    /// The descriptor that hardware reads; `None` if it is not valid (A5.5.11).
    pub fn descriptor(&self, level: i64, entry: Entry) -> Option<u64> {
        const AF: u64 = 1 << 10;
        let leaf = if level == 3 { 3 } else { 1 };
        let share = |cacheable| match (self.lpa2, cacheable) {
            (true, _) => 0,
            (false, true) => 3 << 8,
            (false, false) => 2 << 8,
        };
        match entry {
            Assigned(Ripas::Ram, pa) => {
                Some(self.address(pa) | leaf | 6 << 2 | 3 << 6 | share(true) | AF)
            }
            AssignedNs(attributes, pa) => {
                let cacheable = attributes >> 3 & 3 == 3;
                let fixed = AF | 1 << 54 | 1 << 55 | leaf;
                Some(self.address(pa) | attributes | share(cacheable) | fixed)
            }
            Table(pa) => Some(self.address(pa) | 3),
            _ => None,
        }
    }
}
