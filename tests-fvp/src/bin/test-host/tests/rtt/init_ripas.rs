// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_INIT_RIPAS.

use super::{ASSIGNED, DESTROYED, EMPTY, GIB, MIB_2, RAM, UNASSIGNED, check_entry};
use crate::check::{Check, ensure_eq};
use crate::pool::GRANULE;
use crate::realm::{Config, Realm};
use crate::rmi;
use crate::tests::Test;
use crate::tests::samples::{Kind, Samples};
use alloc::format;

pub const TESTS: &[Test] = &[
    ("rtt.init_ripas", init_ripas),
    ("rtt.init_ripas_over_page", init_ripas_over_page),
    ("rtt.init_ripas_wrong", init_ripas_wrong),
    ("rtt.init_ripas_walk", init_ripas_walk),
];

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
    // The entries of a new table have the RIPAS of its parent entry.
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
    let samples = Samples::new()?;
    let rd = samples.realm.rd;
    let half = samples.realm.config.unprotected();
    for (kind, address) in samples.except(&[Kind::Rd]) {
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
    samples.realm.activate()?;
    rmi::rtt_init_ripas(rd, 4 * GIB, 5 * GIB).realm("active Realm")?;
    rmi::rtt_init_ripas(rd, 5 * GIB, 4 * GIB).input("active Realm and bad range")?;
    samples.finish()
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
