// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_FOLD and the RMI_RTT_CREATE that takes it back; RMI_RTT_MAP_UNPROTECTED and
//! RMI_RTT_UNMAP_UNPROTECTED.

use super::Test;
use super::rtt::check_entry;
use super::zoo::{Kind, Zoo};
use crate::check::{Check, ensure_eq};
use crate::pool::{self, GRANULE};
use crate::realm::{Config, Realm, entry_size};
use crate::rmi;
use alloc::format;
use tests_fvp::protocol::layout;

pub const TESTS: &[Test] = &[
    ("fold.unassigned", unassigned),
    ("fold.assigned", assigned),
    ("fold.not_homogeneous", not_homogeneous),
    ("fold.misaligned", misaligned),
    ("fold.level_1", level_1),
    ("fold.wrong", wrong),
    ("fold.unprotected", unprotected),
    ("unprotected.map", map),
    ("unprotected.map_wrong", map_wrong),
    ("unprotected.map_desc_wrong", map_desc_wrong),
    ("unprotected.unmap", unmap),
    ("unprotected.unmap_wrong", unmap_wrong),
];

const MIB_2: u64 = entry_size(2);
const GIB: u64 = entry_size(1);
/// Descriptor fields that a Host sets: read-write, Normal Write-Back.
const ATTRIBUTES: u64 = 3 << 6 | 6 << 2;

// Conformance: RMI_RTT_FOLD unassigned, unassigned_ns, rtt, state
fn unassigned() -> Check {
    let mut realm = Realm::new(&Config::default())?;
    let half = realm.config.unprotected();
    realm.add_tables(0, 3)?;
    realm.add_tables(half, 3)?;
    realm.init_ripas(0, MIB_2)?;
    realm.fold(0, 3)?;
    check_entry(&realm, 0, 3, [2, 0, 0, 1])?;
    check_entry(&realm, MIB_2, 3, [2, 0, 0, 0])?;
    realm.fold(half, 3)?;
    check_entry(&realm, half, 3, [2, 0, 0, 0])?;
    realm.fold(half, 2)?;
    realm.fold(half, 1)?;
    check_entry(&realm, half, 3, [0, 0, 0, 0])?;
    // DESTROYED, too.
    realm.add_table(0, 3)?;
    realm.remove_table(0, 3)?;
    realm.add_table(0, 3)?;
    realm.fold(0, 3)?;
    check_entry(&realm, 0, 3, [2, 0, 0, 2])?;
    realm.finish()
}

/// 512 pages in a row become a block, and pages again.
// Conformance: RMI_RTT_FOLD assigned
// Conformance: RMI_RTT_CREATE assigned
// Conformance: RMI_DATA_DESTROY rtt_walk_block
// Conformance: RMI_RTT_DESTROY rtte_state_block
fn assigned() -> Check {
    let mut realm = Realm::new(&Config::default())?;
    realm.add_tables(0, 3)?;
    realm.init_ripas(0, MIB_2)?;
    let block = pool::take_delegated_row(512, MIB_2)?;
    for offset in (0..MIB_2).step_by(GRANULE as usize) {
        let answer = rmi::data_create_unknown(realm.rd, block + offset, offset);
        answer.ok("RMI_DATA_CREATE_UNKNOWN")?;
    }
    realm.fold(0, 3)?;
    check_entry(&realm, 0, 3, [2, 1, block, 1])?;
    check_entry(&realm, 5 * GRANULE, 3, [2, 1, block, 1])?;
    // A block is not a page, nor a table.
    for ipa in [0, 5 * GRANULE] {
        let out = rmi::data_destroy(realm.rd, ipa).rtt(2, "page in a block")?;
        ensure_eq!(out[1], ipa, "top of a page in a block");
    }
    let out = rmi::rtt_destroy(realm.rd, 0, 3).rtt(2, "table that is a block")?;
    ensure_eq!(out[1], 0, "top of a table that is a block");
    rmi::rtt_fold(realm.rd, 0, 3).rtt(2, "fold of a block")?;
    realm.add_table(0, 3)?;
    for offset in (0..MIB_2).step_by(GRANULE as usize) {
        check_entry(&realm, offset, 3, [3, 1, block + offset, 1])?;
        let out = rmi::data_destroy(realm.rd, offset).ok("RMI_DATA_DESTROY")?;
        ensure_eq!(out[0], block + offset, "data");
        pool::give_delegated(block + offset)?;
    }
    realm.finish()
}

