// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_READ_ENTRY.

use super::NO_LEVELS;
use rmm_core::fake::{
    DESTROYED, EMPTY, EntryReport, GIB, Host, MIB, PAGE, RAM, Status, TestRealm, lpa2_features,
};

/// All outputs zero.
const NOTHING: EntryReport = EntryReport {
    level: 0,
    state: 0,
    desc: 0,
    ripas: 0,
};

addresses! {
    // Conformance: RMI_RTT_READ_ENTRY rd_align, rd_bound, rd_state, outputs
    rd_align_bound_state: Rd => Status::Success, |host, samples, pa| {
        let (status, report) = host.rtt_read_entry(pa, 0, 3);
        assert_eq!(report == NOTHING, status == Status::Input);
        status
    };
}

fn input(realm: &TestRealm<'_>, ipa: u64, level: i64) {
    let found = realm.host.rtt_read_entry(realm.rd, ipa, level);
    assert_eq!(found, (Status::Input, NOTHING), "{ipa:#x} level {level}");
}

// Conformance: RMI_RTT_READ_ENTRY level_bound, outputs
#[test]
fn level_bound() {
    let host = Host::new();
    for (s2sz, start, num) in [(40, 0, 1), (40, 1, 2), (34, 2, 16)] {
        let realm = host.realm().ipa(s2sz, start, num).create();
        for level in (-1..start).chain(NO_LEVELS) {
            input(&realm, 0, level);
        }
        for level in start..=3 {
            let report = EntryReport::unassigned(start, EMPTY);
            assert_eq!(realm.entry(0, level), report, "level {level}");
        }
    }
}

// Conformance: RMI_RTT_READ_ENTRY ipa_align, outputs
#[test]
fn ipa_align() {
    let host = Host::new();
    let realm = host.realm().create();
    for (level, size) in [(0, 512 * GIB), (1, GIB), (2, 2 * MIB), (3, PAGE)] {
        for ipa in [1, size / 2, size + 8] {
            input(&realm, ipa, level);
        }
        assert_eq!(realm.entry(size, level).state, 0);
    }
}

// Conformance: RMI_RTT_READ_ENTRY ipa_bound, outputs
// Conformance: Bugs others fixed ipa_outside
#[test]
fn ipa_bound() {
    let host = Host::new();
    let realm = host.realm().create();
    for ipa in [realm.end(), 1 << 48, 1 << 63, !(GIB - 1)] {
        for level in 0..=3 {
            input(&realm, ipa & !(512 * GIB - 1), level);
        }
    }
    assert_eq!(realm.entry(realm.end() - PAGE, 3).level, 0);
}

// Conformance: RMI_RTT_READ_ENTRY unassigned
#[test]
fn unassigned() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    realm.ram(PAGE, 2 * PAGE);
    realm.data(2 * PAGE, &[]);
    assert_eq!(host.data_destroy(realm.rd, 2 * PAGE).0, Status::Success);
    for ripas in [EMPTY, RAM, DESTROYED] {
        let report = EntryReport::unassigned(3, ripas);
        assert_eq!(realm.entry(ripas * PAGE, 3), report);
    }
    for ipa in [2 * MIB, GIB, 512 * GIB - GIB] {
        let report = realm.entry(ipa, 3);
        assert_eq!((report.state, report.ripas, report.desc), (0, EMPTY, 0));
    }
}

// Conformance: RMI_RTT_READ_ENTRY assigned
#[test]
fn assigned() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    let ram = realm.data(0, &[]);
    let empty = realm.data_unknown(PAGE);
    assert_eq!(realm.entry(0, 3), EntryReport::assigned(3, ram, RAM));
    assert_eq!(realm.entry(PAGE, 3), EntryReport::assigned(3, empty, EMPTY));
    let base = realm.block(2 * MIB);
    for ipa in [2 * MIB, 2 * MIB + 7 * PAGE] {
        let report = EntryReport::assigned(2, base, EMPTY);
        assert_eq!(realm.entry(ipa, 3), report, "the base of the block");
    }
}

// Conformance: RMI_RTT_READ_ENTRY table
#[test]
fn table() {
    let host = Host::new();
    let realm = host.realm().create();
    for ipa in [0, realm.unprotected()] {
        for level in 1..=3 {
            let rtt = realm.granule();
            let status = host.rtt_create(realm.rd, rtt, ipa, level);
            assert_eq!(status, Status::Success);
            let report = EntryReport::table(level - 1, rtt);
            assert_eq!(realm.entry(ipa, level - 1), report);
        }
    }
}

// Conformance: RMI_RTT_READ_ENTRY early
#[test]
fn a_walk_that_stops_early_is_no_error() {
    let host = Host::new();
    let realm = host.realm().create();
    for level in 0..=3 {
        realm.tables(0, level);
        assert_eq!(realm.entry(0, 3).level, level);
    }
}

#[test]
fn concatenated_tables() {
    let host = Host::new();
    let realm = host.realm().ipa(34, 2, 16).create();
    for n in 0..8 {
        let ipa = n * GIB + 6 * MIB;
        let data = realm.data(ipa, &[]);
        assert_eq!(realm.entry(ipa, 3), EntryReport::assigned(3, data, RAM));
        let table = realm.entry(ipa, 2);
        assert_eq!((table.level, table.state), (2, 2));
    }
}

#[test]
fn level_minus_1() {
    let host = Host::with_features(lpa2_features());
    let realm = host.realm().params(|p| p.flags = 1).ipa(52, -1, 1);
    let realm = realm.create();
    assert_eq!(realm.entry(0, -1), EntryReport::unassigned(-1, EMPTY));
    assert_eq!(realm.entry(0, 3).level, -1);
    let ipa = 5 << 48;
    let data = realm.data(ipa, &[]);
    assert_eq!(realm.entry(ipa, 3), EntryReport::assigned(3, data, RAM));
    assert_eq!(realm.entry(ipa, -1).state, 2);
    // The index of a status word has 8 bits.
    let granule = realm.granule();
    let status = host.data_create_unknown(realm.rd, granule, 6 << 48);
    assert_eq!(status, Status::Rtt(-1));
}
