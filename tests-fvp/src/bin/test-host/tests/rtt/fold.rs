// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_FOLD, and the RMI_RTT_CREATE that unfolds.

use super::{GIB, MIB_2, check_entry};
use crate::check::{Check, ensure_eq};
use crate::pool::{self, GRANULE};
use crate::realm::{ATTRIBUTES, Config, READ_ONLY, Realm};
use crate::rmi;
use crate::tests::Test;
use crate::tests::samples::{Kind, Samples};
use alloc::format;

pub const TESTS: &[Test] = &[
    ("rtt.fold_unassigned", unassigned),
    ("rtt.fold_assigned", assigned),
    ("rtt.fold_not_homogeneous", not_homogeneous),
    ("rtt.fold_misaligned", misaligned),
    ("rtt.fold_level_1", level_1),
    ("rtt.fold_wrong", wrong),
    ("rtt.fold_unprotected", unprotected),
];

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
        let attributes = if n == 300 { READ_ONLY } else { ATTRIBUTES };
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
    let samples = Samples::new()?;
    let rd = samples.realm.rd;
    let end = 2 * samples.realm.config.unprotected();
    for (kind, address) in samples.except(&[Kind::Rd]) {
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
    samples.finish()
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
