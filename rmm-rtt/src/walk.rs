// SPDX-License-Identifier: BSD-3-Clause
//! The RTT walk, hand over hand.

use crate::entry::{LIVE, is_table};
use crate::error::{RttError, TopError};
use crate::scan::{first_live, is_live};
use crate::stage2::{Stage2, entry_size, index, shift};
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use rmm_granule::{GranuleTable, Ipa, Locked, Memory, OpenRtt, Pa, Rtt, bug};

/// The start of a walk: the start-level RTT that translates an IPA, locked.
#[must_use = "the RTT is unlocked at once"]
pub struct StartRtt<'t> {
    s2: Stage2,
    granules: &'t GranuleTable,
    table: Locked<'t, Rtt>,
    ipa: Ipa,
}

impl fmt::Debug for StartRtt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StartRtt({:#x} in {:?})", self.ipa, self.table)
    }
}

/// Locks the start-level RTT that translates `ipa`; `None` if `ipa` is not in the IPA space.
///
/// The Realm is alive: the caller has its RD locked, or has one of its RECs locked or RUNNING. The
/// RD may be unlocked as soon as this returns.
#[inline]
pub fn start_rtt<'t>(s2: &Stage2, granules: &'t GranuleTable, ipa: Ipa) -> Option<StartRtt<'t>> {
    if !s2.in_range(ipa) {
        return None;
    }
    let table = lock_rtt(granules, s2.start_table_of(ipa));
    Some(StartRtt {
        s2: *s2,
        granules,
        table,
        ipa,
    })
}

/// Locks the RTT at `pa`, which a live Realm or a locked RTT refers to.
#[inline]
pub(crate) fn lock_rtt(granules: &GranuleTable, pa: Pa) -> Locked<'_, Rtt> {
    let Ok(rtt) = granules.lock_own(pa) else {
        bug!("a TABLE entry or a Realm without its RTT");
    };
    rtt
}

impl<'t> StartRtt<'t> {
    /// The IPA that the walk is for.
    pub(crate) fn ipa(&self) -> Ipa {
        self.ipa
    }

    /// Whether that IPA is in the Protected half.
    #[inline]
    pub(crate) fn is_protected(&self) -> bool {
        self.s2.is_protected(self.ipa)
    }

    /// Walks down to an entry of level `target`, or to the first entry that is not TABLE. `target` is
    /// the start level or below it.
    #[inline]
    pub(crate) fn walk<'m, M: Memory>(self, mem: &'m M, target: i8) -> WalkEnd<'t, 'm, M> {
        self.walk_until(mem, |level| level >= target)
    }

    /// As [`StartRtt::walk`], for commands that do much at the end of it: they share one copy.
    #[inline(never)]
    pub(crate) fn walk_outlined<'m, M: Memory>(self, mem: &'m M, target: i8) -> WalkEnd<'t, 'm, M> {
        self.walk(mem, target)
    }

    /// Walks down to the entry that refers to the RTT of `level`, or would; or to the first entry
    /// above it that is not TABLE. `level` is below the start level.
    #[inline]
    pub(crate) fn walk_to_parent<'m, M: Memory>(self, mem: &'m M, level: i8) -> WalkEnd<'t, 'm, M> {
        self.walk_until(mem, |reached| i32::from(reached) + 1 >= level.into())
    }

    #[inline(always)]
    fn walk_until<'m, M: Memory>(
        self,
        mem: &'m M,
        ends: impl Fn(i8) -> bool,
    ) -> WalkEnd<'t, 'm, M> {
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
            if ends(level) || !is_table(desc, level) {
                return WalkEnd {
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
            // The child is locked before its parent is unlocked, so that it stays an RTT.
            let child = lock_rtt(granules, s2.output(desc));
            drop(table);
            table = child.open_table(mem);
            level += 1;
        }
    }
}

/// The end of a walk: an entry of a locked RTT.
pub(crate) struct WalkEnd<'t, 'm, M: Memory> {
    pub(crate) s2: Stage2,
    pub(crate) granules: &'t GranuleTable,
    pub(crate) mem: &'m M,
    pub(crate) table: OpenRtt<'t, 'm, M>,
    /// Level of the RTT reached.
    pub(crate) level: i8,
    /// Index of the entry, 0 to 511.
    pub(crate) index: usize,
    /// The entry as the walk found it.
    pub(crate) desc: u64,
    /// The IPA that the walk was for.
    pub(crate) ipa: Ipa,
}

