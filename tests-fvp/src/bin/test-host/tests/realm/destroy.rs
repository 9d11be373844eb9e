// SPDX-License-Identifier: BSD-3-Clause
//! RMI_REALM_DESTROY.

use crate::check::Check;
use crate::pool::{self, GRANULE};
use crate::realm::{ATTRIBUTES, Config, Realm, entry_size};
use crate::rmi::{self};
use crate::tests::Test;
use crate::tests::rtt::check_entry;
use crate::tests::samples::{Kind, Samples};
use alloc::format;

pub const TESTS: &[Test] = &[
    ("realm.destroy_wrong", destroy_wrong),
    ("realm.destroy_live", destroy_live),
    ("realm.destroy_live_tables", destroy_live_tables),
    ("realm.destroy_live_block", destroy_live_block),
    ("realm.destroy_unprotected", destroy_unprotected),
];

const MIB_2: u64 = entry_size(2);
const GIB: u64 = entry_size(1);

// Conformance: RMI_REALM_DESTROY rd_align, rd_bound, rd_state, rd<realm_live
fn destroy_wrong() -> Check {
    let samples = Samples::new()?;
    for (kind, address) in samples.except(&[Kind::Rd]) {
        rmi::realm_destroy(address).input(&format!("rd {kind:?} {address:#x}"))?;
    }
    samples.finish()
}

// Conformance: RMI_REALM_DESTROY realm_live, realm_live_table
// Conformance: RMI_REC_DESTROY any_state
fn destroy_live() -> Check {
    let mut realm = Realm::new(&Config::default())?;
    let rd = realm.rd;
    realm.add_table(0, 1)?;
    rmi::realm_destroy(rd).realm("Realm with an RTT")?;
    realm.add_rec(true, &[])?;
    rmi::realm_destroy(rd).realm("Realm with RTT and REC")?;
    realm.remove_table(0, 1)?;
    rmi::realm_destroy(rd).realm("Realm with a REC")?;
    realm.activate()?;
    rmi::realm_destroy(rd).realm("active Realm with a REC")?;
    let rec = realm.recs.pop().ok_or("no REC")?;
    rec.destroy()?;
    realm.finish()
}

/// 4 GiB from level 2, in four tables.
const FOUR_TABLES: Config = Config {
    s2sz: 32,
    level: 2,
    tables: 4,
    ..Config::DEFAULT
};

/// A table keeps a Realm alive in whichever start level table its entry is.
// Conformance: RMI_REALM_DESTROY realm_live_table
fn destroy_live_tables() -> Check {
    let mut realm = Realm::new(&FOUR_TABLES)?;
    for ipa in [0, GIB + MIB_2, 2 * GIB, 4 * GIB - MIB_2] {
        realm.add_table(ipa, 3)?;
        rmi::realm_destroy(realm.rd).realm("Realm with an RTT")?;
        realm.remove_table(ipa, 3)?;
    }
    realm.finish()
}

// Conformance: RMI_REALM_DESTROY realm_live_assigned
fn destroy_live_block() -> Check {
    let mut realm = Realm::new(&FOUR_TABLES)?;
    for ipa in [0, 2 * GIB - MIB_2] {
        realm.add_table(ipa, 3)?;
        let block = realm.add_block(ipa)?;
        rmi::realm_destroy(realm.rd).realm("Realm with a block")?;
        check_entry(&realm, ipa, 2, [2, 1, block, 0])?;
        realm.remove_block(ipa, block)?;
    }
    realm.finish()
}

/// Unprotected mappings do not keep a Realm alive.
// Conformance: RMI_REALM_DESTROY assigned_ns
fn destroy_unprotected() -> Check {
    let realm = Realm::new(&FOUR_TABLES)?;
    let memory = pool::take(512, 512 * GRANULE)?;
    let ipa = realm.config.unprotected();
    let desc = memory | ATTRIBUTES;
    rmi::rtt_map_unprotected(realm.rd, ipa, 2, desc).ok("RMI_RTT_MAP_UNPROTECTED")?;
    realm.finish()?;
    pool::check_untouched(memory)?;
    pool::give(memory, 512);
    Ok(())
}