// Conformance: RMI_RTT_FOLD rtt_homo_table, rtt_homo_ripas, rtt_homo_mixture, rtt_homo_address
// Conformance: RMI_RTT_FOLD rtt_homo_attributes
// Conformance: Bugs others fixed fold_attributes
fn not_homogeneous() -> Check {
    let mut realm = Realm::new(&Config::default())?;
    let half = realm.config.unprotected();
    let rd = realm.rd;
    realm.add_tables(0, 3)?;
    rmi::rtt_fold(rd, 0, 2).rtt(2, "a table among the entries")?;
    rmi::rtt_fold(rd, 0, 1).rtt(1, "a table among the entries")?;
    realm.init_ripas(0, MIB_2 - GRANULE)?;
    rmi::rtt_fold(rd, 0, 3).rtt(3, "the last entry has another RIPAS")?;
    realm.add_unknown(0)?;
    rmi::rtt_fold(rd, 0, 3).rtt(3, "one page is assigned")?;
    realm.remove_page(0)?;
    rmi::rtt_fold(rd, 0, 3).rtt(3, "one page is DESTROYED")?;
    // Pages that lie in the wrong order.
    let block = pool::take_delegated_row(512, MIB_2)?;
    realm.add_table(MIB_2, 3)?;
    let order = |n: u64| match n {
        100 => 200,
        200 => 100,
        n => n,
    };
    for n in 0..512 {
        let answer = rmi::data_create_unknown(rd, block + order(n) * GRANULE, MIB_2 + n * GRANULE);
        answer.ok("RMI_DATA_CREATE_UNKNOWN")?;
    }
    rmi::rtt_fold(rd, MIB_2, 3).rtt(3, "two pages are exchanged")?;
    for n in 0..512 {
        rmi::data_destroy(rd, MIB_2 + n * GRANULE).ok("RMI_DATA_DESTROY")?;
    }
    pool::give_delegated_row(block, 512)?;
    // Host pages in a row, one of them with other attributes.
    realm.add_tables(half, 3)?;
    for n in 0..512 {
        let attributes = if n == 300 {
            1 << 6 | 6 << 2
        } else {
            ATTRIBUTES
        };
        let desc = (0x8000_0000 + n * GRANULE) | attributes;
        rmi::rtt_map_unprotected(rd, half + n * GRANULE, 3, desc).ok("RMI_RTT_MAP_UNPROTECTED")?;
    }
    rmi::rtt_fold(rd, half, 3).rtt(3, "one page is read-only")?;
    realm.finish()
}

/// Pages in a row, the first of which is not where a block could begin.
// Conformance: RMI_RTT_FOLD rtt_homo_alignment
fn misaligned() -> Check {
    let mut realm = Realm::new(&Config::default())?;
    let half = realm.config.unprotected();
    let rd = realm.rd;
    realm.add_tables(0, 3)?;
    let row = pool::take_delegated_row(513, MIB_2)?;
    for n in 0..512 {
        let answer = rmi::data_create_unknown(rd, row + (n + 1) * GRANULE, n * GRANULE);
        answer.ok("RMI_DATA_CREATE_UNKNOWN")?;
    }
    rmi::rtt_fold(rd, 0, 3).rtt(3, "pages from the second of a block")?;
    for n in 0..512 {
        rmi::data_destroy(rd, n * GRANULE).ok("RMI_DATA_DESTROY")?;
    }
    pool::give_delegated_row(row, 513)?;
    realm.add_tables(half, 3)?;
    for n in 0..512 {
        let desc = (0x8000_1000 + n * GRANULE) | ATTRIBUTES;
        rmi::rtt_map_unprotected(rd, half + n * GRANULE, 3, desc).ok("RMI_RTT_MAP_UNPROTECTED")?;
    }
    rmi::rtt_fold(rd, half, 3).rtt(3, "the Host's pages from the second of a block")?;
    realm.finish()
}

