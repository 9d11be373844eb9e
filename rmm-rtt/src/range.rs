// SPDX-License-Identifier: BSD-3-Clause
//! Mapping and unmapping of several pages or blocks at once, in consecutive entries of one RTT.
//!
//! An operation stops at the end of the RTT, at `top`, at an entry or a Granule that it cannot use, or
//! when its caller says so, and returns the IPA where it stopped. It fails only if that is where it
//! began.

use crate::entry::{NsDesc, UNASSIGNED_NS, VALID, is_table, is_unassigned, ripas_of, unassigned};
use crate::error::RttError;
use crate::scan::first_live;
use crate::stage2::{PAGE_LEVEL, entry_size};
use crate::walk::{StartRtt, WalkEnd};
use core::ops::Range;
use core::sync::atomic::Ordering;
use rmm_abi::rmi::Ripas;
use rmm_granule::{
    Data, Delegated, GRANULE_SIZE, GranuleError, GranuleState, Ipa, Memory, Pa, RTT_ENTRIES, bug,
};

/// Level of the largest blocks of DATA that are mapped or unmapped in one piece, 2 MiB: with larger
/// ones a Host interrupt would wait too long.
pub const MAX_DATA_BLOCK: i8 = 2;

/// Level of the largest blocks that the architecture has, 1 GiB.
const MAX_BLOCK: i8 = 1;

/// Most pages that are unmapped between two looks at the caller's `stop`.
const BATCH: usize = 64;

/// Why nothing could be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// The walk ended too early, or at an entry in a wrong state.
    Rtt(RttError),
    /// The address is not one of a DELEGATED Granule, or not one that a descriptor of the Realm can
    /// hold.
    Granule,
    /// Another CPU has the Granule locked at this moment.
    Busy,
}

impl From<RttError> for MapError {
    fn from(error: RttError) -> Self {
        Self::Rtt(error)
    }
}

impl From<GranuleError> for MapError {
    fn from(_: GranuleError) -> Self {
        Self::Granule
    }
}

impl<M: Memory> WalkEnd<'_, '_, M> {
    /// Number of this entry and those after it in the same RTT that end at or below `top`.
    fn room(&self, top: Ipa) -> usize {
        self.entries_below(top).len()
    }

    /// The entry `n` entries after this one.
    fn load(&self, n: usize) -> u64 {
        self.table[self.index + n].load(Ordering::Relaxed)
    }

    /// Writes the entry `n` entries after this one.
    fn store(&self, n: usize, desc: u64) {
        self.table[self.index + n].store(desc, Ordering::Relaxed);
    }

    /// First IPA beyond this entry, which is not live, and those after it that are not live either.
    fn end_of_hole(&mut self) -> Ipa {
        let (_, from_here) = self.table.entries().split_at(self.index);
        let hole = first_live(from_here).unwrap_or(from_here.len());
        self.end_of(hole)
    }

    /// Invalidates the translations of entries from this one on.
    fn invalidate_entries(&self, entries: Range<usize>) {
        let base = self.end_of(entries.start);
        let size = self.end_of(entries.end).0 - base.0;
        self.mem
            .invalidate_stage2(self.s2.vmid, base, size, self.level);
    }
}

/// Maps DELEGATED Granules from the IPA of the walk on, at pages or blocks of the level at which the
/// walk ends. RIPAS stay as they are. An entry that holds the same address already counts as done.
///
/// The addresses are those of pages or blocks of `level`. `blocks` yields them cut into pieces of the
/// level that it is called with, which is `level` or below it: at least one, all aligned. `publish` is
/// called with the content of each Granule, all zero, before the Realm can reach it. The IPA is
/// Protected, and `top` is above it and at most the end of the Protected half.
///
/// # Errors
/// Nothing was mapped: the walk ended at an entry above `level`, at one larger than [`MAX_DATA_BLOCK`],
/// at one that is not within the range or in another state, or the first Granule cannot be used.
pub fn map_data_range<M: Memory, I: Iterator<Item = Pa>>(
    start: StartRtt<'_>,
    mem: &M,
    level: i8,
    top: Ipa,
    blocks: impl FnOnce(i8) -> I,
    publish: impl Fn(&[u8; GRANULE_SIZE]),
    mut stop: impl FnMut() -> bool,
) -> Result<Ipa, MapError> {
    let at = start.walk_outlined(mem, PAGE_LEVEL);
    if at.level < level.max(MAX_DATA_BLOCK) || at.base() != at.ipa || !at.is_protected() {
        return Err(at.error().into());
    }
    let room = at.room(top);
    let (mut done, mut added) = (0, 0);
    let mut result = Err(MapError::Rtt(at.error()));
    for pa in blocks(at.level).take(room) {
        let desc = at.load(done);
        if is_table(desc, at.level) || !is_unassigned(desc) && at.s2.output(desc) != pa {
            break;
        }
        if is_unassigned(desc) {
            if let Err(error) = take_block(&at, pa, &publish) {
                result = Err(error);
                break;
            }
            at.store(done, at.s2.assigned(pa, at.level, ripas_of(desc)));
            added += 1;
        }
        done += 1;
        if stop() {
            break;
        }
    }
    at.table.granule().add_refs(added);
    mem.publish_tables();
    if done == 0 {
        return result;
    }
    Ok(at.end_of(done))
}

