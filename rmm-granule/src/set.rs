// SPDX-License-Identifier: BSD-3-Clause
//! Locking several Granules that the Host named.

use crate::lock::Locked;
use crate::state::{Delegated, State};
use crate::table::{GranuleError, GranuleTable};

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
        let length = delegated.len();
        // Positions in `delegated`, by ascending address.
        let mut order = [0; MAX_SET];
        let order = order.get_mut(..length).ok_or(GranuleError::TooMany)?;
        for (position, slot) in order.iter_mut().enumerate() {
            *slot = position;
        }
        order.sort_unstable_by_key(|&position| delegated.get(position));

        let mut set = DelegatedSet {
            granules: [const { None }; MAX_SET],
            next: 0,
        };
        let mut locked_first = None;
        let mut previous = None;
        for &position in &*order {
            let &pa = delegated.get(position).ok_or(GranuleError::TooMany)?;
            if pa == first || previous == Some(pa) {
                return Err(GranuleError::Alias);
            }
            if locked_first.is_none() && first < pa {
                locked_first = Some(self.lock(first)?);
            }
            let locked = self.lock(pa)?;
            let slot = set
                .granules
                .get_mut(position)
                .ok_or(GranuleError::TooMany)?;
            *slot = Some(locked);
            previous = Some(pa);
        }
        let locked_first = match locked_first {
            Some(locked) => locked,
            None => self.lock(first)?,
        };
        Ok((locked_first, set))
    }
}

/// DELEGATED Granules, all locked; yields them in the order in which the caller named them. Those
/// not taken are unlocked by the drop.
#[derive(Debug)]
pub struct DelegatedSet<'t> {
    granules: [Option<Locked<'t, Delegated>>; MAX_SET],
    next: usize,
}

impl<'t> Iterator for DelegatedSet<'t> {
    type Item = Locked<'t, Delegated>;

    fn next(&mut self) -> Option<Self::Item> {
        let granule = self.granules.get_mut(self.next)?.take();
        self.next += usize::from(granule.is_some());
        granule
    }
}