/// There are no blocks of level 0.
// Conformance: RMI_RTT_FOLD rtt_homo_level
fn level_1() -> Check {
    let mut realm = Realm::new(&Config::default())?;
    let half = realm.config.unprotected();
    realm.add_table(half, 1)?;
    for offset in (0..512).map(|n| n * GIB) {
        let desc = offset | ATTRIBUTES;
        rmi::rtt_map_unprotected(realm.rd, half + offset, 1, desc).ok("a block of 1 GiB")?;
    }
    rmi::rtt_fold(realm.rd, half, 1).rtt(1, "512 blocks of 1 GiB")?;
    check_entry(&realm, half, 1, [1, 1, ATTRIBUTES, 0])?;
    realm.finish()
}

// Conformance: RMI_RTT_FOLD rd_align, rd_bound, rd_state, rd<rtt_walk, rd<rtte_state, rd<rtt_homo
// Conformance: RMI_RTT_FOLD ipa_align, rtt_walk, rtte_state
// Conformance: RMI_RTT_FOLD level_bound, level_bound<rtt_walk, level_bound<rtte_state
// Conformance: RMI_RTT_FOLD ipa_bound, ipa_bound<rtt_walk, ipa_bound<rtte_state
fn wrong() -> Check {
    let zoo = Zoo::new()?;
    let rd = zoo.realm.rd;
    let end = 2 * zoo.realm.config.unprotected();
    for (kind, address) in zoo.except(&[Kind::Rd]) {
        rmi::rtt_fold(address, GIB, 3).input(&format!("rd {kind:?} {address:#x}"))?;
    }
    for level in [0, 4, 255, 256 + 3, 1 << 63, u64::MAX] {
        rmi::rtt_fold(rd, GIB, level).input(&format!("level {level:#x}"))?;
    }
    for (ipa, level) in [
        (GIB + GRANULE, 3),
        (GIB + MIB_2, 2),
        (GIB, 1),
        (end, 1),
        (1 << 52, 3),
    ] {
        rmi::rtt_fold(rd, ipa, level).input(&format!("ipa {ipa:#x} level {level}"))?;
    }
    rmi::rtt_fold(rd, GIB + MIB_2, 3).rtt(2, "no table to fold")?;
    rmi::rtt_fold(rd, 2 * GIB, 3).rtt(1, "no table above it")?;
    zoo.finish()
}

// Conformance: RMI_RTT_FOLD assigned_ns
// Conformance: RMI_RTT_CREATE assigned_ns
fn unprotected() -> Check {
    let mut realm = Realm::new(&Config::default())?;
    let half = realm.config.unprotected();
    let rd = realm.rd;
    realm.add_tables(half, 3)?;
    for n in 0..512 {
        let desc = (0x8000_0000 + n * GRANULE) | ATTRIBUTES;
        rmi::rtt_map_unprotected(rd, half + n * GRANULE, 3, desc).ok("RMI_RTT_MAP_UNPROTECTED")?;
    }
    realm.fold(half, 3)?;
    check_entry(&realm, half, 3, [2, 1, 0x8000_0000 | ATTRIBUTES, 0])?;
    realm.add_table(half, 3)?;
    for n in [0, 1, 300, 511] {
        let desc = (0x8000_0000 + n * GRANULE) | ATTRIBUTES;
        check_entry(&realm, half + n * GRANULE, 3, [3, 1, desc, 0])?;
    }
    realm.finish()
}

// Conformance: RMI_RTT_MAP_UNPROTECTED rtte, any_address
// Conformance: RMI_RTT_UNMAP_UNPROTECTED rtte
// Conformance: RMI_RTT_READ_ENTRY assigned_ns
fn map() -> Check {
    let mut realm = Realm::new(&Config::default())?;
    let half = realm.config.unprotected();
    let rd = realm.rd;
    realm.add_tables(half, 3)?;
    // Every attribute; a page, a block of 2 MiB, one of 1 GiB.
    for attributes in (0..4).flat_map(|s2ap| [0, 1, 2, 3, 5, 6, 7].map(|mem| s2ap << 6 | mem << 2))
    {
        for (ipa, level, address) in [
            (half + 3 * GRANULE, 3, 0x8000_3000),
            (half + MIB_2, 2, 0x8020_0000),
            (half + GIB, 1, 0xC000_0000),
            // No memory of the Host's at all: nobody looks.
            (half, 3, 0x0900_0000),
            (half, 3, 0x1234_5678_9000),
        ] {
            let desc = address | attributes;
            let what = format!("ipa {ipa:#x} level {level} desc {desc:#x}");
            rmi::rtt_map_unprotected(rd, ipa, level, desc).ok(&what)?;
            check_entry(&realm, ipa, level, [level, 1, desc, 0])?;
            check_entry(&realm, ipa, 3, [level, 1, desc, 0])?;
            rmi::rtt_unmap_unprotected(rd, ipa, level).ok(&what)?;
            check_entry(&realm, ipa, level, [level, 0, 0, 0])?;
        }
    }
    realm.finish()
}