impl<'t, M: Memory> WalkEnd<'t, '_, M> {
    /// Number of the entry among all of its level: its base IPA in units of its size.
    #[inline]
    fn number(&self) -> u64 {
        self.ipa.0 >> shift(self.level)
    }

    /// First IPA that the entry translates.
    #[inline]
    pub(crate) fn base(&self) -> Ipa {
        Ipa(self.number() << shift(self.level))
    }

    /// First IPA beyond the entry.
    #[inline]
    pub(crate) fn end(&self) -> Ipa {
        self.end_of(1)
    }

    /// First IPA beyond `count` entries from this one on.
    #[inline]
    pub(crate) fn end_of(&self, count: usize) -> Ipa {
        Ipa((self.number() + count as u64) << shift(self.level))
    }

    /// Whether an entry of this level refers to RTTs of `level`.
    #[inline]
    pub(crate) fn is_parent_of(&self, level: i8) -> bool {
        i32::from(self.level) + 1 == level.into()
    }

    /// Whether the entry is in the Protected half.
    #[inline]
    pub(crate) fn is_protected(&self) -> bool {
        self.s2.is_protected(self.ipa)
    }

    /// Whether the entry is TABLE.
    #[inline]
    pub(crate) fn is_table(&self) -> bool {
        is_table(self.desc, self.level)
    }

    /// This entry and those after it in the same RTT that end at or below `top`.
    #[inline]
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn entries_below(&self, top: Ipa) -> &[AtomicU64] {
        let rest = &self.table[self.index..];
        let whole = top.0.saturating_sub(self.base().0) >> shift(self.level);
        &rest[..rest.len().min(whole as usize)]
    }

    /// Locks the RTT that the entry, which is TABLE, refers to.
    #[inline]
    pub(crate) fn lock_child(&self) -> Locked<'t, Rtt> {
        lock_rtt(self.granules, self.s2.output(self.desc))
    }

    /// Writes the entry; the walkers of all CPUs see it on return.
    #[inline]
    pub(crate) fn write(&mut self, desc: u64) {
        self.desc = desc;
        self.table[self.index].store(desc, Ordering::Relaxed);
        self.mem.publish_tables();
    }

    /// Invalidates the whole range of the entry in all TLBs. Its live entries were of `level`.
    #[inline]
    pub(crate) fn invalidate(&self, level: i8) {
        let size = entry_size(self.level);
        self.mem
            .invalidate_stage2(self.s2.vmid, self.base(), size, level);
    }

    /// The error of a walk that ended too early (`rtt_walk`), or at an entry in a state that does not
    /// permit the command (`rtte_state` and others).
    #[inline]
    pub(crate) fn error(&self) -> RttError {
        RttError { level: self.level }
    }

    /// As [`WalkEnd::error`], with `top`.
    #[inline]
    pub(crate) fn top_error(&mut self) -> TopError {
        TopError {
            level: self.level,
            top: self.top(),
        }
    }

    /// The `top` output: the IPA of the walk if this entry is live, else the base of the first live
    /// entry after it, else the end of the RTT.
    #[inline(always)]
    pub(crate) fn top(&mut self) -> Ipa {
        if self.desc & LIVE != 0 {
            return self.ipa;
        }
        let skipped = self.entries_until_live();
        self.end_of(skipped)
    }

    /// How many entries from this one on are not live.
    #[inline(always)]
    fn entries_until_live(&mut self) -> usize {
        let refs = usize::from(self.table.granule().refs());
        let (before, from_here) = self.table.entries().split_at(self.index);
        let all = from_here.len();
        // ASSIGNED_NS entries do not count. They are at levels 1 to 3 of the Unprotected half, and an
        // RTT below the start level belongs to one half.
        let all_count =
            self.level < 1 || self.s2.is_protected(self.ipa) && self.level > self.s2.start_level;
        if !all_count {
            return first_live(from_here).unwrap_or(all);
        }
        if refs == 0 {
            return all;
        }
        let (near, far) = from_here.split_at(all.min(NEAR));
        if let Some(index) = first_live(near) {
            return index;
        }
        // If this entry is near the start of the RTT, it is quickly seen whether all live entries are
        // before it. The rest needs no scan then.
        if before.len() < NEAR && before.iter().filter(|entry| is_live(entry)).count() == refs {
            return all;
        }
        first_live(far).map_or(all, |index| near.len() + index)
    }
}

/// Entries that are near another one, for [`WalkEnd::top`].
const NEAR: usize = 32;
