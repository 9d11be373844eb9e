// SPDX-License-Identifier: BSD-3-Clause
//! Where the lock order is checked: in tests only, by `fake::order`. Elsewhere these are nothing.

#[cfg(any(test, feature = "fake"))]
pub(crate) use crate::fake::order::{changed, locked, unlocked, wait};

#[cfg(not(any(test, feature = "fake")))]
pub(crate) use unchecked::{changed, locked, unlocked, wait};

#[cfg(not(any(test, feature = "fake")))]
mod unchecked {
    use crate::Pa;
    use crate::state::GranuleState;
    use crate::sync::Word;

    /// This CPU is about to lock a Granule that is claimed to be in this state.
    #[inline(always)]
    pub(crate) fn wait(_word: &Word, _pa: Pa, _claim: GranuleState) {}

    /// It has, and found it in that state.
    #[inline(always)]
    pub(crate) fn locked(_word: &Word, _pa: Pa, _claim: GranuleState, _found: GranuleState) {}

    /// A locked Granule changes its state.
    #[inline(always)]
    pub(crate) fn changed(_word: &Word, _from: GranuleState, _to: GranuleState) {}

    /// This CPU unlocks a Granule.
    #[inline(always)]
    pub(crate) fn unlocked(_word: &Word) {}
}
