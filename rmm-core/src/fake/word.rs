// SPDX-License-Identifier: BSD-3-Clause
//! The word of a granule in the granule table, decoded independently of the monitor.

use rmm_granule::GranuleState;
use std::fmt;

/// The word of a granule: lock (bit 15), whether CPUs wait for it (bit 14), state (bits 13:11), reference
/// count (bits 9:0), and of an RD whether the Realm is ACTIVE (bit 10).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct GranuleWord(u16);

impl GranuleWord {
    const LOCK: u16 = 1 << 15;
    const STATE_SHIFT: u32 = 11;
    const ACTIVE: u16 = 1 << 10;
    const COUNT: u16 = Self::ACTIVE - 1;

    pub(super) const fn from_raw(word: u16) -> Self {
        Self(word)
    }

    /// The word of an unlocked granule.
    #[must_use]
    pub const fn new(state: GranuleState, count: u16) -> Self {
        Self((state as u16) << Self::STATE_SHIFT | count)
    }

    /// The same word, of the RD of a Realm that is ACTIVE or not.
    #[must_use]
    pub const fn with_active(self, active: bool) -> Self {
        Self(if active {
            self.0 | Self::ACTIVE
        } else {
            self.0
        })
    }

    /// Whether the granule is locked.
    #[must_use]
    pub const fn is_locked(self) -> bool {
        self.0 & Self::LOCK != 0
    }

    /// Reference count.
    #[must_use]
    pub const fn count(self) -> u16 {
        self.0 & Self::COUNT
    }

    /// State.
    #[must_use]
    pub const fn state(self) -> GranuleState {
        match self.0 >> Self::STATE_SHIFT & 7 {
            0 => GranuleState::Undelegated,
            1 => GranuleState::Delegated,
            2 => GranuleState::Rd,
            3 => GranuleState::Rec,
            4 => GranuleState::RecAux,
            5 => GranuleState::Rtt,
            6 => GranuleState::Data,
            _ => GranuleState::NeverDelegable,
        }
    }
}

impl fmt::Debug for GranuleWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lock = if self.is_locked() { ", locked" } else { "" };
        let active = if self.0 & Self::ACTIVE == 0 {
            ""
        } else {
            ", ACTIVE"
        };
        write!(
            f,
            "{:?} with count {}{active}{lock}",
            self.state(),
            self.count()
        )
    }
}