/// Makes the Granules of a block of the level of `at` DATA; on an error, none of them.
fn take_block<M: Memory>(
    at: &WalkEnd<'_, '_, M>,
    pa: Pa,
    publish: impl Fn(&[u8; GRANULE_SIZE]),
) -> Result<(), MapError> {
    let end = pa.0.checked_add(entry_size(at.level) - 1);
    if !end.is_some_and(|end| at.s2.can_output(Pa(end))) {
        return Err(MapError::Granule);
    }
    let granules = |count: u64| (0..count).map(|n| Pa(pa.0 + n * GRANULE_SIZE as u64));
    for (n, granule) in granules(granules_of(at.level)).enumerate() {
        if let Err(error) = take_granule(at, granule, &publish) {
            for granule in granules(n as u64) {
                let Ok(data) = at.granules.lock::<Data>(granule.0) else {
                    bug!("a DATA Granule that nothing maps has changed");
                };
                // SAFETY: no entry has referred to it yet.
                drop(unsafe { data.wipe_unused_into_delegated(at.mem) });
            }
            return Err(error);
        }
    }
    Ok(())
}

/// Makes a DELEGATED Granule DATA. No other command reaches it before the RTT is unlocked.
fn take_granule<M: Memory>(
    at: &WalkEnd<'_, '_, M>,
    granule: Pa,
    publish: impl Fn(&[u8; GRANULE_SIZE]),
) -> Result<(), MapError> {
    // An RTT is locked, so this must not wait for a Granule that a command names.
    let Some(locked) = at.granules.try_lock::<Delegated>(granule.0) else {
        // It may be that very RTT, for which the Host would wait in vain.
        return Err(match at.granules.state(granule.0) {
            Ok(GranuleState::Delegated) => MapError::Busy,
            _ => MapError::Granule,
        });
    };
    let content = locked?.new_content::<_, Data>(at.mem);
    publish(&content);
    let _data = content.commit();
    Ok(())
}

/// Granules of a page or block of `level`.
const fn granules_of(level: i8) -> u64 {
    entry_size(level) / GRANULE_SIZE as u64
}

/// Unmaps DATA from the IPA of the walk on: the Granules become DELEGATED, RIPAS RAM becomes DESTROYED.
/// If the first entry is not live, passes over it and those like it, and unmaps nothing.
///
/// `report` is called for each page or block with its address and level before it is unmapped; the
/// operation stops before one for which it returns false. The IPA is Protected, and `top` is above it
/// and at most the end of the Protected half.
///
/// # Errors
/// The first entry is live, and not within the range, or a block larger than [`MAX_DATA_BLOCK`].
pub fn unmap_data_range<M: Memory>(
    start: StartRtt<'_>,
    mem: &M,
    top: Ipa,
    mut report: impl FnMut(Pa, i8) -> bool,
    mut stop: impl FnMut() -> bool,
) -> Result<Ipa, RttError> {
    let mut at = start.walk_outlined(mem, PAGE_LEVEL);
    if !at.is_protected() {
        return Err(at.error());
    }
    if is_unassigned(at.desc) {
        return Ok(at.end_of_hole().min(top));
    }
    if at.base() != at.ipa || at.end() > top || at.level < MAX_DATA_BLOCK {
        return Err(at.error());
    }
    let room = at.room(top);
    let batch = if at.level == PAGE_LEVEL { BATCH } else { 1 };
    let mut done = 0;
    loop {
        let most = room.min(done + batch);
        let end = invalidate_data(&at, done..most, &mut report);
        release_data(&at, done..end);
        done = end;
        if done < most || done == room || stop() {
            break;
        }
    }
    Ok(at.end_of(done))
}

