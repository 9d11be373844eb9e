// SPDX-License-Identifier: BSD-3-Clause
//! The shape of a Realm's stage 2 translation: sizes, levels, and where its start-level RTTs are.

use rmm_granule::{GRANULE_SHIFT, Ipa, Pa, RTT_ENTRIES};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Reference count of an RTT whose entries are all ASSIGNED.
pub(crate) const ALL_ASSIGNED: u16 = 512;
const _: () = assert!(ALL_ASSIGNED as usize == RTT_ENTRIES);

/// Level of pages.
pub const PAGE_LEVEL: i8 = 3;

/// log2 of [`RTT_ENTRIES`].
pub(crate) const INDEX_BITS: u32 = RTT_ENTRIES.ilog2();

/// Narrowest IPA space of a Realm in bits.
pub const MIN_IPA_WIDTH: u8 = 32;

/// Most start-level RTTs of a Realm, which are concatenated.
pub const MAX_START_TABLES: usize = 16;

/// log2 of the bytes that one entry of a level, -1 to 3, translates: 48, 39, 30, 21, 12.
#[inline]
pub(crate) const fn shift(level: i8) -> u32 {
    let levels_below = PAGE_LEVEL as i32 - level as i32;
    let bits = GRANULE_SHIFT.cast_signed() + INDEX_BITS.cast_signed() * levels_below;
    // The mask changes nothing for these levels. It makes this a valid amount to shift an address by,
    // and costs no instruction there.
    bits.cast_unsigned() & 63
}

/// Bytes that one entry of a level, -1 to 3, translates.
#[inline]
pub const fn entry_size(level: i8) -> u64 {
    1 << shift(level)
}

/// Index in its RTT of the entry of `level`, -1 to 3, that translates `ipa`.
#[inline]
#[allow(clippy::cast_possible_truncation)]
pub(crate) const fn index(ipa: Ipa, level: i8) -> usize {
    (ipa.0 >> shift(level)) as usize % RTT_ENTRIES
}

/// The stage 2 translation of a Realm, which does not change during the life of the Realm.
///
/// It is kept in the RD and, as a copy, in each REC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Stage2 {
    /// `rtt_base`: physical address of the first start-level RTT, aligned to the size of all of them
    /// (`rtt_align`). The others follow it.
    pub base: Pa,
    /// `rtt_level_start`: level of the start-level RTTs, -1 to 3.
    pub start_level: i8,
    /// `rtt_num_start`: number of start-level RTTs, 1 to [`MAX_START_TABLES`].
    pub num_start: u8,
    /// `ipa_width`: width of the IPA space in bits.
    pub ipa_width: u8,
    /// `feat_lpa2`: 1 if descriptors have the 52-bit layout, else 0.
    pub lpa2: u8,
    /// VMID.
    pub vmid: u16,
    /// Zero.
    pub reserved: [u8; 2],
}

impl Stage2 {
    /// Whether IPA width, start level and number of start-level RTTs are supported and belong
    /// together (`rtt_num_level`).
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
        let most = MAX_START_TABLES.ilog2().cast_signed();
        let tables = 1 << if beyond > 0 { beyond } else { 0 };
        start_entries_needed && beyond <= most && self.num_start as u32 == tables
    }

    /// Whether descriptors have the 52-bit layout.
    #[inline]
    #[must_use]
    pub const fn has_lpa2(&self) -> bool {
        self.lpa2 != 0
    }

    /// First IPA of the Unprotected half, which follows the Protected half: 2^(`ipa_width` - 1).
    #[inline]
    #[must_use]
    pub const fn protected_end(&self) -> Ipa {
        Ipa((1 << (self.ipa_width as u32 & 63)) >> 1)
    }

    /// Whether `ipa` is in the Protected half.
    #[inline]
    #[must_use]
    pub const fn is_protected(&self, ipa: Ipa) -> bool {
        ipa.0 < self.protected_end().0
    }

    /// Whether `ipa` is in the IPA space: below 2^`ipa_width`.
    #[inline]
    #[must_use]
    pub const fn in_range(&self, ipa: Ipa) -> bool {
        ipa.0 >> (self.ipa_width as u32 & 63) == 0
    }

    /// Whether `ipa` is in the Unprotected half.
    #[inline]
    #[must_use]
    pub const fn is_unprotected(&self, ipa: Ipa) -> bool {
        self.in_range(ipa) && !self.is_protected(ipa)
    }

    /// Whether a descriptor of this Realm can hold `pa`: below 2^48, or 2^52 with LPA2
    /// (`data_bound2`, `rtt_bound2`).
    #[inline]
    #[must_use]
    pub const fn can_output(&self, pa: Pa) -> bool {
        pa.0 >> (if self.has_lpa2() { 52 } else { 48 }) == 0
    }

    /// `level` if this Realm has RTTs of it (`level_bound` of RTT_READ_ENTRY).
    #[inline]
    #[must_use]
    pub const fn any_level(&self, level: i64) -> Option<i8> {
        level_from(level, self.start_level as i64)
    }

    /// `level` if this Realm has RTTs of it that are not start-level RTTs (`level_bound` of
    /// RTT_CREATE, RTT_DESTROY, RTT_FOLD).
    #[inline]
    #[must_use]
    pub const fn table_level(&self, level: i64) -> Option<i8> {
        level_from(level, self.start_level as i64 + 1)
    }

    /// `level` if this Realm has blocks or pages of it (`level_bound` of RTT_MAP_UNPROTECTED,
    /// RTT_UNMAP_UNPROTECTED).
    #[inline]
    #[must_use]
    pub const fn leaf_level(&self, level: i64) -> Option<i8> {
        let start = self.start_level as i64;
        level_from(level, if start > 1 { start } else { 1 })
    }

    /// Physical addresses of the start-level RTTs, in ascending order.
    #[inline]
    pub fn start_tables(&self) -> impl Iterator<Item = Pa> + use<> {
        let Self {
            base, num_start, ..
        } = *self;
        (0..num_start.into()).map(move |number| start_table_address(base, number))
    }

    /// Physical address of the start-level RTT that translates `ipa`, which is in the IPA space.
    #[inline]
    pub(crate) const fn start_table_of(&self, ipa: Ipa) -> Pa {
        start_table_address(self.base, ipa.0 >> shift(self.start_level) >> INDEX_BITS)
    }
}

/// Physical address of start-level RTT `number` of those at `base`.
#[inline]
const fn start_table_address(base: Pa, number: u64) -> Pa {
    // `base` is aligned to the size of all of them.
    Pa(base.0 | number << GRANULE_SHIFT)
}

/// `level` as a number of this type, if it is one from `first` to 3.
#[inline]
#[allow(clippy::cast_possible_truncation)]
const fn level_from(level: i64, first: i64) -> Option<i8> {
    if level >= first && level <= PAGE_LEVEL as i64 {
        Some(level as i8)
    } else {
        None
    }
}
