// SPDX-License-Identifier: BSD-3-Clause
//! Locking several Granules that the Host named.

use crate::Pa;
use crate::lock::Locked;
use crate::state::{Delegated, State};
use crate::table::{GranuleError, GranuleTable};
use core::fmt;

/// Most Granules that [`GranuleTable::lock_many`] locks besides the first one: a REC and 16
/// auxiliary Granules.
pub const MAX_SET: usize = 17;

impl GranuleTable {
    /// Locks two Granules that the Host named, in ascending address order.
    ///
    /// # Errors
    /// The addresses are equal, or one of them fails as in [`GranuleTable::lock`]; nothing is
    /// locked then.
    #[inline]
    #[allow(clippy::type_complexity)]
    pub fn lock_pair<A: State, B: State>(
        &self,
        a: u64,
        b: u64,
    ) -> Result<(Locked<'_, A>, Locked<'_, B>), GranuleError> {
        if a == b {
            return Err(GranuleError::Alias);
        }
        if a < b {
            let first = self.lock(a)?;
            Ok((first, self.lock(b)?))
        } else {
            let first = self.lock(b)?;
            Ok((self.lock(a)?, first))
        }
    }

    /// Locks a Granule in state `A` and up to [`MAX_SET`] DELEGATED ones that the Host named, in
    /// ascending address order; the set yields them in the order of `delegated`.
    ///
    /// # Errors
    /// Two addresses are equal, one of them fails as in [`GranuleTable::lock`], or there are too
    /// many; nothing is locked then.
    #[allow(clippy::type_complexity)]
    pub fn lock_many<A: State>(
        &self,
        first: u64,
        delegated: &[u64],
    ) -> Result<(Locked<'_, A>, DelegatedSet<'_>), GranuleError> {
        let mut named = [0; MAX_SET];
        let named_part = named
            .get_mut(..delegated.len())
            .ok_or(GranuleError::TooMany)?;
        named_part.copy_from_slice(delegated);

        let mut batch = Batch {
            granules: self,
            ascending: [0; MAX_SET + 1],
            locked: 0,
        };
        let length = batch.sort(first, delegated)?;
        let mut locked_first = None;
        for n in 0..length {
            let pa = batch.ascending.get(n).copied().unwrap_or(first);
            if pa == first {
                locked_first = Some(self.lock::<A>(pa)?.into_parts());
            } else {
                self.lock::<Delegated>(pa)?.into_parts();
            }
            batch.locked = n + 1;
        }
        let (word, pa) = locked_first.ok_or(GranuleError::Alias)?;
        // From here on the guards answer for the locks.
        batch.locked = 0;
        let set = DelegatedSet {
            granules: self,
            named,
            next: 0,
            end: delegated.len(),
        };
        Ok((Locked::new(word, pa), set))
    }

    /// The guard of a Granule that is locked in state `S` without one.
    fn guard<S: State>(&self, pa: u64) -> Option<Locked<'_, S>> {
        let (word, pa) = self.find(pa).ok()?;
        Some(Locked::new(word, pa))
    }
}

/// Granules being locked; the drop unlocks those that are.
struct Batch<'t> {
    granules: &'t GranuleTable,
    ascending: [u64; MAX_SET + 1],
    /// How many of the lowest addresses are locked, without a guard.
    locked: usize,
}

impl Batch<'_> {
    /// Puts the addresses in ascending order and returns how many there are.
    fn sort(&mut self, first: u64, rest: &[u64]) -> Result<usize, GranuleError> {
        let mut length = 0;
        for &pa in [first].iter().chain(rest) {
            let (lower, _) = self
                .ascending
                .split_at_mut_checked(length + 1)
                .ok_or(GranuleError::TooMany)?;
            let mut place = length;
            // Most Hosts name them in ascending order.
            while let Some([before, here]) =
                place.checked_sub(1).and_then(|n| lower.get_mut(n..=place))
            {
                if *before == pa {
                    return Err(GranuleError::Alias);
                }
                if *before < pa {
                    break;
                }
                *here = *before;
                place -= 1;
            }
            if let Some(here) = lower.get_mut(place) {
                *here = pa;
            }
            length += 1;
        }
        Ok(length)
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for &pa in self.ascending.iter().take(self.locked) {
            // The state makes no difference to unlocking.
            drop(self.granules.guard::<Delegated>(pa));
        }
    }
}

/// DELEGATED Granules, all locked; yields them in the order in which the caller named them. Those
/// not taken are unlocked by the drop.
pub struct DelegatedSet<'t> {
    granules: &'t GranuleTable,
    named: [u64; MAX_SET],
    next: usize,
    end: usize,
}

impl<'t> Iterator for DelegatedSet<'t> {
    type Item = Locked<'t, Delegated>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.end {
            return None;
        }
        let &pa = self.named.get(self.next)?;
        self.next += 1;
        self.granules.guard(pa)
    }
}

impl Drop for DelegatedSet<'_> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

impl fmt::Debug for DelegatedSet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = self.named.get(self.next..self.end).unwrap_or_default();
        f.debug_list()
            .entries(rest.iter().map(|pa| Pa(*pa)))
            .finish()
    }
}
