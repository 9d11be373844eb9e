// SPDX-License-Identifier: BSD-3-Clause
//! The granule table.

use crate::addr::{GRANULE_SHIFT, GRANULE_SIZE, Pa};
use crate::bug;
use crate::lock::Locked;
use crate::ns::NsGranule;
use crate::order;
use crate::queue::{Queue, Waiter};
use crate::speculation;
use crate::state::{ACTIVE, COUNT_MASK, GranuleState, LOCK, STATE_MASK, State, WANTED};
use crate::sync::{Ordering, Word};
use core::cmp::Reverse;

/// Most DRAM banks that a table can cover.
pub const MAX_BANKS: usize = 16;

/// Most Granules that [`GranuleTable::delegable_extent`] looks at.
pub const MAX_EXTENT: usize = 1 << 13;

/// A contiguous range of DRAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bank {
    /// Physical address of the first byte, aligned to [`GRANULE_SIZE`].
    pub base: u64,
    /// Size in bytes, a multiple of [`GRANULE_SIZE`].
    pub size: u64,
}

/// Why an address does not name a Granule in the state asked for. RMI commands answer all of these
/// with RMI_ERROR_INPUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GranuleError {
    /// The address is not aligned to [`GRANULE_SIZE`] (`*_align`).
    Unaligned,
    /// The address is in no DRAM bank, or in a reserved part of one: not delegable (`*_bound`).
    NotDelegable,
    /// The Granule is in another lifecycle state (`*_state`).
    WrongState,
    /// The same Granule was named twice (`*_alias`).
    Alias,
    /// More Granules were named than a command can name.
    TooMany,
}

/// Why a table cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// More than [`MAX_BANKS`] banks.
    TooManyBanks,
    /// A bank is empty or unaligned, or its end does not fit in 64 bits.
    BadBank,
    /// Banks overlap, or are not in ascending order of address.
    BadOrder,
    /// Fewer words than [`GranuleTable::words_needed`].
    TooFewWords,
}

/// A bank and the words of its Granules.
#[derive(Clone, Copy)]
struct Span {
    /// Physical address of the first Granule.
    base: u64,
    words: &'static [Word],
}

impl Span {
    const EMPTY: Self = Self {
        base: 0,
        words: &[],
    };

    /// The words, and the index of the word of the Granule at `pa`, which is less than their number.
    /// `None` if `pa` is unaligned or not in this bank.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)]
    fn place(&self, pa: u64) -> Option<(&'static [Word], usize)> {
        // One comparison for three conditions: an address below the bank wraps to a large offset, and
        // offset bits within the Granule, since the base has none, rotate to the top of the index.
        let index = pa.wrapping_sub(self.base).rotate_right(GRANULE_SHIFT) as usize;
        (index < self.words.len()).then_some((self.words, index))
    }
}

/// State, lock and reference count of every Granule of DRAM: one word each.
pub struct GranuleTable {
    /// The largest bank: nearly all Granules that a Host names are there.
    largest: Span,
    /// The other banks, the larger ones first; the rest is empty.
    others: [Span; MAX_BANKS - 1],
    /// CPUs that wait for a lock.
    queue: Queue,
}

impl GranuleTable {
    /// Number of words that a table of `banks` needs.
    ///
    /// # Errors
    /// There are too many banks, or they are empty, unaligned, overlapping or not ascending.
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

    /// A table of `banks` with these words. The boot code passes words that are zero, which makes
    /// every Granule unlocked and UNDELEGATED. `places` are as many as there are CPUs, and free.
    ///
    /// # Safety
    /// It is the only table of this memory, because locks in two tables would not exclude each other.
    ///
    /// # Errors
    /// As [`GranuleTable::words_needed`], or there are fewer words than that.
    #[allow(clippy::cast_possible_truncation)]
    pub unsafe fn new(
        banks: &[Bank],
        words: &'static [Word],
        places: &'static [Waiter],
    ) -> Result<Self, TableError> {
        Self::words_needed(banks)?;
        let mut spans = [Span::EMPTY; MAX_BANKS];
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
        // Empty spans come last.
        spans.sort_unstable_by_key(|span| Reverse(span.words.len()));
        let [largest, others @ ..] = spans;
        Ok(Self {
            largest,
            others,
            queue: Queue::new(places),
        })
    }

    /// All banks; some may be empty.
    fn spans(&self) -> impl Iterator<Item = &Span> {
        core::iter::once(&self.largest).chain(&self.others)
    }

    /// Makes every Granule that overlaps `[base, base + size)`, in bytes, never delegable. For the
    /// boot code, before any command runs. What is in no bank is not delegable anyway.
    #[allow(clippy::cast_possible_truncation)]
    pub fn reserve(&self, base: u64, size: u64) {
        if size == 0 {
            return;
        }
        let last = base.saturating_add(size - 1);
        for span in self.spans() {
            let Some(last) = last.checked_sub(span.base) else {
                // The range ends below this bank.
                continue;
            };
            let first = base.saturating_sub(span.base) >> GRANULE_SHIFT;
            let beyond = ((last >> GRANULE_SHIFT) as usize + 1).min(span.words.len());
            for word in span.words.get(first as usize..beyond).unwrap_or_default() {
                // Relaxed: no other CPU runs the monitor yet.
                word.store(GranuleState::NeverDelegable.bits(), Ordering::Relaxed);
            }
        }
    }