/// Makes the DATA entries invalid, from the first one on, that `report` accepts; ASSIGNED and address
/// stay. Returns the end of these entries. No TLB holds them any more.
fn invalidate_data<M: Memory>(
    at: &WalkEnd<'_, '_, M>,
    entries: Range<usize>,
    report: &mut impl FnMut(Pa, i8) -> bool,
) -> usize {
    let mut was_valid = false;
    let mut end = entries.start;
    for n in entries.clone() {
        let desc = at.load(n);
        if is_unassigned(desc) || is_table(desc, at.level) || !report(at.s2.output(desc), at.level)
        {
            break;
        }
        if desc & VALID != 0 {
            at.store(n, at.s2.with_ripas(desc, at.level, Ripas::Destroyed));
            was_valid = true;
        }
        end = n + 1;
    }
    if was_valid {
        at.mem.publish_tables();
        at.invalidate_entries(entries.start..end);
    }
    end
}

/// Wipes the Granules of entries that are ASSIGNED, and that no TLB holds, and makes these UNASSIGNED.
fn release_data<M: Memory>(at: &WalkEnd<'_, '_, M>, entries: Range<usize>) {
    for n in entries {
        let desc = at.load(n);
        let base = at.s2.output(desc);
        for granule in 0..granules_of(at.level) {
            let Ok(data) = at
                .granules
                .lock::<Data>(base.0 + granule * GRANULE_SIZE as u64)
            else {
                bug!("an ASSIGNED entry without its DATA Granule");
            };
            // SAFETY: its one translation is not valid any more, in tables and in TLBs.
            drop(unsafe { data.wipe_unused_into_delegated(at.mem) });
        }
        at.store(n, unassigned(ripas_of(desc)));
        at.table.granule().remove_refs(1);
    }
}

/// Maps Host memory from the IPA of the walk on, at pages or blocks of the level at which the walk ends.
/// `level` is that of the addresses, and `blocks` yields descriptors of the level that it is called with,
/// which is `level` or below it. The IPA is Unprotected, and `top` is above it.
///
/// # Errors
/// Nothing was mapped: the walk ended at an entry above `level` or at level 0, or at one that is not
/// within the range or not UNASSIGNED_NS.
pub fn map_unprotected_range<M: Memory, I: Iterator<Item = NsDesc>>(
    start: StartRtt<'_>,
    mem: &M,
    level: i8,
    top: Ipa,
    blocks: impl FnOnce(i8) -> I,
) -> Result<Ipa, RttError> {
    let at = start.walk_outlined(mem, PAGE_LEVEL);
    if at.level < level.max(MAX_BLOCK) || at.base() != at.ipa || at.is_protected() {
        return Err(at.error());
    }
    let room = at.room(top);
    let mut done = 0;
    for block in blocks(at.level).take(room) {
        if !is_unassigned(at.load(done)) {
            break;
        }
        at.store(done, block.for_level(at.level));
        done += 1;
    }
    if done == 0 {
        return Err(at.error());
    }
    mem.publish_tables();
    Ok(at.end_of(done))
}

/// Unmaps Host memory from the IPA of the walk on. If the first entry is not live, passes over it and
/// those like it, and unmaps nothing.
///
/// `report` is as for [`unmap_data_range`]. The IPA is Unprotected, and `top` is above it and at most
/// the end of the IPA space.
///
/// # Errors
/// The first entry is live, and not within the range.
pub fn unmap_unprotected_range<M: Memory>(
    start: StartRtt<'_>,
    mem: &M,
    top: Ipa,
    mut report: impl FnMut(Pa, i8) -> bool,
) -> Result<Ipa, RttError> {
    let mut at = start.walk_outlined(mem, PAGE_LEVEL);
    if at.is_protected() {
        return Err(at.error());
    }
    if is_unassigned(at.desc) {
        return Ok(at.end_of_hole().min(top));
    }
    if at.base() != at.ipa || at.end() > top {
        return Err(at.error());
    }
    let mut done = 0;
    for n in 0..at.room(top) {
        let desc = at.load(n);
        if is_unassigned(desc) || is_table(desc, at.level) || !report(at.s2.output(desc), at.level)
        {
            break;
        }
        at.store(n, UNASSIGNED_NS);
        done = n + 1;
    }
    mem.publish_tables();
    at.invalidate_entries(0..done);
    Ok(at.end_of(done))
}

const _: () = assert!(granules_of(MAX_DATA_BLOCK) == RTT_ENTRIES as u64);
