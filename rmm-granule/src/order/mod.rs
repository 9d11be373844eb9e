// SPDX-License-Identifier: BSD-3-Clause
//! Hooks that check the lock order, and let tests interfere. They act in test builds only; in the monitor
//! they are empty.

#[cfg(any(test, feature = "fake"))]
mod record;

#[cfg(any(test, feature = "fake"))]
pub use record::{LockEvent, locked_while, observe_locks};
#[cfg(any(test, feature = "fake"))]
pub(crate) use record::{blocked, locked, state_changed, unlocked, unlocking, waiting};

#[cfg(not(any(test, feature = "fake")))]
pub(crate) use unchecked::{blocked, locked, state_changed, unlocked, unlocking, waiting};

#[cfg(not(any(test, feature = "fake")))]
mod unchecked {
    use crate::addr::Pa;
    use crate::state::GranuleState;
    use crate::sync::Word;

    /// This CPU is about to lock a Granule that its caller claims to be in state `claim`.
    #[inline]
    pub(crate) fn waiting(_word: &Word, _pa: Pa, _claim: GranuleState) {}

    /// This CPU has locked the Granule and found it in state `found`.
    #[inline]
    pub(crate) fn locked(_word: &Word, _pa: Pa, _claim: GranuleState, _found: GranuleState) {}

    /// The state of a locked Granule changes.
    #[inline]
    pub(crate) fn state_changed(_word: &Word, _from: GranuleState, _to: GranuleState) {}

    /// This CPU has found the Granule locked, and is about to wait for it.
    #[inline]
    pub(crate) fn blocked() {}

    /// This CPU is about to unlock a Granule.
    #[inline]
    pub(crate) fn unlocking(_word: &Word) {}

    /// This CPU has unlocked a Granule.
    #[inline]
    pub(crate) fn unlocked() {}
}