    /// The word and the address of the Granule at `pa`, which a Host chooses: where the CPU runs ahead of
    /// the check of `pa`, it stays inside the table.
    #[inline(always)]
    pub(crate) fn find(&self, pa: u64) -> Result<(&'static Word, Pa), GranuleError> {
        let (words, index) = self.place(pa)?;
        let index = speculation::bounded(index, words.len());
        // SAFETY: it is less than the length.
        Ok((unsafe { words.get_unchecked(index) }, Pa(pa)))
    }

    /// As [`GranuleTable::find`], for an address that the monitor itself has stored.
    #[inline(always)]
    fn find_own(&self, pa: Pa) -> Result<(&'static Word, Pa), GranuleError> {
        let (words, index) = self.place(pa.0)?;
        // SAFETY: it is less than the length.
        Ok((unsafe { words.get_unchecked(index) }, pa))
    }

    /// The words of the bank that `pa` is in, and the index of its word, which is less than their number.
    #[inline(always)]
    fn place(&self, pa: u64) -> Result<(&'static [Word], usize), GranuleError> {
        match self.largest.place(pa) {
            Some(place) => Ok(place),
            None => self.place_elsewhere(pa),
        }
    }

    /// As [`GranuleTable::place`], for what is not in the largest bank.
    // Out of line: inlined, it would be repeated for each lock of a command.
    #[inline(never)]
    fn place_elsewhere(&self, pa: u64) -> Result<(&'static [Word], usize), GranuleError> {
        let pa = Pa::granule(pa).ok_or(GranuleError::Unaligned)?;
        let place = self.others.iter().find_map(|span| span.place(pa.0));
        place.ok_or(GranuleError::NotDelegable)
    }

    /// Whether the Granule at `base` is delegable, and an address above `base`, at most `top`, up to
    /// which that does not change. `base` and `top` are aligned, and `top` is above `base`. Looks at
    /// [`MAX_EXTENT`] Granules at most.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)]
    pub fn delegable_extent(&self, base: u64, top: u64) -> (bool, u64) {
        let mut end = top;
        for span in self.spans() {
            let Some(offset) = base.checked_sub(span.base) else {
                // No Granule up to this bank.
                end = end.min(span.base);
                continue;
            };
            let first = (offset >> GRANULE_SHIFT) as usize;
            let Some(words @ [word, ..]) = span.words.get(first..) else {
                continue;
            };
            let is_delegable = is_delegable(word);
            let wanted = ((top - base) >> GRANULE_SHIFT).min(MAX_EXTENT as u64) as usize;
            let words = words.split_at(wanted.min(words.len())).0;
            let alike = words
                .iter()
                .position(|word| self::is_delegable(word) != is_delegable);
            let count = alike.unwrap_or(words.len()) as u64;
            return (is_delegable, base + (count << GRANULE_SHIFT));
        }
        (false, end)
    }

    /// The state of the Granule at `pa` at this moment; another CPU may change it in the next.
    ///
    /// # Errors
    /// `pa` is unaligned or not delegable.
    pub fn state(&self, pa: u64) -> Result<GranuleState, GranuleError> {
        let (word, _) = self.find(pa)?;
        // Relaxed: the state says nothing about the content. What an access to Non-secure memory
        // may reach is decided by the GPT.
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
        self.lock_found(self.find(pa)?)
    }

