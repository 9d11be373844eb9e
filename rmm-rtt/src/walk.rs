// SPDX-License-Identifier: BSD-3-Clause
//! The RTT walk, hand over hand.

use crate::entry::{LIVE, is_table};
use crate::error::{RttError, TopError};
use crate::stage2::{ENTRIES, Stage2, entry_size, index, shift};
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use rmm_granule::{GranuleTable, Ipa, Locked, Memory, OpenRtt, Pa, Rtt};

/// The start of a walk: the start-level RTT for an IPA, locked.
#[must_use = "the RTT is unlocked at once"]
pub struct Root<'t> {
    s2: Stage2,
    granules: &'t GranuleTable,
    table: Locked<'t, Rtt>,
    ipa: Ipa,
}

impl fmt::Debug for Root<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root({:#x} in {:?})", self.ipa, self.table)
    }
}

/// Locks the start-level RTT for `ipa`; `None` if `ipa` is not below 2^ipa_width.
///
/// The Realm is alive: the caller has its RD locked, or holds one of its RECs. From here on the RD
/// may be unlocked.
#[inline(always)]
pub fn root<'t>(s2: &Stage2, granules: &'t GranuleTable, ipa: Ipa) -> Option<Root<'t>> {
    if !s2.in_range(ipa) {
        return None;
    }
    let table = lock_table(granules, s2.start_table(ipa));
    Some(Root {
        s2: *s2,
        granules,
        table,
        ipa,
    })
}

/// Locks an RTT that a live Realm or a locked RTT refers to.
#[inline(always)]
pub(crate) fn lock_table(granules: &GranuleTable, pa: Pa) -> Locked<'_, Rtt> {
    granules.lock(pa.0).expect("an RTT")
}

impl<'t> Root<'t> {
    /// The IPA that the walk is for.
    #[must_use]
    pub fn ipa(&self) -> Ipa {
        self.ipa
    }

    /// Whether that IPA is in the Protected half.
    #[inline(always)]
    pub(crate) fn is_protected(&self) -> bool {
        self.s2.is_protected(self.ipa)
    }

    /// Walks down to `target` or to the first entry that is not TABLE. `target` is not above the
    /// start level.
    #[inline(always)]
    pub(crate) fn walk<'m, M: Memory>(self, mem: &'m M, target: i8) -> At<'t, 'm, M> {
        let Self {
            s2,
            granules,
            table,
            ipa,
        } = self;
        let mut level = s2.start_level;
        let mut table = table.open_table(mem);
        loop {
            let index = index(ipa, level);
            let desc = table[index].load(Ordering::Relaxed);
            if level >= target || !is_table(desc, level) {
                return At {
                    s2,
                    granules,
                    mem,
                    table,
                    level,
                    index,
                    desc,
                    ipa,
                };
            }
            let child = lock_table(granules, s2.output(desc));
            drop(table);
            table = child.open_table(mem);
            level = level.wrapping_add(1);
        }
    }
}

/// The end of a walk: an entry of a locked RTT.
pub(crate) struct At<'t, 'm, M: Memory> {
    pub(crate) s2: Stage2,
    pub(crate) granules: &'t GranuleTable,
    pub(crate) mem: &'m M,
    pub(crate) table: OpenRtt<'t, 'm, M>,
    /// Level of the RTT reached.
    pub(crate) level: i8,
    /// Index of the entry, below [`ENTRIES`].
    pub(crate) index: usize,
    /// The entry as the walk found it.
    pub(crate) desc: u64,
    /// The IPA asked for.
    pub(crate) ipa: Ipa,
}

