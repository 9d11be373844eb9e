// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_MAP_UNPROTECTED and RMI_RTT_UNMAP_UNPROTECTED.

use super::{DEVICE, NO_LEVELS};
use rmm_core::fake::{
    EMPTY, EntryReport, GIB, Host, MIB, NS_ATTRIBUTES, PAGE, Status, TestRealm, lpa2_features,
};
use rmm_granule::GranuleState;

/// An address that is aligned to a block of each level.
const PA: u64 = 0x40_0000_0000;

addresses! {
    // Conformance: RMI_RTT_MAP_UNPROTECTED rd_align, rd_bound, rd_state
    map_rd_align_bound_state: Rd => Status::Success, |host, samples, pa| {
        let ipa = samples.realm.unprotected();
        samples.realm.tables(ipa, 3);
        host.rtt_map_unprotected(pa, ipa, 3, PA | NS_ATTRIBUTES)
    };
    // Conformance: RMI_RTT_UNMAP_UNPROTECTED rd_align, rd_bound, rd_state, outputs
    unmap_rd_align_bound_state: Rd => Status::Success, |host, samples, pa| {
        let ipa = samples.realm.unprotected();
        if samples.realm.entry(ipa, 3).state == 0 {
            samples.realm.share(ipa, samples.undelegated);
        }
        let (status, top) = host.rtt_unmap_unprotected(pa, ipa, 3);
        assert_eq!(top == 0, status == Status::Input);
        status
    };
}

fn map(realm: &TestRealm<'_>, ipa: u64, level: i64, desc: u64) -> Status {
    realm.host.rtt_map_unprotected(realm.rd, ipa, level, desc)
}

fn unmap(realm: &TestRealm<'_>, ipa: u64, level: i64) -> (Status, u64) {
    realm.host.rtt_unmap_unprotected(realm.rd, ipa, level)
}

fn both_input(realm: &TestRealm<'_>, ipa: u64, level: i64) {
    let what = format!("ipa {ipa:#x} level {level}");
    assert_eq!(
        map(realm, ipa, level, PA | NS_ATTRIBUTES),
        Status::Input,
        "{what}"
    );
    assert_eq!(unmap(realm, ipa, level), (Status::Input, 0), "{what}");
}

// Conformance: RMI_RTT_MAP_UNPROTECTED attr_valid
// Conformance: RMI_RTT_READ_ENTRY assigned_ns
// Conformance: Bugs others fixed host_attributes
#[test]
fn map_attr_valid() {
    let host = Host::new();
    let realm = host.realm().create();
    let ipa = realm.unprotected();
    realm.tables(ipa, 3);
    let host_bits = 0x0000_FFFF_FFFF_F000 | 7 << 2 | 3 << 6;
    for bit in (0..64).map(|n| 1_u64 << n) {
        let desc = PA & !bit | NS_ATTRIBUTES | bit;
        let valid = host_bits & bit != 0 && desc >> 2 & 7 != 4;
        if valid {
            assert_eq!(map(&realm, ipa, 3, desc), Status::Success, "{bit:#x}");
            assert_eq!(realm.entry(ipa, 3).desc, desc);
            assert_eq!(unmap(&realm, ipa, 3).0, Status::Success);
        } else {
            assert_eq!(map(&realm, ipa, 3, desc), Status::Input, "{bit:#x}");
        }
    }
}

// Conformance: RMI_RTT_MAP_UNPROTECTED attr_valid, rtte
#[test]
fn map_attr_valid_mem_attr_and_s2ap() {
    let host = Host::new();
    let realm = host.realm().create();
    let ipa = realm.unprotected();
    realm.tables(ipa, 3);
    for mem_attr in 0..8 {
        for s2ap in 0..4 {
            let desc = PA | mem_attr << 2 | s2ap << 6;
            let status = map(&realm, ipa, 3, desc);
            if mem_attr == 4 {
                assert_eq!(status, Status::Input, "reserved");
                continue;
            }
            assert_eq!(status, Status::Success, "{desc:#x}");
            let report = EntryReport::assigned(3, desc, EMPTY);
            assert_eq!(realm.entry(ipa, 3), report);
            assert_eq!(unmap(&realm, ipa, 3).0, Status::Success);
        }
    }
}