    /// As [`GranuleTable::lock`], for an address that the monitor itself has stored, such as that of a
    /// table: one that a Host chooses needs more care.
    ///
    /// # Errors
    /// As [`GranuleTable::lock`].
    #[inline]
    pub fn lock_own<S: State>(&self, pa: Pa) -> Result<Locked<'_, S>, GranuleError> {
        self.lock_found(self.find_own(pa)?)
    }

    #[inline(always)]
    fn lock_found<S: State>(
        &self,
        (word, pa): (&'static Word, Pa),
    ) -> Result<Locked<'_, S>, GranuleError> {
        order::waiting(word, pa, S::STATE);
        let seen = word.fetch_or(LOCK, Ordering::Acquire);
        // Not locked before, nobody waits for it, and in state `S`: one comparison for all.
        if seen & (LOCK | WANTED | STATE_MASK) == S::STATE.bits() {
            order::locked(word, pa, S::STATE, S::STATE);
        } else {
            self.wait_or_fail(word, pa, S::STATE, seen)?;
        }
        // SAFETY: the word was not locked before, and holds state `S`.
        Ok(unsafe { Locked::new(word, pa) })
    }

    /// Completes a lock of the word of a Granule that was `seen` locked, wanted, or in another state than
    /// `state`.
    ///
    /// # Errors
    /// It is in another state, and not locked by this CPU.
    #[cold]
    #[inline(never)]
    fn wait_or_fail(
        &self,
        word: &Word,
        pa: Pa,
        state: GranuleState,
        seen: u16,
    ) -> Result<(), GranuleError> {
        let seen = if seen & (LOCK | WANTED) == 0 {
            seen
        } else {
            if seen & LOCK == 0 {
                // It was free, but belongs to those who wait. Relaxed: as below.
                word.fetch_and(!LOCK, Ordering::Relaxed);
            }
            order::blocked();
            self.queue.wait_and_lock(word)
        };
        order::locked(word, pa, state, GranuleState::of(seen));
        if seen & STATE_MASK == state.bits() {
            return Ok(());
        }
        order::unlocking(word);
        // Relaxed: nothing was done under this lock. The next holder still synchronises with the one
        // before, because a read-modify-write continues its release sequence.
        word.fetch_and(!LOCK, Ordering::Relaxed);
        order::unlocked();
        Err(wrong_state(seen))
    }

    /// As [`GranuleTable::lock`], but does not wait: for a Granule that the Host named, while a Granule
    /// of a later line of the lock order is locked. `None` if another CPU has locked it, or waits for it.
    ///
    /// # Errors
    /// As [`GranuleTable::lock`].
    #[inline]
    pub fn try_lock<S: State>(&self, pa: u64) -> Option<Result<Locked<'_, S>, GranuleError>> {
        let (word, pa) = match self.find(pa) {
            Ok(found) => found,
            Err(error) => return Some(Err(error)),
        };
        let seen = word.fetch_or(LOCK, Ordering::Acquire);
        if seen & (LOCK | WANTED) != 0 {
            if seen & LOCK == 0 {
                // It belongs to those who wait. Relaxed: as in `wait_or_fail`.
                word.fetch_and(!LOCK, Ordering::Relaxed);
            }
            return None;
        }
        order::locked(word, pa, S::STATE, GranuleState::of(seen));
        if seen & STATE_MASK == S::STATE.bits() {
            // SAFETY: the word was not locked before, and holds state `S`.
            return Some(Ok(unsafe { Locked::new(word, pa) }));
        }
        order::unlocking(word);
        // Relaxed: as in `wait_or_fail`.
        word.fetch_and(!LOCK, Ordering::Relaxed);
        order::unlocked();
        Some(Err(wrong_state(seen)))
    }

    /// Whether CPUs wait for the Granule at `pa` at this moment. For tests.
    #[cfg(any(test, loom, feature = "fake"))]
    #[must_use]
    pub fn is_wanted(&self, pa: u64) -> bool {
        self.find(pa)
            .is_ok_and(|(word, _)| word.load(Ordering::Relaxed) & WANTED != 0)
    }

    /// How many CPUs wait for the word.
    #[cfg(test)]
    pub(crate) fn waiting(&self, word: &Word) -> usize {
        self.queue.length(word)
    }

    /// The Non-secure Granule at `pa`, which is UNDELEGATED at this moment.
    ///
    /// # Errors
    /// `pa` is unaligned, not delegable, or the Granule is in another state.
    pub fn ns_granule(&self, pa: u64) -> Result<NsGranule, GranuleError> {
        match self.state(pa)? {
            GranuleState::Undelegated => Ok(NsGranule::new(Pa(pa))),
            _ => Err(GranuleError::WrongState),
        }
    }

    /// Whether the Realm whose RD is at `rd` is ACTIVE at this moment, without a lock of the RD. The
    /// caller has one of its RECs locked, so the Granule stays an RD.
    #[inline]
    #[must_use]
    pub fn is_active(&self, rd: Pa) -> bool {
        self.find_own(rd).is_ok_and(|(word, _)| {
            // Relaxed: as in `Locked::set_active`. Who made the Realm ACTIVE, or ended that, and lets this
            // CPU know, is seen here because of that message.
            let seen = word.load(Ordering::Relaxed);
            seen & (STATE_MASK | ACTIVE) == GranuleState::Rd.bits() | ACTIVE
        })
    }

    /// Subtracts one from the reference count of the RD at `rd`, without locking it, because one of
    /// its RECs was destroyed. As long as the REC is counted, the Granule stays an RD.
    ///
    /// # Panics
    /// If there is no RD at `rd`, or its count is 0. This is a bug of the caller.
    pub fn remove_rd_ref(&self, rd: Pa) {
        let counted = self.find_own(rd).is_ok_and(|(word, _)| {
            let seen = word.load(Ordering::Relaxed);
            let is_rd = seen & STATE_MASK == GranuleState::Rd.bits();
            // Release: whoever then destroys the Realm synchronises with the end of the REC.
            is_rd && word.fetch_sub(1, Ordering::Release) & COUNT_MASK != 0
        });
        if !counted {
            bug!("REC of no Realm");
        }
    }
}

/// Whether this is the word of a Granule that can be delegated, which never changes.
fn is_delegable(word: &Word) -> bool {
    GranuleState::of(word.load(Ordering::Relaxed)) != GranuleState::NeverDelegable
}

/// The error of a Granule whose word is not in the state asked for.
fn wrong_state(word: u16) -> GranuleError {
    match GranuleState::of(word) {
        GranuleState::NeverDelegable => GranuleError::NotDelegable,
        _ => GranuleError::WrongState,
    }
}
