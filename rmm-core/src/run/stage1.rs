// SPDX-License-Identifier: BSD-3-Clause
//! The monitor's own walk of a Realm's stage 1 tables, which finds the level at which an address
//! beyond the IPA space appears (A5.2.8).

use crate::machine::El1State;

/// `SCTLR_EL1.M`: stage 1 is on.
const SCTLR_M: u64 = 1 << 0;
/// `SCTLR_EL1.EE`: tables are big-endian.
const SCTLR_EE: u64 = 1 << 25;
/// `TCR_EL1.DS`: 52-bit addresses with 4 KiB and 16 KiB granules.
const TCR_DS: u64 = 1 << 59;

/// One of the two VA ranges: its table and geometry.
struct Regime {
    /// `TTBR<n>_EL1`.
    ttbr: u64,
    /// log2 of the granule size: 12, 14 or 16.
    granule: u32,
    /// Bits of a VA that are translated.
    input_bits: u32,
    /// 52-bit output addresses.
    wide: bool,
    big_endian: bool,
}

impl Regime {
    /// The range that holds `va`; `None` if its configuration is reserved.
    fn of(el1: &El1State, va: u64) -> Option<Self> {
        let upper = va >> 55 & 1 != 0;
        let (ttbr, tsz, granule) = if upper {
            let granule = match el1.tcr >> 30 & 3 {
                1 => 14,
                2 => 12,
                3 => 16,
                _ => return None,
            };
            (el1.ttbr1, el1.tcr >> 16 & 0x3F, granule)
        } else {
            let granule = match el1.tcr >> 14 & 3 {
                0 => 12,
                1 => 16,
                2 => 14,
                _ => return None,
            };
            (el1.ttbr0, el1.tcr & 0x3F, granule)
        };
        let ds = el1.tcr & TCR_DS != 0;
        let most = if ds || granule == 16 { 52 } else { 48 };
        let input_bits = 64 - u32::try_from(tsz).ok()?;
        (granule + 1..=most).contains(&input_bits).then_some(Self {
            ttbr,
            granule,
            input_bits,
            // With 64 KiB granules the upper bits have a place of their own, whatever DS is.
            wide: ds || granule == 16,
            big_endian: el1.sctlr & SCTLR_EE != 0,
        })
    }

    /// Bits of a VA that one level resolves.
    fn stride(&self) -> u32 {
        self.granule - 3
    }

    /// Level at which the walk starts: -1 to 3.
    fn start_level(&self) -> i32 {
        let levels = (self.input_bits - self.granule).div_ceil(self.stride());
        4 - levels.cast_signed()
    }

    /// Lowest VA bit that a level resolves.
    fn shift(&self, level: i32) -> u32 {
        self.granule + self.stride() * (3 - level).unsigned_abs()
    }

    /// The start level table.
    fn base(&self) -> u64 {
        let low = self.ttbr & 0xFFFF_FFFF_FFC0;
        if self.wide {
            low | (self.ttbr >> 2 & 0xF) << 48
        } else {
            low
        }
    }

    /// Offset of the entry for `va` in its table of this level, in bytes.
    fn entry_offset(&self, va: u64, level: i32) -> u64 {
        let shift = self.shift(level);
        let bits = if level == self.start_level() {
            self.input_bits - shift
        } else {
            self.stride()
        };
        (va >> shift & ((1 << bits) - 1)) * 8
    }

    /// The address in a descriptor.
    fn output(&self, descriptor: u64) -> u64 {
        let low = descriptor & 0xFFFF_FFFF_FFFF & !((1 << self.granule) - 1);
        match (self.granule, self.wide) {
            (16, _) => low | (descriptor >> 12 & 0xF) << 48,
            (_, true) => low | descriptor & 3 << 48 | (descriptor >> 8 & 3) << 50,
            _ => low,
        }
    }
}

