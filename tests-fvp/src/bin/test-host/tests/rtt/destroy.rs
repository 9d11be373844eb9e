// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_DESTROY.

use super::{ASSIGNED, DESTROYED, EMPTY, GIB, GIB_512, MIB_2, UNASSIGNED, check_entry};
use crate::check::{Check, ensure_eq};
use crate::dialect;
use crate::pool::{self, GRANULE};
use crate::realm::{ATTRIBUTES, Config, Realm};
use crate::rmi;
use crate::tests::Test;
use crate::tests::samples::{Kind, Samples};
use alloc::format;

pub const TESTS: &[Test] = &[
    ("rtt.destroy_wrong", destroy_wrong),
    ("rtt.destroy_walk", destroy_walk),
    ("rtt.destroy_live", destroy_live),
    ("rtt.destroy_live_block", destroy_live_block),
    ("rtt.destroy_mixed", destroy_mixed),
];

// Conformance: RMI_RTT_DESTROY rd_align, rd_bound, rd_state, rd<rtt_walk, rd<rtte_state
// Conformance: RMI_RTT_DESTROY rd<rtt_live
// Conformance: RMI_RTT_DESTROY ipa_align, level_bound, level_bound<rtt_walk
// Conformance: RMI_RTT_DESTROY level_bound<rtte_state
// Conformance: RMI_RTT_DESTROY ipa_bound, ipa_bound<rtt_walk, ipa_bound<rtte_state, outputs
fn destroy_wrong() -> Check {
    let samples = Samples::new()?;
    let rd = samples.realm.rd;
    let end = 2 * samples.realm.config.unprotected();
    let refused = |rd, ipa, level, what: &str| {
        let out = rmi::rtt_destroy(rd, ipa, level).input(what)?;
        crate::check::ensure!(out[..3] == [0; 3], "{what}: results {out:x?}");
        Check::Ok(())
    };
    for (kind, address) in samples.except(&[Kind::Rd]) {
        refused(address, GIB, 2, &format!("rd {kind:?} {address:#x}"))?;
    }
    for level in [0, 4, 255, 256 + 3, 1 << 63, u64::MAX] {
        refused(rd, GIB, level, &format!("level {level:#x}"))?;
    }
    for (ipa, level) in [
        (GIB + GRANULE, 3),
        (GIB + GRANULE, 2),
        (GIB + MIB_2, 2),
        (GIB, 1),
        (end, 1),
        (1 << 52, 1),
    ] {
        refused(rd, ipa, level, &format!("ipa {ipa:#x} level {level}"))?;
    }
    samples.finish()
}

/// Where the walk ends, and `top`: the next live entry in the table it has reached.
// Conformance: RMI_RTT_DESTROY rtt_walk, rtte_state, top
fn destroy_walk() -> Check {
    let mut realm = Realm::new(&Config::default())?;
    let top_of = |realm: &Realm, ipa, level, reached, what: &str| {
        let out = rmi::rtt_destroy(realm.rd, ipa, level).rtt(reached, what)?;
        ensure_eq!(out[0], 0, "{what}: rtt");
        Check::Ok(out[1])
    };
    let end = 2 * realm.config.unprotected();
    // Nothing lives in the start level table, which has entries beyond the IPA space.
    let top = top_of(&realm, 0, 3, 0, "no tables")?;
    crate::check::ensure!(top >= end, "no tables: top {top:#x}");
    realm.add_tables(0, 2)?;
    realm.add_table(3 * GIB, 2)?;
    let top = top_of(&realm, GIB, 3, 1, "no level 2 table")?;
    ensure_eq!(top, 3 * GIB, "the level 2 table behind");
    let top = top_of(&realm, 4 * GIB, 2, 1, "no level 2 table")?;
    ensure_eq!(top, GIB_512, "the end of the level 1 table");
    let top = top_of(&realm, 0, 3, 2, "no level 3 table")?;
    ensure_eq!(top, GIB, "the end of the level 2 table");
    realm.add_table(5 * MIB_2, 3)?;
    realm.add_table(2 * MIB_2, 3)?;
    let top = top_of(&realm, 3 * MIB_2, 3, 2, "no level 3 table")?;
    ensure_eq!(top, 5 * MIB_2, "the level 3 table behind");
    let top = realm.remove_table(2 * MIB_2, 3)?;
    ensure_eq!(top, 5 * MIB_2, "the level 3 table behind the one destroyed");
    let top = realm.remove_table(5 * MIB_2, 3)?;
    ensure_eq!(top, GIB, "nothing behind the one destroyed");
    let top = realm.remove_table(0, 2)?;
    ensure_eq!(top, 3 * GIB, "the level 2 table behind the one destroyed");
    realm.finish()
}

/// A table that is live must be refused.
fn refuses_live(realm: &Realm, ipa: u64, level: u64, what: &str) -> Check {
    let out = rmi::rtt_destroy(realm.rd, ipa, level).rtt(level, what)?;
    ensure_eq!(out[0], 0, "{what}: rtt");
    ensure_eq!(out[1], ipa, "{what}: top");
    Ok(())
}

// Conformance: RMI_RTT_DESTROY rtt_live, rtt_live_table
fn destroy_live() -> Check {
    let mut realm = Realm::new(&Config::default())?;
    let half = realm.config.unprotected();
    for base in [GIB, half + GIB] {
        let (level_1, level_3) = (base - GIB, base + 511 * MIB_2);
        realm.add_tables(level_3, 3)?;
        refuses_live(&realm, level_1, 1, "a table in the level 1 table")?;
        refuses_live(&realm, base, 2, "a table in the level 2 table")?;
        if base < half {
            let page = level_3 + 511 * GRANULE;
            realm.add_unknown(page)?;
            refuses_live(&realm, level_3, 3, "a page in the level 3 table")?;
            realm.remove_page(page)?;
        }
        realm.remove_table(level_3, 3)?;
        realm.remove_table(base, 2)?;
    }
    realm.finish()
}

// Conformance: RMI_RTT_DESTROY rtt_live_block
fn destroy_live_block() -> Check {
    let mut realm = Realm::new(&Config::default())?;
    let ipa = GIB + 511 * MIB_2;
    realm.add_tables(ipa, 3)?;
    let block = realm.add_block(ipa)?;
    refuses_live(&realm, GIB, 2, "a block in the level 2 table")?;
    check_entry(&realm, ipa, 3, [2, ASSIGNED, block, EMPTY])?;
    realm.remove_block(ipa, block)?;
    realm.finish()
}

/// A table is destroyed whatever RIPAS its entries have, and with unprotected mappings in it.
// Conformance: RMI_RTT_DESTROY protected, unprotected
fn destroy_mixed() -> Check {
    let mut realm = Realm::new(&Config::default())?;
    let half = realm.config.unprotected();
    realm.add_tables(0, 3)?;
    realm.init_ripas(0, 7 * GRANULE)?;
    realm.add_unknown(9 * GRANULE)?;
    realm.remove_page(9 * GRANULE)?;
    realm.remove_table(0, 3)?;
    check_entry(&realm, 0, 3, [2, UNASSIGNED, 0, DESTROYED])?;
    realm.add_tables(half, 3)?;
    let memory = pool::take_one()?;
    let desc = memory | ATTRIBUTES;
    dialect::spoken().map_unprotected(realm.rd, half + GRANULE, 3, desc)?;
    realm.remove_table(half, 3)?;
    check_entry(&realm, half, 3, [2, UNASSIGNED, 0, EMPTY])?;
    pool::check_untouched(memory)?;
    pool::give(memory, 1);
    realm.finish()
}