// Conformance: RMI_RTT_MAP_UNPROTECTED attr_valid
#[test]
fn map_attr_valid_with_lpa2() {
    let host = Host::with_features(lpa2_features());
    let realm = host.realm().params(|p| p.flags = 1).create();
    let ipa = realm.unprotected();
    realm.tables(ipa, 3);
    // PA[51:50] at bits 9:8, PA[49:48] in place.
    for desc in [1 << 8, 1 << 9, 1 << 48, 1 << 49] {
        let desc = desc | PA | NS_ATTRIBUTES;
        assert_eq!(map(&realm, ipa, 3, desc), Status::Success, "{desc:#x}");
        assert_eq!(realm.entry(ipa, 3).desc, desc);
        assert_eq!(unmap(&realm, ipa, 3).0, Status::Success);
    }
    for bit in (50..64).chain([0, 1, 5, 10, 11]) {
        let desc = 1 << bit | PA | NS_ATTRIBUTES;
        assert_eq!(map(&realm, ipa, 3, desc), Status::Input, "bit {bit}");
    }
}

// Conformance: RMI_RTT_MAP_UNPROTECTED addr_bound
// Conformance: Bugs others fixed beyond_48_bits
#[test]
fn map_addr_bound() {
    let host = Host::with_features(lpa2_features());
    let realm = host.realm().create();
    let ipa = realm.unprotected();
    realm.tables(ipa, 3);
    for desc in [1 << 48, 1 << 49, 1 << 8, 1 << 9] {
        let status = map(&realm, ipa, 3, desc | NS_ATTRIBUTES);
        assert_eq!(status, Status::Input, "{desc:#x} without LPA2");
    }
    assert_eq!(
        map(&realm, ipa, 3, 1 << 47 | NS_ATTRIBUTES),
        Status::Success
    );
}

// Conformance: RMI_RTT_MAP_UNPROTECTED addr_align
#[test]
fn map_addr_align() {
    let host = Host::new();
    let realm = host.realm().create();
    let ipa = realm.unprotected();
    for (level, size) in [(1, GIB), (2, 2 * MIB)] {
        realm.tables(ipa, level);
        for offset in [PAGE, size / 2] {
            let status = map(&realm, ipa, level, (PA + offset) | NS_ATTRIBUTES);
            assert_eq!(status, Status::Input, "level {level}");
        }
    }
}

// Conformance: RMI_RTT_MAP_UNPROTECTED level_bound, level_bound<rtt_walk, level_bound<rtte_state
// Conformance: RMI_RTT_UNMAP_UNPROTECTED level_bound, level_bound<rtt_walk
// Conformance: RMI_RTT_UNMAP_UNPROTECTED level_bound<rtte_state, outputs
#[test]
fn level_bound() {
    let host = Host::new();
    for (s2sz, start, num) in [(40, 0, 1), (40, 1, 2), (34, 2, 16)] {
        let realm = host.realm().ipa(s2sz, start, num).create();
        let ipa = realm.unprotected();
        // First a walk to level 4 would end early; then one to level 0 would end at a TABLE.
        for table in [start, 3] {
            realm.tables(ipa, table);
            for level in (-1..start.max(1)).chain(NO_LEVELS) {
                both_input(&realm, ipa, level);
            }
        }
    }
}

// Conformance: RMI_RTT_MAP_UNPROTECTED ipa_align
// Conformance: RMI_RTT_UNMAP_UNPROTECTED ipa_align, outputs
#[test]
fn ipa_align() {
    let host = Host::new();
    let realm = host.realm().create();
    let ipa = realm.unprotected();
    realm.tables(ipa, 3);
    for (level, size) in [(1, GIB), (2, 2 * MIB), (3, PAGE)] {
        for offset in [1, size / 2, size + 8] {
            both_input(&realm, ipa + offset, level);
        }
    }
}

// Conformance: RMI_RTT_MAP_UNPROTECTED ipa_bound, ipa_bound<rtte_state
// Conformance: RMI_RTT_UNMAP_UNPROTECTED ipa_bound, ipa_bound<rtte_state, outputs
#[test]
fn ipa_bound() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    let last = realm.unprotected() - PAGE;
    for ipa in [0, PAGE, last, realm.end(), 1 << 48, 1 << 63] {
        both_input(&realm, ipa, 3);
    }
}