/// Where in a stage 1 walk an address beyond the IPA space appears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// At this level, -1 to 3; 0 for the table base itself, and if stage 1 is off.
    At(i8),
    /// In no step: the walk ends within the IPA space, or at an invalid entry.
    Nowhere,
    /// In a step that cannot be followed: `read` does not reach an entry, or the configuration is
    /// reserved.
    Unknown,
}

/// Walks stage 1 for `va` and looks for an address at or beyond `2^ipa_width`. `read` reads an entry
/// at an IPA.
pub fn overflow_level(
    el1: &El1State,
    va: u64,
    ipa_width: u8,
    mut read: impl FnMut(u64) -> Option<u64>,
) -> Overflow {
    if el1.sctlr & SCTLR_M == 0 {
        return Overflow::At(0);
    }
    let beyond = |address: u64| address.checked_shr(u32::from(ipa_width)).unwrap_or(0) != 0;
    let Some(regime) = Regime::of(el1, va) else {
        return Overflow::Unknown;
    };
    let mut table = regime.base();
    if beyond(table) {
        return Overflow::At(0);
    }
    for level in regime.start_level()..=3 {
        let Some(descriptor) = read(table + regime.entry_offset(va, level)) else {
            return Overflow::Unknown;
        };
        let descriptor = if regime.big_endian {
            descriptor.swap_bytes()
        } else {
            descriptor
        };
        let output = regime.output(descriptor);
        let (is_table, next) = match (descriptor & 3, level) {
            (3, ..3) => (true, output),
            // A block may be larger than the IPA space: the place of `va` in it decides.
            (3, _) | (1, ..3) => (false, output | va & ((1 << regime.shift(level)) - 1)),
            _ => return Overflow::Nowhere,
        };
        if beyond(next) {
            return i8::try_from(level).map_or(Overflow::Unknown, Overflow::At);
        }
        if !is_table {
            return Overflow::Nowhere;
        }
        table = next;
    }
    Overflow::Nowhere
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use zerocopy::FromZeros;

    const TABLE: u64 = 3;
    const PAGE: u64 = 3;
    const BLOCK: u64 = 1;

    fn el1(tcr: u64, ttbr0: u64) -> El1State {
        let mut el1 = El1State::new_zeroed();
        el1.sctlr = SCTLR_M;
        el1.tcr = tcr;
        el1.ttbr0 = ttbr0;
        el1
    }

    fn level(el1: &El1State, va: u64, entries: &[(u64, u64)]) -> Overflow {
        level_of(el1, va, 40, entries)
    }

    fn level_of(el1: &El1State, va: u64, ipa_width: u8, entries: &[(u64, u64)]) -> Overflow {
        let memory: HashMap<u64, u64> = entries.iter().copied().collect();
        overflow_level(el1, va, ipa_width, |ipa| memory.get(&ipa).copied())
    }

    #[test]
    fn stage_1_off() {
        let mut el1 = el1(0, 0);
        el1.sctlr = 0;
        assert_eq!(level(&el1, 1 << 41, &[]), Overflow::At(0));
    }

    #[test]
    fn four_kib_pages_of_39_bits() {
        let el1 = el1(25, 0x1000);
        let va = 1 << 30 | 2 << 21 | 3 << 12 | 0x123;
        let (l1, l2, l3) = (0x1008, 0x2010, 0x3018);
        let beyond = 1 << 40;
        let walk = |e1, e2, e3| level(&el1, va, &[(l1, e1), (l2, e2), (l3, e3)]);
        assert_eq!(
            walk(0x2000 | TABLE, 0x3000 | TABLE, beyond | PAGE),
            Overflow::At(3)
        );
        assert_eq!(walk(0x2000 | TABLE, beyond | TABLE, 0), Overflow::At(2));
        assert_eq!(walk(0x2000 | TABLE, beyond | BLOCK, 0), Overflow::At(2));
        assert_eq!(walk(beyond | BLOCK, 0, 0), Overflow::At(1));
        assert_eq!(
            walk(0x2000 | TABLE, 0x3000 | TABLE, 0x5000 | PAGE),
            Overflow::Nowhere,
            "in range"
        );
        assert_eq!(
            walk(0x2000 | TABLE, 0, 0),
            Overflow::Nowhere,
            "invalid by now"
        );
        assert_eq!(
            level(&el1, va, &[]),
            Overflow::Unknown,
            "table out of reach"
        );
        assert_eq!(level(&el1_with_base(25, beyond), va, &[]), Overflow::At(0));
    }

    fn el1_with_base(tcr: u64, base: u64) -> El1State {
        el1(tcr, base)
    }

    #[test]
    fn upper_range_64_kib_and_big_endian() {
        let mut el1 = el1(16 << 16 | 3 << 30, 0);
        el1.ttbr1 = 0x1_0000;
        el1.sctlr |= SCTLR_EE;
        let va = 0xFFFF_0000_0000_0000;
        let table = (0x2_0000 | TABLE).swap_bytes();
        let block = (1_u64 << 41 | BLOCK).swap_bytes();
        assert_eq!(
            level(&el1, va, &[(0x1_0000, table), (0x2_0000, block)]),
            Overflow::At(2)
        );
        // Bits 51:48 of an address lie at 15:12 of a descriptor.
        let wide = (1_u64 << 12 | BLOCK).swap_bytes();
        assert_eq!(
            level(&el1, va, &[(0x1_0000, table), (0x2_0000, wide)]),
            Overflow::At(2)
        );
    }

    #[test]
    fn sixteen_kib_in_both_ranges() {
        let va = 1 << 36 | 2 << 25 | 3 << 14;
        let entries = |last| {
            [
                (0x4008, 0x8000 | TABLE),
                (0x8010, 0xC000 | TABLE),
                (0xC018, last),
            ]
        };
        let lower = el1(2 << 14 | 17, 0x4000);
        let mut upper = el1(17 << 16 | 1 << 30, 0);
        upper.ttbr1 = 0x4000;
        for (el1, va) in [(&lower, va), (&upper, 0xFFFF_8000_0000_0000 | va)] {
            let beyond = 1 << 40 | PAGE;
            assert_eq!(level(el1, va, &entries(beyond)), Overflow::At(3));
            let within = 0x1_0000 | PAGE;
            assert_eq!(level(el1, va, &entries(within)), Overflow::Nowhere);
        }
    }

    #[test]
    fn level_minus_1_with_lpa2() {
        let el1 = el1(12 | TCR_DS, 0x1000);
        let va = 5 << 48;
        assert_eq!(
            level(&el1, va, &[(0x1028, 1 << 9 | TABLE)]),
            Overflow::At(-1)
        );
        assert_eq!(
            level(
                &el1,
                va,
                &[(0x1028, 0x2000 | TABLE), (0x2000, 1 << 45 | BLOCK)]
            ),
            Overflow::At(0)
        );
    }

    #[test]
    fn blocks_larger_than_the_ipa_space() {
        // 512 GiB at level 0, 52-bit addresses.
        let four_kib = el1(16 | TCR_DS, 0x1000);
        let entries = [(0x1000, BLOCK)];
        assert_eq!(level_of(&four_kib, 1 << 36, 36, &entries), Overflow::At(0));
        assert_eq!(
            level_of(&four_kib, (1 << 36) - 1, 36, &entries),
            Overflow::Nowhere
        );
        // 4 TiB at level 1.
        let sixty_four_kib = el1(1 << 14 | 16, 0x1_0000);
        let entries = [(0x1_0000, BLOCK)];
        assert_eq!(
            level_of(&sixty_four_kib, 1 << 40, 40, &entries),
            Overflow::At(1)
        );
    }

    #[test]
    fn reserved_configurations_end() {
        for tcr in [3 << 14 | 16, 63, 1 << 14 | 60] {
            assert_eq!(
                level(&el1(tcr, 0), 0, &[(0, 1 << 41 | TABLE)]),
                Overflow::Unknown
            );
        }
    }
}
