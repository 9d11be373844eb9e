// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_CREATE, RMI_RTT_DESTROY, RMI_RTT_READ_ENTRY, RMI_RTT_INIT_RIPAS.

use super::Test;
use super::needs::part_without_memory;
use super::zoo::{Kind, Zoo};
use crate::check::{Check, ensure_eq};
use crate::pool::{self, GRANULE};
use crate::realm::{Config, Realm, entry_size};
use crate::rmi;
use alloc::format;
use rmm_abi::rmi::{Ripas, RttEntryState};

pub const TESTS: &[Test] = &[
    ("rtt.create_destroy", create_destroy),
    ("rtt.create_wrong", create_wrong),
    ("rtt.create_walk", create_walk),
    ("rtt.destroy_wrong", destroy_wrong),
    ("rtt.destroy_walk", destroy_walk),
    ("rtt.destroy_live", destroy_live),
    ("rtt.destroy_live_block", destroy_live_block),
    ("rtt.destroy_mixed", destroy_mixed),
    ("rtt.read_entry", read_entry),
    ("rtt.read_entry_wrong", read_entry_wrong),
    ("rtt.init_ripas", init_ripas),
    ("rtt.init_ripas_over_page", init_ripas_over_page),
    ("rtt.init_ripas_wrong", init_ripas_wrong),
    ("rtt.init_ripas_walk", init_ripas_walk),
];

const UNASSIGNED: u64 = RttEntryState::Unassigned as u64;
const ASSIGNED: u64 = RttEntryState::Assigned as u64;
const TABLE: u64 = RttEntryState::Table as u64;
const EMPTY: u64 = Ripas::Empty as u64;
const RAM: u64 = Ripas::Ram as u64;
const DESTROYED: u64 = Ripas::Destroyed as u64;

/// Bytes that an entry at a level stands for.
const MIB_2: u64 = entry_size(2);
const GIB: u64 = entry_size(1);
const GIB_512: u64 = entry_size(0);

/// Checks one entry: where the walk ends, state, descriptor, RIPAS.
pub fn check_entry(realm: &Realm, ipa: u64, level: u64, wanted: [u64; 4]) -> Check {
    let out = rmi::rtt_read_entry(realm.rd, ipa, level).ok("RMI_RTT_READ_ENTRY")?;
    if out != wanted {
        crate::check::fail!("entry of {ipa:#x} at level {level}: {out:x?}, wanted {wanted:x?}");
    }
    Ok(())
}

// Conformance: RMI_RTT_CREATE unassigned, unassigned_ns, parent, state
// Conformance: RMI_RTT_DESTROY protected, unprotected, state
fn create_destroy() -> Check {
    let mut realm = Realm::new(&Config::default())?;
    let half = realm.config.unprotected();
    // What comes after the first round is DESTROYED from the start.
    for (base, before, after) in [
        (0, EMPTY, DESTROYED),
        (5 * GIB + 3 * MIB_2, DESTROYED, DESTROYED),
        (half, EMPTY, EMPTY),
    ] {
        realm.add_tables(base, 3)?;
        for level in 1..=3 {
            let parent = base & !(entry_size(level - 1) - 1);
            let table = realm.table(level, parent).ok_or("no such table")?;
            check_entry(&realm, parent, level - 1, [level - 1, TABLE, table, EMPTY])?;
            pool::check_protected(table)?;
        }
        check_entry(&realm, base, 3, [3, UNASSIGNED, 0, before])?;
        for level in [3, 2, 1] {
            let parent = base & !(entry_size(level - 1) - 1);
            realm.remove_table(parent, level)?;
            check_entry(&realm, parent, 3, [level - 1, UNASSIGNED, 0, after])?;
        }
    }
    realm.finish()
}

