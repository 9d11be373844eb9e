// SPDX-License-Identifier: BSD-3-Clause
//! The memory of a Realm of random code: where things are, and its stage 1 tables.

use super::Dice;
use crate::pool::GRANULE;
use crate::realm::entry_size;
use alloc::vec::Vec;
use tests_fvp::protocol::layout;

/// Where things are: pages from [`layout::BASE`] on.
pub const CODE: u64 = 1;
pub const CODE_PAGES: u64 = 4;
/// Stage 1 tables of level 0, 1 (for each half), 2 and 3, of which the Realm's code has the addresses.
pub const TABLES: u64 = CODE + CODE_PAGES;
pub const MEMORY: u64 = TABLES + 5;
/// Pages that are RAM and come and go.
pub const COMING: u64 = MEMORY + 8;
/// The first page that has RIPAS EMPTY.
pub const EMPTY: u64 = COMING + 6;
pub const PAGES: u64 = EMPTY + 4;
/// A second region, whose level 3 table comes and goes, too.
pub const SECOND: u64 = layout::BASE + entry_size(2);
/// Pages in use there, and in the Unprotected half.
pub const FEW: u64 = 4;

pub fn page(n: u64) -> u64 {
    layout::BASE + n * GRANULE
}

/// A value that code and Host work with.
pub fn literal(dice: &mut Dice, half: u64) -> u64 {
    let offset = match dice.below(8) {
        0 | 5 | 6 => 0,
        1 => GRANULE - 8,
        // Crosses into the next page.
        2 => GRANULE - [1, 2, 4, 7, 15][dice.below(5)],
        3 => dice.below(64) as u64,
        _ => (dice.roll() % GRANULE) & !7,
    };
    match dice.below(24) {
        0..5 => page(MEMORY + dice.roll() % 8) + offset,
        5..8 => page(COMING + dice.roll() % 6) + offset,
        8 => page(EMPTY + dice.roll() % 4) + offset,
        9 | 10 => page(TABLES + dice.roll() % 5) + offset,
        11 => page(dice.roll() % PAGES) + offset,
        12..15 => half + dice.roll() % (FEW + 1) * GRANULE + offset,
        15 => SECOND + dice.roll() % FEW * GRANULE + offset,
        16 => [0, half - GRANULE, 2 * half - GRANULE, 2 * half, 1 << 48][dice.below(5)] + offset,
        // A descriptor of stage 1.
        17 => page(dice.roll() % PAGES) | [0x703, 0x783, 0x707, 3, 0][dice.below(5)],
        18 | 19 => dice.below(17) as u64,
        20 => GRANULE << dice.below(12),
        21 => 1 << dice.below(64),
        22 => [u64::MAX, 0xFFFF_FFFF, 0x3000_0000, 0x5A5A_5A5A][dice.below(4)],
        _ => dice.roll() << 1 ^ dice.roll(),
    }
}

/// Stage 1 tables that map everything to itself: pages in the first 2 MiB from BASE, blocks elsewhere.
pub fn stage1_tables(half: u64, dice: &mut Dice) -> [Vec<u64>; 5] {
    const BLOCK: u64 = 1 | 1 << 10 | 3 << 8;
    const TABLE: u64 = 3;
    let device = if dice.below(2) == 0 { 1 << 2 } else { 0 };
    let gib = entry_size(1);
    let mut level_0: Vec<u64> = (0..512).map(|_| 0).collect();
    level_0[0] = page(TABLES + 1) | TABLE;
    level_0[(half / entry_size(0)) as usize] = page(TABLES + 2) | TABLE;
    let mut low: Vec<u64> = (0..512).map(|n| (n * gib) | BLOCK).collect();
    low[(layout::BASE / gib) as usize] = page(TABLES + 3) | TABLE;
    let high = (0..512)
        .map(|n| (half + n * gib) | BLOCK | device)
        .collect();
    let mut level_2: Vec<u64> = (0..512)
        .map(|n| (layout::BASE + n * entry_size(2)) | BLOCK)
        .collect();
    level_2[0] = page(TABLES + 4) | TABLE;
    // AP[2:1]. Code that EL0 could write would not run at EL1; EL0 reads the literals of code.
    let mut access = |n| match n {
        CODE..TABLES => 3 * u64::from(dice.below(4) != 0),
        MEMORY..PAGES => u64::from(dice.below(4) != 0),
        _ => 0,
    };
    let level_3 = (0..512)
        .map(|n| page(n) | BLOCK | 2 | access(n) << 6)
        .collect();
    [level_0, low, high, level_2, level_3]
}
