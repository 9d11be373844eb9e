// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_INIT_RIPAS.

use super::DEVICE;
use rmm_core::fake::{DESTROYED, EMPTY, EntryReport, GIB, Host, MIB, PAGE, RAM, Status, TestRealm};

addresses! {
    // Conformance: RMI_RTT_INIT_RIPAS rd_align, rd_bound, rd_state
    init_rd_align_bound_state: Rd => Status::Success, |host, samples, pa| {
        host.rtt_init_ripas(pa, PAGE, 2 * PAGE).0
    };
}

fn init(realm: &TestRealm<'_>, base: u64, top: u64) -> (Status, u64) {
    realm.host.rtt_init_ripas(realm.rd, base, top)
}

/// Outputs of a command that fails.
pub fn failed(status: Status) -> (Status, u64) {
    (status, 0)
}

/// Outputs of a command that succeeds up to `top`.
pub fn done(top: u64) -> (Status, u64) {
    (Status::Success, top)
}

/// Asserts that the page at `ipa` is UNASSIGNED with this RIPAS.
pub fn assert_unassigned(realm: &TestRealm<'_>, ipa: u64, ripas: u64) {
    let report = realm.entry(ipa, 3);
    assert_eq!((report.state, report.ripas), (0, ripas), "{ipa:#x}");
}

// Conformance: RMI_RTT_INIT_RIPAS size_valid
#[test]
fn size_valid() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    for (base, top) in [(0, 0), (PAGE, PAGE), (2 * PAGE, PAGE), (u64::MAX, 0)] {
        assert_eq!(init(&realm, base, top), failed(Status::Input));
    }
}

// Conformance: RMI_RTT_INIT_RIPAS top_bound
#[test]
fn top_bound() {
    let host = Host::new();
    let realm = host.realm().create();
    let end = realm.unprotected();
    realm.tables(end - PAGE, 3);
    for top in [end + PAGE, realm.end(), 1 << 48, u64::MAX - (PAGE - 1)] {
        assert_eq!(init(&realm, end - PAGE, top), failed(Status::Input));
    }
    let beyond = init(&realm, end, end + PAGE);
    assert_eq!(beyond, failed(Status::Input), "Unprotected");
    assert_eq!(init(&realm, end - PAGE, end), done(end));
}

// Conformance: RMI_RTT_INIT_RIPAS top_gran_align
#[test]
fn top_gran_align() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    for top in [1, PAGE - 1, PAGE + 8, 2 * PAGE + 0x800] {
        assert_eq!(init(&realm, 0, top), failed(Status::Input));
    }
}

// Conformance: RMI_RTT_INIT_RIPAS realm_state
#[test]
fn realm_state() {
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    realm.tables(0, 3);
    realm.activate();
    assert_eq!(init(&realm, 0, PAGE), failed(Status::Realm(0)), "ACTIVE");
    realm.turn_off();
    assert_eq!(
        init(&realm, 0, PAGE),
        failed(Status::Realm(0)),
        "SYSTEM_OFF"
    );
}

// Conformance: RMI_RTT_INIT_RIPAS base_align
#[test]
fn base_align() {
    let host = Host::new();
    let realm = host.realm().create();
    assert_eq!(init(&realm, PAGE, 512 * GIB), failed(Status::Rtt(0)));
    realm.tables(0, 1);
    assert_eq!(init(&realm, 2 * MIB, 4 * GIB), failed(Status::Rtt(1)));
    realm.tables(0, 2);
    assert_eq!(init(&realm, PAGE, 4 * MIB), failed(Status::Rtt(2)));
    realm.tables(0, 3);
    assert_eq!(init(&realm, 8, PAGE), failed(Status::Rtt(3)), "not a page");
}

// Conformance: RMI_RTT_INIT_RIPAS rtte_state
#[test]
fn rtte_state() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.data(0, &[]);
    realm.data_unknown(PAGE);
    for base in [0, PAGE] {
        assert_eq!(init(&realm, base, 3 * PAGE), failed(Status::Rtt(3)));
    }
    realm.block(2 * MIB);
    assert_eq!(init(&realm, 2 * MIB, 4 * MIB), failed(Status::Rtt(2)));
}

