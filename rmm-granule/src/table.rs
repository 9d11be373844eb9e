// SPDX-License-Identifier: BSD-3-Clause
//! The granule table.

use crate::lock::Locked;
use crate::ns::NsGranule;
use crate::state::{COUNT_MASK, GranuleState, LOCK, STATE_MASK, State};
use crate::sync::{Ordering, Word, spin_loop};
use crate::{GRANULE_SHIFT, GRANULE_SIZE, Pa, order};
use core::cmp::Reverse;

/// Most DRAM banks a table can cover.
pub const MAX_BANKS: usize = 16;

/// A contiguous piece of DRAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bank {
    /// First byte, aligned to [`GRANULE_SIZE`].
    pub base: u64,
    /// Bytes, a multiple of [`GRANULE_SIZE`].
    pub size: u64,
}

/// Why an address does not designate the Granule that was asked for. RMI commands answer
/// RMI_ERROR_INPUT to every one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GranuleError {
    /// The address is not aligned to [`GRANULE_SIZE`].
    Unaligned,
    /// The address is in no DRAM bank, or in a reserved part of one: not delegable.
    NotDelegable,
    /// The Granule is in another lifecycle state.
    WrongState,
    /// The same Granule was named twice.
    Alias,
    /// More Granules were named than a command can name.
    TooMany,
}

/// Why a table cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// More than [`MAX_BANKS`] banks.
    TooManyBanks,
    /// A bank is empty, unaligned, or ends beyond 64 bits.
    BadBank,
    /// Banks overlap or do not ascend.
    BadOrder,
    /// Fewer words than [`GranuleTable::words_needed`].
    TooFewWords,
}

#[derive(Clone, Copy)]
struct Span {
    base: u64,
    words: &'static [Word],
}

/// State, lock and reference count of every Granule of DRAM: one word each.
pub struct GranuleTable {
    spans: [Span; MAX_BANKS],
    count: usize,
}

impl GranuleTable {
    /// How many words the table of `banks` needs.
    ///
    /// # Errors
    /// Banks that no table can cover: too many, unaligned, empty, overlapping or not ascending.
    #[allow(clippy::cast_possible_truncation)]
    pub fn words_needed(banks: &[Bank]) -> Result<usize, TableError> {
        if banks.len() > MAX_BANKS {
            return Err(TableError::TooManyBanks);
        }
        let mut free_from = 0;
        let mut words = 0;
        for bank in banks {
            let aligned = (bank.base | bank.size).is_multiple_of(GRANULE_SIZE as u64);
            let end = bank.base.checked_add(bank.size);
            let (true, Some(end), true) = (aligned, end, bank.size > 0) else {
                return Err(TableError::BadBank);
            };
            if bank.base < free_from {
                return Err(TableError::BadOrder);
            }
            free_from = end;
            words += bank.size >> GRANULE_SHIFT;
        }
        Ok(words as usize)
    }

    /// A table of `banks` over `words`, which the boot code hands in as they are: all zero words
    /// are unlocked UNDELEGATED Granules.
    ///
    /// # Errors
    /// As [`GranuleTable::words_needed`], and when there are fewer words than that.
    #[allow(clippy::cast_possible_truncation)]
    pub fn new(banks: &[Bank], words: &'static [Word]) -> Result<Self, TableError> {
        Self::words_needed(banks)?;
        let mut spans = [Span {
            base: 0,
            words: &[],
        }; MAX_BANKS];
        let mut rest = words;
        for (span, bank) in spans.iter_mut().zip(banks) {
            let length = (bank.size >> GRANULE_SHIFT) as usize;
            let (own, others) = rest
                .split_at_checked(length)
                .ok_or(TableError::TooFewWords)?;
            *span = Span {
                base: bank.base,
                words: own,
            };
            rest = others;
        }
        // Nearly every Granule that a Host names lies in the largest bank: `find` looks there first.
        let (in_use, _) = spans.split_at_mut(banks.len());
        in_use.sort_unstable_by_key(|span| Reverse(span.words.len()));
        Ok(Self {
            spans,
            count: banks.len(),
        })
    }