// Conformance: RMI_RTT_MAP_UNPROTECTED rtt_walk
#[test]
fn map_rtt_walk() {
    let host = Host::new();
    let realm = host.realm().create();
    let ipa = realm.unprotected();
    for level in 0..3 {
        realm.tables(ipa, i64::from(level));
        for target in (level + 1).max(1)..=3 {
            let status = map(&realm, ipa, target.into(), PA | NS_ATTRIBUTES);
            assert_eq!(status, Status::Rtt(level), "target {target}");
        }
    }
    assert_eq!(map(&realm, ipa, 2, PA | NS_ATTRIBUTES), Status::Success);
    let within = ipa + 5 * PAGE;
    assert_eq!(
        map(&realm, within, 3, PA | NS_ATTRIBUTES),
        Status::Rtt(2),
        "block"
    );
}

// Conformance: RMI_RTT_MAP_UNPROTECTED rtte_state
#[test]
fn map_rtte_state() {
    let host = Host::new();
    let realm = host.realm().create();
    let ipa = realm.unprotected();
    realm.tables(ipa, 3);
    for level in [1, 2] {
        let status = map(&realm, ipa, level.into(), PA | NS_ATTRIBUTES);
        assert_eq!(status, Status::Rtt(level), "TABLE");
    }
    assert_eq!(map(&realm, ipa, 3, PA | NS_ATTRIBUTES), Status::Success);
    assert_eq!(
        map(&realm, ipa, 3, PA | NS_ATTRIBUTES),
        Status::Rtt(3),
        "mapped"
    );
}

// Conformance: RMI_RTT_MAP_UNPROTECTED rd<rtt_walk, rd<rtte_state, ipa_bound<rtt_walk
// Conformance: RMI_RTT_UNMAP_UNPROTECTED rd<rtt_walk, rd<rtte_state, ipa_bound<rtt_walk
#[test]
fn order() {
    let host = Host::new();
    let realm = host.realm().create();
    let ipa = realm.unprotected();
    // rd_bound, rd_state < rtt_walk, rtte_state.
    for rd in [DEVICE, realm.params.rtt_base] {
        let status = host.rtt_map_unprotected(rd, ipa, 3, PA | NS_ATTRIBUTES);
        assert_eq!(status, Status::Input);
        let unmapped = host.rtt_unmap_unprotected(rd, ipa, 3);
        assert_eq!(unmapped, (Status::Input, 0));
    }
    // level_bound, ipa_bound < rtt_walk, rtte_state; the monitor checks attr_valid before, too.
    both_input(&realm, ipa, 4);
    both_input(&realm, 0, 3);
    assert_eq!(map(&realm, ipa, 3, 1 << 52), Status::Input);
}

// Conformance: RMI_RTT_MAP_UNPROTECTED rtte
#[test]
fn map_success() {
    let host = Host::new();
    let realm = host.realm().create();
    let ipa = realm.unprotected();
    for (level, size) in [(1_i64, GIB), (2, 2 * MIB), (3, PAGE)] {
        let ipa = ipa + level.cast_unsigned() * GIB;
        realm.tables(ipa, level);
        for ipa in [ipa, ipa + 3 * size] {
            assert_eq!(map(&realm, ipa, level, PA | NS_ATTRIBUTES), Status::Success);
            let report = EntryReport::assigned(level, PA | NS_ATTRIBUTES, EMPTY);
            assert_eq!(realm.entry(ipa, level), report);
        }
    }
    // The end of the IPA space.
    let last = realm.end() - PAGE;
    realm.share(last, host.page());
}

// Conformance: RMI_RTT_MAP_UNPROTECTED any_address
#[test]
fn map_any_address() {
    let host = Host::new();
    let realm = host.realm().active(0);
    let ipa = realm.unprotected();
    realm.tables(ipa, 3);
    // A device, the RD of the Realm, no memory: the granule protection check keeps the Realm out.
    let places = [DEVICE, realm.rd, 0x7F_FFFF_F000];
    for (n, pa) in (0..).zip(places) {
        let status = map(&realm, ipa + n * PAGE, 3, pa | NS_ATTRIBUTES);
        assert_eq!(status, Status::Success);
    }
    assert_eq!(host.state(realm.rd), GranuleState::Rd);
}