// Conformance: RMI_RTT_CREATE rd_align, rd_bound, rd_state, rd<rtt_walk, rd<rtte_state
// Conformance: RMI_RTT_CREATE rtt_align, rtt_bound, rtt_state, ipa_align
// Conformance: RMI_RTT_CREATE level_bound, level_bound<rtt_walk, level_bound<rtte_state
// Conformance: RMI_RTT_CREATE ipa_bound, ipa_bound<rtt_walk, ipa_bound<rtte_state
// Conformance: RMI_RTT_DESTROY rtt
// Conformance: Bugs others fixed ipa_outside
fn create_wrong() -> Check {
    let zoo = Zoo::new()?;
    let (rd, rtt) = (zoo.realm.rd, zoo.delegated);
    let end = 2 * zoo.realm.config.unprotected();
    for (kind, address) in zoo.except(&[Kind::Rd]) {
        rmi::rtt_create(address, rtt, GIB_512 - GIB, 2)
            .input(&format!("rd {kind:?} {address:#x}"))?;
    }
    for (kind, address) in zoo.except(&[Kind::Delegated]) {
        rmi::rtt_create(rd, address, 0, 2).input(&format!("rtt {kind:?} {address:#x}"))?;
    }
    if let Some(address) = part_without_memory() {
        rmi::rtt_create(rd, address, 0, 2).input("rtt without memory")?;
    }
    for level in [
        0,
        4,
        5,
        64,
        255,
        256 + 2,
        1 << 32,
        1 << 63,
        u64::MAX,
        u64::MAX - 1,
    ] {
        rmi::rtt_create(rd, rtt, 0, level).input(&format!("level {level:#x}"))?;
    }
    for (ipa, level) in [
        (GRANULE, 2),
        (MIB_2, 2),
        (GRANULE, 3),
        (MIB_2 + 1, 3),
        (GIB, 1),
        (end, 1),
        (end, 2),
        (1 << 48, 2),
        (1 << 52, 2),
        (1 << 63, 2),
        (0u64.wrapping_sub(GIB), 2),
    ] {
        rmi::rtt_create(rd, rtt, ipa, level).input(&format!("ipa {ipa:#x} level {level}"))?;
    }
    // All but one thing is right now.
    rmi::rtt_create(rd, rtt, 0, 2).ok("after all those")?;
    let out = rmi::rtt_destroy(rd, 0, 2).ok("RMI_RTT_DESTROY")?;
    ensure_eq!(out[0], rtt, "RTT");
    zoo.finish()
}

// Conformance: RMI_RTT_CREATE rtt_walk, rtte_state, rtt_state
fn create_walk() -> Check {
    let mut realm = Realm::new(&Config::default())?;
    let spare = pool::take_delegated()?;
    rmi::rtt_create(realm.rd, spare, 0, 3).rtt(0, "no level 1 table")?;
    rmi::rtt_create(realm.rd, spare, 0, 2).rtt(0, "no level 1 table")?;
    realm.add_table(0, 1)?;
    rmi::rtt_create(realm.rd, spare, 0, 3).rtt(1, "no level 2 table")?;
    rmi::rtt_create(realm.rd, spare, 0, 1).rtt(0, "level 1 table is there")?;
    realm.add_table(0, 2)?;
    rmi::rtt_create(realm.rd, spare, 0, 2).rtt(1, "level 2 table is there")?;
    realm.add_table(0, 3)?;
    rmi::rtt_create(realm.rd, spare, 0, 3).rtt(2, "level 3 table is there")?;
    rmi::rtt_create(realm.rd, spare, GIB, 3).rtt(1, "no level 2 table behind")?;
    // A table is no memory for another.
    let table = realm.table(3, 0).ok_or("no such table")?;
    rmi::rtt_create(realm.rd, table, MIB_2, 3).input("a table once more")?;
    rmi::rtt_create(realm.rd, realm.rd, MIB_2, 3).input("the RD as table")?;
    pool::give_delegated(spare)?;
    realm.finish()
}

