// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_READ_ENTRY.

use super::{ASSIGNED, DESTROYED, EMPTY, GIB, MIB_2, RAM, TABLE, UNASSIGNED, check_entry};
use crate::check::Check;
use crate::pool::GRANULE;
use crate::realm::{Config, Realm};
use crate::rmi;
use crate::tests::Test;
use crate::tests::samples::{Kind, Samples};
use alloc::format;

pub const TESTS: &[Test] = &[
    ("rtt.read_entry", read_entry),
    ("rtt.read_entry_wrong", read_entry_wrong),
];

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
    let samples = Samples::new()?;
    let rd = samples.realm.rd;
    let end = 2 * samples.realm.config.unprotected();
    let refused = |rd, ipa, level, what: &str| {
        let out = rmi::rtt_read_entry(rd, ipa, level).input(what)?;
        crate::check::ensure!(out == [0; 4], "{what}: results {out:x?}");
        Check::Ok(())
    };
    for (kind, address) in samples.except(&[Kind::Rd]) {
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
    samples.finish()
}