// Conformance: RMI_RTT_MAP_UNPROTECTED any_state
#[test]
fn in_any_realm_state() {
    let host = Host::new();
    let realm = host.realm().active(1);
    let ipa = realm.unprotected();
    realm.share(ipa, host.page());
    realm.turn_off();
    realm.share(ipa + PAGE, host.page());
    assert_eq!(unmap(&realm, ipa, 3), (Status::Success, ipa + PAGE));
}

// Conformance: RMI_RTT_UNMAP_UNPROTECTED rtt_walk, rtt_walk_block
#[test]
fn unmap_rtt_walk() {
    let host = Host::new();
    let realm = host.realm().create();
    let ipa = realm.unprotected();
    let ends = [512 * 512 * GIB, ipa + 512 * GIB, ipa + GIB];
    for (level, end) in (0..).zip(ends) {
        realm.tables(ipa, i64::from(level));
        assert_eq!(unmap(&realm, ipa, 3), (Status::Rtt(level), end));
    }
    let block = ipa + 4 * MIB;
    assert_eq!(map(&realm, block, 2, PA | NS_ATTRIBUTES), Status::Success);
    assert_eq!(unmap(&realm, ipa, 3), (Status::Rtt(2), block));
    for ipa in [block, block + 5 * PAGE] {
        assert_eq!(unmap(&realm, ipa, 3), (Status::Rtt(2), ipa), "a block");
    }
}

// Conformance: RMI_RTT_UNMAP_UNPROTECTED rtte_state
#[test]
fn unmap_rtte_state() {
    let host = Host::new();
    let realm = host.realm().create();
    let ipa = realm.unprotected();
    realm.tables(ipa, 3);
    assert_eq!(unmap(&realm, ipa, 3), (Status::Rtt(3), ipa + 2 * MIB));
    realm.share(ipa + 9 * PAGE, host.page());
    assert_eq!(unmap(&realm, ipa, 3), (Status::Rtt(3), ipa + 9 * PAGE));
    assert_eq!(unmap(&realm, ipa, 2), (Status::Rtt(2), ipa), "TABLE");
}

// Conformance: RMI_RTT_UNMAP_UNPROTECTED rtte, top
#[test]
fn unmap_success() {
    let host = Host::new();
    let realm = host.realm().create();
    let ipa = realm.unprotected();
    for (level, size) in [(1_i64, GIB), (2, 2 * MIB), (3, PAGE)] {
        let ipa = ipa + level.cast_unsigned() * 8 * GIB;
        let end = (ipa + 1).next_multiple_of(512 * size);
        realm.tables(ipa, level);
        for n in [0, 2] {
            let status = map(&realm, ipa + n * size, level, PA | NS_ATTRIBUTES);
            assert_eq!(status, Status::Success);
        }
        let top = ipa + 2 * size;
        assert_eq!(unmap(&realm, ipa, level), (Status::Success, top));
        let report = EntryReport::unassigned(level, EMPTY);
        assert_eq!(realm.entry(ipa, level), report);
        if level > 1 {
            assert_eq!(unmap(&realm, top, level), (Status::Success, end));
        }
    }
}

// Conformance: RMI_RTT_UNMAP_UNPROTECTED tlb
#[test]
fn unmap_invalidates() {
    let host = Host::new();
    let realm = host.realm().active(1);
    let ipa = realm.unprotected();
    let (first, second) = (host.page_with(&[1; 8]), host.page_with(&[2; 8]));
    realm.share(ipa, first);
    realm.script(0, move |cpu| async move {
        assert_eq!(cpu.read(ipa).await, Ok(0x0101_0101_0101_0101));
        cpu.irq().await;
        assert_eq!(cpu.read(ipa).await, Ok(0x0202_0202_0202_0202));
    });
    let _exit = realm.enter(0);
    assert_eq!(unmap(&realm, ipa, 3).0, Status::Success);
    realm.share(ipa, second);
    let _exit = realm.enter(0);
}