// Conformance: RMI_RTT_MAP_UNPROTECTED rd_align, rd_bound, rd_state, rd<rtt_walk, rd<rtte_state
// Conformance: RMI_RTT_MAP_UNPROTECTED ipa_align, rtt_walk, rtte_state, level_bound
// Conformance: RMI_RTT_MAP_UNPROTECTED level_bound<rtt_walk, level_bound<rtte_state
// Conformance: RMI_RTT_MAP_UNPROTECTED ipa_bound, ipa_bound<rtt_walk, ipa_bound<rtte_state
fn map_wrong() -> Check {
    let mut zoo = Zoo::new()?;
    let rd = zoo.realm.rd;
    let half = zoo.realm.config.unprotected();
    let desc = 0x8000_0000 | ATTRIBUTES;
    zoo.realm.add_tables(half, 3)?;
    for (kind, address) in zoo.except(&[Kind::Rd]) {
        let what = format!("rd {kind:?} {address:#x}");
        rmi::rtt_map_unprotected(address, half, 3, desc).input(&what)?;
    }
    for level in [0, 4, 255, 256 + 3, 1 << 63, u64::MAX] {
        rmi::rtt_map_unprotected(rd, half, level, desc).input(&format!("level {level:#x}"))?;
    }
    for (ipa, level) in [
        (half + 1, 3),
        (half + GRANULE, 2),
        (half + MIB_2, 1),
        (0, 3),
        // Pages of the image, and a table.
        (layout::BASE, 3),
        (layout::BASE, 2),
        (half - GRANULE, 3),
        (2 * half, 3),
        (1 << 52, 3),
        (1 << 63, 3),
    ] {
        let what = format!("ipa {ipa:#x} level {level}");
        rmi::rtt_map_unprotected(rd, ipa, level, desc).input(&what)?;
    }
    rmi::rtt_map_unprotected(rd, half + MIB_2, 3, desc).rtt(2, "no level 3 table")?;
    rmi::rtt_map_unprotected(rd, half + GIB, 2, desc).rtt(1, "no level 2 table")?;
    rmi::rtt_map_unprotected(rd, half, 2, desc).rtt(2, "a table in the way")?;
    rmi::rtt_map_unprotected(rd, half, 3, desc).ok("after all those")?;
    rmi::rtt_map_unprotected(rd, half, 3, desc).rtt(3, "mapped already")?;
    zoo.finish()
}

// Conformance: RMI_RTT_MAP_UNPROTECTED attr_valid, addr_align, addr_bound
// Conformance: Bugs others fixed host_attributes, beyond_48_bits
fn map_desc_wrong() -> Check {
    let mut realm = Realm::new(&Config::default())?;
    let half = realm.config.unprotected();
    realm.add_tables(half, 3)?;
    let page = 0x8000_0000 | ATTRIBUTES;
    let bits = [0, 1, 5, 8, 9, 10, 11].into_iter().chain(48..64);
    for bit in bits {
        let desc = page | 1 << bit;
        let what = format!("bit {bit} of desc");
        rmi::rtt_map_unprotected(realm.rd, half, 3, desc).input(&what)?;
    }
    // MemAttr 0b100 is reserved.
    let desc = 0x8000_0000 | 3 << 6 | 4 << 2;
    rmi::rtt_map_unprotected(realm.rd, half, 3, desc).input("reserved MemAttr")?;
    for (ipa, level, address) in [(half + MIB_2, 2, 0x8000_1000), (half + GIB, 1, 0x8020_0000)] {
        let desc = address | ATTRIBUTES;
        let what = format!("address {address:#x} at level {level}");
        rmi::rtt_map_unprotected(realm.rd, ipa, level, desc).input(&what)?;
    }
    rmi::rtt_map_unprotected(realm.rd, half, 3, page).ok("after all those")?;
    realm.finish()
}