// Conformance: RMI_RTT_DESTROY rd_align, rd_bound, rd_state, rd<rtt_walk, rd<rtte_state
// Conformance: RMI_RTT_DESTROY rd<rtt_live
// Conformance: RMI_RTT_DESTROY ipa_align, level_bound, level_bound<rtt_walk
// Conformance: RMI_RTT_DESTROY level_bound<rtte_state
// Conformance: RMI_RTT_DESTROY ipa_bound, ipa_bound<rtt_walk, ipa_bound<rtte_state, outputs
fn destroy_wrong() -> Check {
    let zoo = Zoo::new()?;
    let rd = zoo.realm.rd;
    let end = 2 * zoo.realm.config.unprotected();
    let refused = |rd, ipa, level, what: &str| {
        let out = rmi::rtt_destroy(rd, ipa, level).input(what)?;
        crate::check::ensure!(out[..3] == [0; 3], "{what}: results {out:x?}");
        Check::Ok(())
    };
    for (kind, address) in zoo.except(&[Kind::Rd]) {
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
    zoo.finish()
}

/// Where the walk ends, and `top`: the next thing that lives in the table reached.
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

/// A table goes whatever RIPAS its entries have, and with the Host's pages in it.
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
    let desc = memory | 3 << 6 | 6 << 2;
    rmi::rtt_map_unprotected(realm.rd, half + GRANULE, 3, desc).ok("RMI_RTT_MAP_UNPROTECTED")?;
    realm.remove_table(half, 3)?;
    check_entry(&realm, half, 3, [2, UNASSIGNED, 0, EMPTY])?;
    pool::check_untouched(memory)?;
    pool::give(memory, 1);
    realm.finish()
}

// Conformance: RMI_RTT_READ_ENTRY unassigned, assigned, unassigned_ns, table, early
// Conformance: RMI_DATA_CREATE rtte
// Conformance: RMI_DATA_CREATE_UNKNOWN ripas
// Conformance: RMI_DATA_DESTROY ripas_ram, ripas_empty, ripas_destroyed
fn read_entry() -> Check {
    let mut realm = Realm::new(&Config::default())?;
    let half = realm.config.unprotected();
    // The walk ends where there is no table, or at the level asked for.
    check_entry(&realm, 0, 0, [0, UNASSIGNED, 0, EMPTY])?;
    check_entry(&realm, 7 * GRANULE, 3, [0, UNASSIGNED, 0, EMPTY])?;
    realm.add_tables(0, 3)?;
    let table = realm.table(1, 0).ok_or("no such table")?;
    check_entry(&realm, 0, 0, [0, TABLE, table, EMPTY])?;
    check_entry(&realm, GIB, 2, [1, UNASSIGNED, 0, EMPTY])?;
    realm.init_ripas(GRANULE, 3 * GRANULE)?;
    check_entry(&realm, 0, 3, [3, UNASSIGNED, 0, EMPTY])?;
    check_entry(&realm, GRANULE, 3, [3, UNASSIGNED, 0, RAM])?;
    check_entry(&realm, 3 * GRANULE, 3, [3, UNASSIGNED, 0, EMPTY])?;
    for ipa in [0, GRANULE] {
        let ripas = if ipa == 0 { EMPTY } else { RAM };
        let data = realm.add_unknown(ipa)?;
        check_entry(&realm, ipa, 3, [3, ASSIGNED, data, ripas])?;
        realm.remove_page(ipa)?;
    }
    // RAM is lost with its page; what was not RAM stays EMPTY.
    check_entry(&realm, 0, 3, [3, UNASSIGNED, 0, EMPTY])?;
    check_entry(&realm, GRANULE, 3, [3, UNASSIGNED, 0, DESTROYED])?;
    let data = realm.add_unknown(GRANULE)?;
    check_entry(&realm, GRANULE, 3, [3, ASSIGNED, data, DESTROYED])?;
    realm.remove_page(GRANULE)?;
    check_entry(&realm, GRANULE, 3, [3, UNASSIGNED, 0, DESTROYED])?;
    let data = realm.add_page(GRANULE, b"content", 0)?;
    check_entry(&realm, GRANULE, 3, [3, ASSIGNED, data, RAM])?;
    realm.add_tables(half, 3)?;
    check_entry(&realm, half, 3, [3, UNASSIGNED, 0, EMPTY])?;
    realm.finish()
}

