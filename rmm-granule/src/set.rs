// SPDX-License-Identifier: BSD-3-Clause
//! Locking several Granules that the Host named.

use crate::addr::Pa;
use crate::bug;
use crate::lock::Locked;
use crate::state::{Delegated, State};
use crate::table::{GranuleError, GranuleTable};
use core::fmt;

/// Most Granules that [`GranuleTable::lock_many`] locks besides the first one: a REC and its 16
/// auxiliary Granules.
pub const MAX_SET: usize = 17;

impl GranuleTable {
    /// Locks two Granules that the Host named, in ascending address order.
    ///
    /// # Errors
    /// The addresses are equal, or one of them fails as in [`GranuleTable::lock`]. Nothing is locked
    /// then.
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
    /// ascending address order. The set yields its Granules in the order of `delegated`.
    ///
    /// # Errors
    /// Two addresses are equal, one of them fails as in [`GranuleTable::lock`], or there are too
    /// many. Nothing is locked then.
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

        let mut space = [0; MAX_SET + 1];
        let ascending = sort(&mut space, first, delegated)?;
        let mut batch = Batch {
            granules: self,
            ascending,
            locked: 0,
        };
        let mut locked_first = None;
        for (n, &pa) in ascending.iter().enumerate() {
            if pa == first {
                locked_first = Some(self.lock::<A>(pa)?.into_parts());
            } else {
                self.lock::<Delegated>(pa)?.into_parts();
            }
            batch.locked = n + 1;
        }
        let Some((word, pa)) = locked_first else {
            bug!("a sorted list without one of its elements");
        };
        // From here on the guards are responsible for the locks.
        batch.locked = 0;
        let set = DelegatedSet {
            granules: self,
            named,
            next: 0,
            end: delegated.len(),
        };
        // SAFETY: the Granule was locked in state `A` above, and its guard dissolved.
        Ok((unsafe { Locked::new(word, pa) }, set))
    }

    /// The guard of a locked Granule that has none.
    ///
    /// # Safety
    /// This CPU has locked the Granule at `pa`, and it has no guard. It is in state `S`, or the
    /// caller does nothing with the guard but drop it.
    unsafe fn guard<S: State>(&self, pa: u64) -> Locked<'_, S> {
        let Ok((word, pa)) = self.find(pa) else {
            bug!("a locked Granule outside the granule table");
        };
        // SAFETY: as the caller promises.
        unsafe { Locked::new(word, pa) }
    }
}

/// Writes `first` and `rest` in ascending order to `space`; returns the part in use.
fn sort<'a>(
    space: &'a mut [u64; MAX_SET + 1],
    first: u64,
    rest: &[u64],
) -> Result<&'a [u64], GranuleError> {
    let mut length = 0;
    for &pa in [first].iter().chain(rest) {
        let (lower, _) = space
            .split_at_mut_checked(length + 1)
            .ok_or(GranuleError::TooMany)?;
        let mut place = length;
        // Insertion sort: most Hosts name the Granules in ascending order already.
        while let Some([before, here]) = place.checked_sub(1).and_then(|n| lower.get_mut(n..=place))
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
        let Some(here) = lower.get_mut(place) else {
            bug!("an insertion beyond the end of a list");
        };
        *here = pa;
        length += 1;
    }
    Ok(space.split_at(length).0)
}

/// Granules being locked; the drop unlocks those that are.
struct Batch<'a> {
    granules: &'a GranuleTable,
    ascending: &'a [u64],
    /// How many of the lowest addresses are locked, without a guard.
    locked: usize,
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for &pa in self.ascending.iter().take(self.locked) {
            // SAFETY: it is locked without a guard. Unlocking is the same in every state.
            drop(unsafe { self.granules.guard::<Delegated>(pa) });
        }
    }
}

/// DELEGATED Granules, all locked; yields them in the order in which the caller named them. The drop
/// unlocks those that are left.
pub struct DelegatedSet<'t> {
    granules: &'t GranuleTable,
    named: [u64; MAX_SET],
    /// Those from `next` to `end` are locked without a guard.
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
        // SAFETY: `lock_many` has locked it, and this is the only time that it gets a guard.
        Some(unsafe { self.granules.guard(pa) })
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
