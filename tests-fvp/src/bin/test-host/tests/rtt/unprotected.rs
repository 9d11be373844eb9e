// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_MAP_UNPROTECTED and RMI_RTT_UNMAP_UNPROTECTED.

use super::{GIB, MIB_2, check_entry};
use crate::check::{Check, ensure_eq};
use crate::pool::GRANULE;
use crate::realm::{ATTRIBUTES, Config, Realm};
use crate::rmi;
use crate::tests::Test;
use crate::tests::samples::{Kind, Samples};
use alloc::format;
use tests_fvp::protocol::layout;

pub const TESTS: &[Test] = &[
    ("rtt.map_unprotected", map),
    ("rtt.map_unprotected_wrong", map_wrong),
    ("rtt.map_unprotected_desc_wrong", map_desc_wrong),
    ("rtt.unmap_unprotected", unmap),
    ("rtt.unmap_unprotected_wrong", unmap_wrong),
];

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
            // Any address: it need not be memory of the Host.
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
    let mut samples = Samples::new()?;
    let rd = samples.realm.rd;
    let half = samples.realm.config.unprotected();
    let desc = 0x8000_0000 | ATTRIBUTES;
    samples.realm.add_tables(half, 3)?;
    for (kind, address) in samples.except(&[Kind::Rd]) {
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
    samples.finish()
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
    let samples = Samples::new()?;
    let rd = samples.realm.rd;
    let half = samples.realm.config.unprotected();
    let refused = |rd, ipa, level, what: &str| {
        let out = rmi::rtt_unmap_unprotected(rd, ipa, level).input(what)?;
        ensure_eq!(out[0], 0, "{what}: top");
        Check::Ok(())
    };
    for (kind, address) in samples.except(&[Kind::Rd]) {
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
    samples.finish()
}