// Conformance: RMI_RTT_READ_ENTRY rd_align, rd_bound, rd_state, level_bound, ipa_align, ipa_bound
// Conformance: RMI_RTT_READ_ENTRY outputs
fn read_entry_wrong() -> Check {
    let zoo = Zoo::new()?;
    let rd = zoo.realm.rd;
    let end = 2 * zoo.realm.config.unprotected();
    let refused = |rd, ipa, level, what: &str| {
        let out = rmi::rtt_read_entry(rd, ipa, level).input(what)?;
        crate::check::ensure!(out == [0; 4], "{what}: results {out:x?}");
        Check::Ok(())
    };
    for (kind, address) in zoo.except(&[Kind::Rd]) {
        refused(address, 0, 3, &format!("rd {kind:?} {address:#x}"))?;
    }
    for level in [4, 255, 256, 1 << 32, 1 << 63, u64::MAX, u64::MAX - 1] {
        refused(rd, 0, level, &format!("level {level:#x}"))?;
    }
    for (ipa, level) in [
        (1, 3),
        (GRANULE - 8, 3),
        (GRANULE, 2),
        (MIB_2, 1),
        (GIB, 0),
        (end, 3),
        (end, 0),
        (1 << 52, 3),
        (u64::MAX - GRANULE + 1, 3),
    ] {
        refused(rd, ipa, level, &format!("ipa {ipa:#x} level {level}"))?;
    }
    zoo.finish()
}

// Conformance: RMI_RTT_INIT_RIPAS ram, out_top
// Conformance: RMI_RTT_CREATE unassigned
fn init_ripas() -> Check {
    let mut realm = Realm::new(&Config::default())?;
    let rd = realm.rd;
    let half = realm.config.unprotected();
    // A whole entry of the start level table.
    let out = rmi::rtt_init_ripas(rd, 0, half).ok("the Protected half in one entry")?;
    ensure_eq!(out[0], half, "out_top");
    check_entry(&realm, 0, 3, [0, UNASSIGNED, 0, RAM])?;
    realm.add_tables(0, 3)?;
    // What a table is made of has the RIPAS of its parent.
    check_entry(&realm, 5 * GRANULE, 3, [3, UNASSIGNED, 0, RAM])?;
    realm.remove_table(0, 3)?;
    realm.add_table(0, 3)?;
    check_entry(&realm, 5 * GRANULE, 3, [3, UNASSIGNED, 0, DESTROYED])?;
    // Up to the end of the table, and as far as asked.
    let out = rmi::rtt_init_ripas(rd, GRANULE, MIB_2 + GRANULE).ok("more than a table")?;
    ensure_eq!(out[0], MIB_2, "out_top at the end of the table");
    let out = rmi::rtt_init_ripas(rd, MIB_2, 4 * MIB_2 + GRANULE).ok("level 2 entries")?;
    ensure_eq!(
        out[0],
        4 * MIB_2,
        "out_top before an entry that is too large"
    );
    realm.add_table(6 * MIB_2, 3)?;
    let out = rmi::rtt_init_ripas(rd, 4 * MIB_2, 10 * MIB_2).ok("up to a table")?;
    ensure_eq!(out[0], 6 * MIB_2, "out_top before a table");
    // Again: nothing changes but the measurement.
    let out = rmi::rtt_init_ripas(rd, 4 * MIB_2, 6 * MIB_2).ok("RAM again")?;
    ensure_eq!(out[0], 6 * MIB_2, "out_top of RAM");
    realm.finish()
}

