// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_CREATE.

use super::{DESTROYED, EMPTY, GIB, GIB_512, MIB_2, TABLE, UNASSIGNED, check_entry};
use crate::check::{Check, ensure_eq};
use crate::pool::{self, GRANULE};
use crate::realm::{Config, Realm, entry_size};
use crate::rmi;
use crate::tests::Test;
use crate::tests::needs::part_without_memory;
use crate::tests::samples::{Kind, Samples};
use alloc::format;

pub const TESTS: &[Test] = &[
    ("rtt.create_destroy", create_destroy),
    ("rtt.create_wrong", create_wrong),
    ("rtt.create_walk", create_walk),
];

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
    let samples = Samples::new()?;
    let (rd, rtt) = (samples.realm.rd, samples.delegated);
    let end = 2 * samples.realm.config.unprotected();
    for (kind, address) in samples.except(&[Kind::Rd]) {
        rmi::rtt_create(address, rtt, GIB_512 - GIB, 2)
            .input(&format!("rd {kind:?} {address:#x}"))?;
    }
    for (kind, address) in samples.except(&[Kind::Delegated]) {
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
    // The same call succeeds with every argument right.
    rmi::rtt_create(rd, rtt, 0, 2).ok("after all those")?;
    let out = rmi::rtt_destroy(rd, 0, 2).ok("RMI_RTT_DESTROY")?;
    ensure_eq!(out[0], rtt, "RTT");
    samples.finish()
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
    // A granule that is a table cannot become another one.
    let table = realm.table(3, 0).ok_or("no such table")?;
    rmi::rtt_create(realm.rd, table, MIB_2, 3).input("a table once more")?;
    rmi::rtt_create(realm.rd, realm.rd, MIB_2, 3).input("the RD as table")?;
    pool::give_delegated(spare)?;
    realm.finish()
}