    /// Makes every Granule that `[base, base + size)` touches never delegable. For the boot code,
    /// before any command runs; parts outside every bank are never delegable anyway.
    pub fn reserve(&self, base: u64, size: u64) {
        let end = base.saturating_add(size);
        for span in self.spans.iter().take(self.count) {
            let mut pa = span.base;
            for word in span.words {
                let next = pa.saturating_add(GRANULE_SIZE as u64);
                if pa < end && base < next {
                    // No other CPU runs the monitor yet.
                    word.store(GranuleState::NeverDelegable.bits(), Ordering::Relaxed);
                }
                pa = next;
            }
        }
    }

    /// The word of the Granule at `pa`.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn find(&self, pa: u64) -> Result<(&'static Word, Pa), GranuleError> {
        let pa = Pa::granule(pa).ok_or(GranuleError::Unaligned)?;
        for span in self.spans.iter().take(self.count) {
            let index = pa.0.wrapping_sub(span.base) >> GRANULE_SHIFT;
            if let Some(word) = span.words.get(index as usize) {
                return Ok((word, pa));
            }
        }
        Err(GranuleError::NotDelegable)
    }

    /// The state of the Granule at `pa` at this moment; it may be another one at the next.
    ///
    /// # Errors
    /// `pa` is unaligned or not delegable.
    pub fn state(&self, pa: u64) -> Result<GranuleState, GranuleError> {
        let (word, _) = self.find(pa)?;
        // Nothing else is known without the lock. An access to Non-secure memory asks the GPT.
        match GranuleState::of(word.load(Ordering::Relaxed)) {
            GranuleState::NeverDelegable => Err(GranuleError::NotDelegable),
            state => Ok(state),
        }
    }

    /// Locks the Granule at `pa`, which must be in state `S`.
    ///
    /// # Errors
    /// `pa` is unaligned, not delegable, or the Granule is in another state.
    #[inline]
    pub fn lock<S: State>(&self, pa: u64) -> Result<Locked<'_, S>, GranuleError> {
        let (word, pa) = self.find(pa)?;
        order::wait(word, pa, S::STATE);
        let mut seen = word.fetch_or(LOCK, Ordering::Acquire);
        if seen & LOCK != 0 {
            seen = wait_and_lock(word);
        }
        order::locked(word, pa, S::STATE, GranuleState::of(seen));
        if seen & STATE_MASK == S::STATE.bits() {
            return Ok(Locked::new(word, pa));
        }
        order::unlocked(word);
        // Nothing was done under the lock. What was under the ones before reaches the next holder
        // through this write as it did through the one that locked.
        word.fetch_and(!LOCK, Ordering::Relaxed);
        Err(wrong_state(seen))
    }

    /// The Non-secure Granule at `pa`, tracked as UNDELEGATED at this moment.
    ///
    /// # Errors
    /// `pa` is unaligned, not delegable, or the Granule is in another state.
    pub fn ns_granule(&self, pa: u64) -> Result<NsGranule, GranuleError> {
        match self.state(pa)? {
            GranuleState::Undelegated => Ok(NsGranule::new(Pa(pa))),
            _ => Err(GranuleError::WrongState),
        }
    }

    /// Takes one REC from the count of the RD at `rd` without locking it, when the REC is destroyed.
    /// The REC, not yet forgotten, keeps the RD what it is until this returns.
    ///
    /// # Panics
    /// If `rd` is not an RD that counts a REC: its caller has lost track.
    pub fn put_rec_of(&self, rd: Pa) {
        let counted = self.find(rd.0).is_ok_and(|(word, _)| {
            let seen = word.load(Ordering::Relaxed);
            // The REC that the caller has destroyed keeps it an RD until it is taken from the count.
            let is_rd = seen & STATE_MASK == GranuleState::Rd.bits();
            is_rd && word.fetch_sub(1, Ordering::Release) & COUNT_MASK != 0
        });
        assert!(counted, "REC of no Realm");
    }
}

/// Locks a word that another CPU has locked; the word before that.
#[cold]
fn wait_and_lock(word: &Word) -> u16 {
    loop {
        while word.load(Ordering::Relaxed) & LOCK != 0 {
            spin_loop();
        }
        let seen = word.fetch_or(LOCK, Ordering::Acquire);
        if seen & LOCK == 0 {
            return seen;
        }
    }
}

#[cold]
fn wrong_state(word: u16) -> GranuleError {
    match GranuleState::of(word) {
        GranuleState::NeverDelegable => GranuleError::NotDelegable,
        _ => GranuleError::WrongState,
    }
}