// Conformance: RMI_RTT_UNMAP_UNPROTECTED rtt_walk, rtt_walk_block, rtte_state, top
fn unmap() -> Check {
    let mut realm = Realm::new(&Config::default())?;
    let half = realm.config.unprotected();
    let rd = realm.rd;
    let desc = 0x8000_0000 | ATTRIBUTES;
    realm.add_tables(half, 3)?;
    for page in [0, 1, 9] {
        rmi::rtt_map_unprotected(rd, half + page * GRANULE, 3, desc).ok("map")?;
    }
    let unmap = |ipa, level| Check::Ok(rmi::rtt_unmap_unprotected(rd, ipa, level).ok("unmap")?[0]);
    ensure_eq!(unmap(half, 3)?, half + GRANULE, "top: the next page");
    ensure_eq!(
        unmap(half + GRANULE, 3)?,
        half + 9 * GRANULE,
        "top: the next mapping"
    );
    let out = rmi::rtt_unmap_unprotected(rd, half, 3).rtt(3, "not mapped any more")?;
    ensure_eq!(out[0], half + 9 * GRANULE, "top behind what is not mapped");
    ensure_eq!(
        unmap(half + 9 * GRANULE, 3)?,
        half + MIB_2,
        "top: the end of the table"
    );
    // Where the walk ends early.
    let out = rmi::rtt_unmap_unprotected(rd, half + MIB_2, 3).rtt(2, "no level 3 table")?;
    ensure_eq!(out[0], half + GIB, "top: nothing behind");
    rmi::rtt_map_unprotected(rd, half + 3 * MIB_2, 2, desc).ok("map of a block")?;
    let out = rmi::rtt_unmap_unprotected(rd, half + MIB_2, 3).rtt(2, "no level 3 table")?;
    ensure_eq!(out[0], half + 3 * MIB_2, "top: the block behind");
    for ipa in [half + 3 * MIB_2, half + 3 * MIB_2 + 7 * GRANULE] {
        let out = rmi::rtt_unmap_unprotected(rd, ipa, 3).rtt(2, "page in a block")?;
        ensure_eq!(out[0], ipa, "top of a page in a block");
    }
    ensure_eq!(
        unmap(half + 3 * MIB_2, 2)?,
        half + GIB,
        "top: the end of the table"
    );
    realm.finish()
}

// Conformance: RMI_RTT_UNMAP_UNPROTECTED rd_align, rd_bound, rd_state, rd<rtt_walk, rd<rtte_state
// Conformance: RMI_RTT_UNMAP_UNPROTECTED ipa_align, level_bound, level_bound<rtt_walk
// Conformance: RMI_RTT_UNMAP_UNPROTECTED level_bound<rtte_state
// Conformance: RMI_RTT_UNMAP_UNPROTECTED ipa_bound, ipa_bound<rtt_walk, ipa_bound<rtte_state
// Conformance: RMI_RTT_UNMAP_UNPROTECTED outputs
fn unmap_wrong() -> Check {
    let zoo = Zoo::new()?;
    let rd = zoo.realm.rd;
    let half = zoo.realm.config.unprotected();
    let refused = |rd, ipa, level, what: &str| {
        let out = rmi::rtt_unmap_unprotected(rd, ipa, level).input(what)?;
        ensure_eq!(out[0], 0, "{what}: top");
        Check::Ok(())
    };
    for (kind, address) in zoo.except(&[Kind::Rd]) {
        refused(address, half, 3, &format!("rd {kind:?} {address:#x}"))?;
    }
    for level in [0, 4, 255, 256 + 3, 1 << 63, u64::MAX] {
        refused(rd, half, level, &format!("level {level:#x}"))?;
    }
    for (ipa, level) in [
        (half + 1, 3),
        (half + GRANULE, 2),
        (0, 3),
        // Pages of the image, and a table.
        (layout::BASE, 3),
        (layout::BASE, 2),
        (half - GRANULE, 3),
        (2 * half, 3),
        (1 << 52, 3),
    ] {
        refused(rd, ipa, level, &format!("ipa {ipa:#x} level {level}"))?;
    }
    zoo.finish()
}
