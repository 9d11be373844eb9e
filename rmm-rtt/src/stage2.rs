// SPDX-License-Identifier: BSD-3-Clause
//! What a Realm's stage 2 translation is made of.

use rmm_granule::{GRANULE_SHIFT, GRANULE_SIZE, Ipa, Pa};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Entries of an RTT.
pub const ENTRIES: usize = 512;

/// What a table of ASSIGNED entries counts.
pub(crate) const ALL_ASSIGNED: u16 = 512;

/// Level of pages.
pub(crate) const PAGE_LEVEL: i8 = 3;

/// log2 of [`ENTRIES`].
const INDEX_BITS: u32 = 9;

/// Narrowest IPA space in bits.
pub const MIN_IPA_WIDTH: u8 = 32;

/// Concatenated start-level tables resolve up to this many more bits than one table.
const CONCATENATED_BITS: i32 = 4;

/// Bits of an IPA below those that index the RTT of a level, -1 to 3.
#[inline(always)]
#[allow(clippy::cast_sign_loss)]
pub(crate) const fn shift(level: i8) -> u32 {
    let below = (PAGE_LEVEL as u32).wrapping_sub(level as u32);
    GRANULE_SHIFT.wrapping_add(INDEX_BITS.wrapping_mul(below))
}

/// Bytes that one entry of a level, -1 to 3, translates.
#[inline(always)]
pub const fn entry_size(level: i8) -> u64 {
    1u64.wrapping_shl(shift(level))
}

/// A Realm's stage 2 translation; the same throughout the Realm's life.
///
/// Lives in the RD and, as a copy, in each REC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Stage2 {
    /// `rtt_base`: physical address of the first start-level RTT; the others follow it.
    pub base: Pa,
    /// `rtt_level_start`: level of the start-level RTTs, -1 to 2.
    pub start_level: i8,
    /// `rtt_num_start`: number of concatenated start-level RTTs, 1 to 16.
    pub num_start: u8,
    /// `ipa_width`: IPA width in bits.
    pub ipa_width: u8,
    /// `feat_lpa2`: 1 if descriptors have the 52-bit layout, else 0.
    pub lpa2: u8,
    /// VMID.
    pub vmid: u16,
    /// Zero.
    pub reserved: [u8; 2],
}

impl Stage2 {
    /// Whether IPA width, start level and number of start-level RTTs belong together
    /// (`rtt_num_level`).
    #[must_use]
    pub const fn is_consistent(&self) -> bool {
        let widest = if self.has_lpa2() { 52 } else { 48 };
        let lowest = if self.has_lpa2() { -1 } else { 0 };
        if self.start_level < lowest || self.start_level > PAGE_LEVEL {
            return false;
        }
        if self.ipa_width < MIN_IPA_WIDTH || self.ipa_width > widest {
            return false;
        }
        // Bits beyond those that a single start-level RTT resolves.
        let beyond = self.ipa_width as i32 - (shift(self.start_level) + INDEX_BITS).cast_signed();
        let start_entries_needed = beyond > -INDEX_BITS.cast_signed();
        let tables = 1 << if beyond > 0 { beyond } else { 0 };
        start_entries_needed && beyond <= CONCATENATED_BITS && self.num_start as u32 == tables
    }

    /// Whether descriptors have the 52-bit layout.
    #[inline(always)]
    #[must_use]
    pub const fn has_lpa2(&self) -> bool {
        self.lpa2 != 0
    }

    /// End of the Protected half and start of the Unprotected one.
    #[inline(always)]
    #[must_use]
    pub const fn protected_end(&self) -> Ipa {
        Ipa(1 << ((self.ipa_width as u32).wrapping_sub(1) & 63))
    }

    /// Whether `ipa` is in the Protected half.
    #[inline(always)]
    #[must_use]
    pub const fn is_protected(&self, ipa: Ipa) -> bool {
        ipa.0 < self.protected_end().0
    }

    /// Whether `ipa` is below 2^ipa_width.
    #[inline(always)]
    #[must_use]
    pub const fn in_range(&self, ipa: Ipa) -> bool {
        ipa.0 >> (self.ipa_width as u32 & 63) == 0
    }

    /// Whether `ipa` is in the Unprotected half.
    #[inline(always)]
    #[must_use]
    pub const fn is_unprotected(&self, ipa: Ipa) -> bool {
        self.in_range(ipa) && !self.is_protected(ipa)
    }

    /// Whether a descriptor of this Realm can hold `pa` (`data_bound2`, `rtt_bound2`): below 2^48
    /// unless it has LPA2.
    #[inline(always)]
    #[must_use]
    pub const fn can_output(&self, pa: Pa) -> bool {
        pa.0 >> (if self.has_lpa2() { 52 } else { 48 }) == 0
    }

    /// A level this Realm has (`level_bound` of RTT_READ_ENTRY).
    #[inline(always)]
    #[must_use]
    pub const fn any_level(&self, level: i64) -> Option<i8> {
        self.level_from(level, self.start_level)
    }

    /// A level of RTTs other than start-level ones (`level_bound` of RTT_CREATE, RTT_DESTROY,
    /// RTT_FOLD).
    #[inline(always)]
    #[must_use]
    pub const fn table_level(&self, level: i64) -> Option<i8> {
        self.level_from(level, self.start_level.wrapping_add(1))
    }

    /// A level of blocks or pages (`level_bound` of RTT_MAP_UNPROTECTED, RTT_UNMAP_UNPROTECTED).
    #[inline(always)]
    #[must_use]
    pub const fn leaf_level(&self, level: i64) -> Option<i8> {
        let lowest = if self.start_level > 1 {
            self.start_level
        } else {
            1
        };
        self.level_from(level, lowest)
    }

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)]
    const fn level_from(&self, level: i64, lowest: i8) -> Option<i8> {
        if level >= lowest as i64 && level <= PAGE_LEVEL as i64 {
            Some(level as i8)
        } else {
            None
        }
    }

    /// Physical address of the start-level RTT that `ipa`, below 2^ipa_width, is translated by.
    #[inline(always)]
    pub(crate) const fn start_table(&self, ipa: Ipa) -> Pa {
        let number = ipa
            .0
            .wrapping_shr(shift(self.start_level).wrapping_add(INDEX_BITS));
        Pa(self
            .base
            .0
            .wrapping_add(number.wrapping_mul(GRANULE_SIZE as u64)))
    }
}

/// Index in its RTT of the entry of `level` for `ipa`.
#[inline(always)]
#[allow(clippy::cast_possible_truncation)]
pub(crate) const fn index(ipa: Ipa, level: i8) -> usize {
    ipa.0.wrapping_shr(shift(level)) as usize % ENTRIES
}