// Conformance: RMI_RTT_INIT_RIPAS no_progress
#[test]
fn no_progress() {
    let host = Host::new();
    let realm = host.realm().create();
    assert_eq!(init(&realm, 0, 2 * MIB), failed(Status::Rtt(0)));
    realm.tables(0, 1);
    assert_eq!(init(&realm, 0, GIB - PAGE), failed(Status::Rtt(1)));
    realm.tables(0, 2);
    assert_eq!(init(&realm, 0, 2 * MIB - PAGE), failed(Status::Rtt(2)));
    assert_eq!(init(&realm, 0, PAGE), failed(Status::Rtt(2)));
}

// Conformance: RMI_RTT_INIT_RIPAS rd<others, top_gran_align<no_progress
#[test]
fn order() {
    let host = Host::new();
    let realm = host.realm().active(0);
    // rd_bound, rd_state < realm_state, base_align, rtte_state, no_progress.
    for rd in [DEVICE, realm.params.rtt_base] {
        let bad_rd = host.rtt_init_ripas(rd, PAGE, 2 * PAGE);
        assert_eq!(bad_rd, failed(Status::Input));
    }
    let realm = host.realm().create();
    // top_gran_align < no_progress.
    assert_eq!(init(&realm, 0, PAGE + 8), failed(Status::Input));
    // top_bound < base_align: a walk needs an IPA in the IPA space.
    let beyond = init(&realm, realm.end() + 8, realm.end() + PAGE);
    assert_eq!(beyond, failed(Status::Input));
}

// Conformance: RMI_RTT_INIT_RIPAS ram, out_top
#[test]
fn success_to_top() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    assert_eq!(init(&realm, PAGE, 5 * PAGE), done(5 * PAGE));
    for page in 0..8 {
        let ripas = if (1..5).contains(&page) { RAM } else { EMPTY };
        assert_unassigned(&realm, page * PAGE, ripas);
    }
}

// Conformance: RMI_RTT_INIT_RIPAS out_top
#[test]
fn success_to_the_end_of_the_table() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    assert_eq!(init(&realm, MIB, 64 * MIB), done(2 * MIB));
    assert_unassigned(&realm, MIB, RAM);
    assert_unassigned(&realm, 2 * MIB - PAGE, RAM);
    assert_unassigned(&realm, 2 * MIB, EMPTY);
}

// Conformance: RMI_RTT_INIT_RIPAS out_top
#[test]
fn success_to_a_table() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(6 * MIB, 3);
    assert_eq!(init(&realm, 0, GIB), done(6 * MIB));
    assert_eq!(realm.entry(4 * MIB, 3), EntryReport::unassigned(2, RAM));
    assert_unassigned(&realm, 6 * MIB, EMPTY);
}

// Conformance: RMI_RTT_INIT_RIPAS out_top
#[test]
fn success_in_whole_entries() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 2);
    assert_eq!(init(&realm, 0, 5 * MIB), done(4 * MIB));
    assert_unassigned(&realm, 2 * MIB, RAM);
    assert_unassigned(&realm, 4 * MIB, EMPTY);
    // The rest needs an RTT.
    realm.tables(4 * MIB, 3);
    assert_eq!(init(&realm, 4 * MIB, 5 * MIB), done(5 * MIB));
}

// Conformance: RMI_RTT_INIT_RIPAS ram
#[test]
fn success_whatever_the_ripas() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.data(PAGE, &[]);
    assert_eq!(host.data_destroy(realm.rd, PAGE).0, Status::Success);
    realm.ram(2 * PAGE, 3 * PAGE);
    assert_unassigned(&realm, PAGE, DESTROYED);
    assert_eq!(init(&realm, PAGE, 3 * PAGE), done(3 * PAGE));
    assert_unassigned(&realm, PAGE, RAM);
    assert_eq!(init(&realm, 0, 3 * PAGE), done(3 * PAGE));
}

// Conformance: RMI_RTT_INIT_RIPAS over_assigned
#[test]
fn success_over_assigned() {
    let host = Host::new();
    let realm = host.realm().create();
    let data = realm.data_unknown(PAGE);
    assert_eq!(init(&realm, 0, 3 * PAGE), done(3 * PAGE));
    assert_eq!(realm.entry(PAGE, 3), EntryReport::assigned(3, data, RAM));
}