/// A page behind the first entry becomes RAM too.
// Conformance: RMI_RTT_INIT_RIPAS over_assigned
fn init_ripas_over_page() -> Check {
    let mut realm = Realm::new(&Config::default())?;
    realm.add_tables(0, 3)?;
    let data = realm.add_unknown(GRANULE)?;
    check_entry(&realm, GRANULE, 3, [3, ASSIGNED, data, EMPTY])?;
    let out = rmi::rtt_init_ripas(realm.rd, 0, 3 * GRANULE).ok("RMI_RTT_INIT_RIPAS")?;
    ensure_eq!(out[0], 3 * GRANULE, "out_top");
    check_entry(&realm, 0, 3, [3, UNASSIGNED, 0, RAM])?;
    check_entry(&realm, GRANULE, 3, [3, ASSIGNED, data, RAM])?;
    check_entry(&realm, 2 * GRANULE, 3, [3, UNASSIGNED, 0, RAM])?;
    check_entry(&realm, 3 * GRANULE, 3, [3, UNASSIGNED, 0, EMPTY])?;
    realm.finish()
}

// Conformance: RMI_RTT_INIT_RIPAS rd_align, rd_bound, rd_state, rd<others, size_valid, top_bound
// Conformance: RMI_RTT_INIT_RIPAS top_gran_align
// Conformance: RMI_RTT_INIT_RIPAS realm_state, top_gran_align<no_progress
fn init_ripas_wrong() -> Check {
    let zoo = Zoo::new()?;
    let rd = zoo.realm.rd;
    let half = zoo.realm.config.unprotected();
    for (kind, address) in zoo.except(&[Kind::Rd]) {
        let what = format!("rd {kind:?} {address:#x}");
        rmi::rtt_init_ripas(address, 0, GIB).input(&what)?;
    }
    for (base, top) in [
        (GIB, GIB),
        (2 * GIB, GIB),
        (GIB, GIB - GRANULE),
        (half, half + GRANULE),
        (half - GRANULE, half + GRANULE),
        (0, 2 * half),
        (0, 1 << 63),
        (0, u64::MAX - GRANULE + 1),
        (GIB, 2 * GIB + 1),
        (GIB, 2 * GIB - 8),
        (u64::MAX - GRANULE + 1, 0),
    ] {
        rmi::rtt_init_ripas(rd, base, top).input(&format!("[{base:#x}, {top:#x})"))?;
    }
    zoo.realm.activate()?;
    rmi::rtt_init_ripas(rd, 4 * GIB, 5 * GIB).realm("active Realm")?;
    rmi::rtt_init_ripas(rd, 5 * GIB, 4 * GIB).input("active Realm and bad range")?;
    zoo.finish()
}

// Conformance: RMI_RTT_INIT_RIPAS base_align, rtte_state, no_progress
fn init_ripas_walk() -> Check {
    let mut realm = Realm::new(&Config::default())?;
    let rd = realm.rd;
    rmi::rtt_init_ripas(rd, 0, GIB).rtt(0, "less than the entry")?;
    rmi::rtt_init_ripas(rd, GIB, 2 * GIB).rtt(0, "base inside the entry")?;
    realm.add_tables(0, 3)?;
    rmi::rtt_init_ripas(rd, MIB_2, MIB_2 + GRANULE).rtt(2, "less than the entry")?;
    rmi::rtt_init_ripas(rd, MIB_2 + GRANULE, 2 * MIB_2).rtt(2, "base inside the entry")?;
    realm.add_unknown(2 * GRANULE)?;
    rmi::rtt_init_ripas(rd, 2 * GRANULE, 3 * GRANULE).rtt(3, "page is assigned")?;
    check_entry(&realm, 3 * GRANULE, 3, [3, UNASSIGNED, 0, EMPTY])?;
    realm.finish()
}