impl<'t, M: Memory> At<'t, '_, M> {
    /// Bytes that the entry translates.
    #[inline(always)]
    pub(crate) fn size(&self) -> u64 {
        entry_size(self.level)
    }

    /// First IPA that the entry translates.
    #[inline(always)]
    pub(crate) fn base(&self) -> Ipa {
        self.ipa.align_down(self.size())
    }

    /// IPA after the last that the entry translates.
    #[inline(always)]
    pub(crate) fn end(&self) -> Ipa {
        Ipa(self.base().0.wrapping_add(self.size()))
    }

    /// Whether the entry is in the Protected half.
    #[inline(always)]
    pub(crate) fn is_protected(&self) -> bool {
        self.s2.is_protected(self.ipa)
    }

    /// Whether the entry is TABLE.
    #[inline(always)]
    pub(crate) fn is_table(&self) -> bool {
        is_table(self.desc, self.level)
    }

    /// How many entries from this one on are whole below `top` and in this RTT.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn whole_entries(&self, top: Ipa) -> usize {
        let bytes = top.0.saturating_sub(self.base().0);
        let in_table = ENTRIES.saturating_sub(self.index);
        (bytes.wrapping_shr(shift(self.level)) as usize).min(in_table)
    }

    /// This entry and the `count` - 1 after it, which the RTT has.
    #[inline(always)]
    pub(crate) fn run(&self, count: usize) -> &[AtomicU64] {
        let end = self.index.saturating_add(count);
        self.table.get(self.index..end).unwrap_or_default()
    }

    /// IPA after the first `count` entries from this one on.
    #[inline(always)]
    pub(crate) fn end_of(&self, count: usize) -> Ipa {
        let bytes = (count as u64).wrapping_shl(shift(self.level));
        Ipa(self.base().0.wrapping_add(bytes))
    }

    /// Locks the RTT that the entry, which is TABLE, refers to.
    #[inline(always)]
    pub(crate) fn lock_child(&self) -> Locked<'t, Rtt> {
        lock_table(self.granules, self.s2.output(self.desc))
    }

    /// Writes the entry, visible to all walkers on return.
    #[inline(always)]
    pub(crate) fn write(&mut self, desc: u64) {
        self.desc = desc;
        self.table[self.index % ENTRIES].store(desc, Ordering::Relaxed);
        self.mem.publish_tables();
    }

    /// Forgets what TLBs know of the entry's whole range, whose live entries were of `level`.
    #[inline(always)]
    pub(crate) fn invalidate(&self, level: i8) {
        self.mem
            .invalidate_stage2(self.s2.vmid, self.base(), self.size(), level);
    }

    /// The error of an entry or a walk that does not permit the operation.
    #[inline(always)]
    pub(crate) fn error(&self) -> RttError {
        RttError { level: self.level }
    }

    /// As [`At::error`], with `top`.
    #[inline(always)]
    pub(crate) fn top_error(&mut self) -> TopError {
        TopError {
            level: self.level,
            top: self.top(),
        }
    }

    /// The `top` output: base of the first live entry from this one on, or the end of the table.
    /// If this very entry is live it is the IPA asked for.
    #[inline(always)]
    pub(crate) fn top(&mut self) -> Ipa {
        if self.desc & LIVE != 0 {
            return self.ipa;
        }
        let table_base = self
            .ipa
            .align_down(self.size().wrapping_mul(ENTRIES as u64));
        // Where the halves cannot meet in one RTT, its count tells whether there is any.
        let counted = self.is_protected() && self.level > self.s2.start_level;
        let live = if counted && self.table.granule().refs() == 0 {
            ENTRIES as u64
        } else {
            first_live(self.table.entries(), self.index) as u64
        };
        Ipa(table_base.0.wrapping_add(live.wrapping_mul(self.size())))
    }
}

/// Entries looked at together.
const STRIDE: usize = 16;

/// Index of the first live entry at or after `from`; [`ENTRIES`] if there is none.
#[inline(always)]
fn first_live(table: &[u64; ENTRIES], from: usize) -> usize {
    let is_live = |entry: &u64| entry & LIVE != 0;
    let (groups, _) = table.as_chunks::<STRIDE>();
    let mut index = from;
    // To the next boundary one by one, then group by group.
    while index < ENTRIES && !index.is_multiple_of(STRIDE) {
        if table.get(index).is_some_and(is_live) {
            return index;
        }
        index = index.wrapping_add(1);
    }
    for group in groups.get(index / STRIDE..).unwrap_or_default() {
        if group.iter().fold(0, |seen, entry| seen | entry) & LIVE != 0 {
            return index.wrapping_add(group.iter().position(is_live).unwrap_or(0));
        }
        index = index.wrapping_add(STRIDE);
    }
    ENTRIES
}
