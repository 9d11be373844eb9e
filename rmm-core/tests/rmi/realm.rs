// SPDX-License-Identifier: BSD-3-Clause
//! RMI_REALM_ACTIVATE and RMI_REALM_DESTROY.

use super::realm_create::accepts;
use rmm_core::fake::{EMPTY, EntryReport, GIB, Host, MIB, NS_ATTRIBUTES, Status};
use zerocopy::IntoBytes;

addresses! {
    // Conformance: RMI_REALM_ACTIVATE rd_align, rd_bound, rd_state, rd<realm_state
    activate_rd_align_bound_state: Rd => Status::Success, |host, samples, pa| {
        host.realm_activate(pa)
    };
    // Conformance: RMI_REALM_DESTROY rd_align, rd_bound, rd_state, rd<realm_live
    destroy_rd_align_bound_state: Rd => Status::Realm(0), |host, samples, pa| {
        host.realm_destroy(pa)
    };
}

// Conformance: RMI_REALM_ACTIVATE active
#[test]
fn activate_success() {
    let host = Host::new();
    let realm = host.realm().create();
    assert_eq!(host.realm_activate(realm.rd), Status::Success, "no REC");
    let (rec, params) = (realm.granule(), realm.rec_params(0, true));
    let params_ptr = host.page_with(params.as_bytes());
    let status = host.rec_create(realm.rd, rec, params_ptr);
    assert_eq!(status, Status::Realm(0), "ACTIVE");
}

// Conformance: RMI_REALM_ACTIVATE realm_state
#[test]
fn activate_realm_state() {
    let host = Host::new();
    let realm = host.realm().active(1);
    assert_eq!(host.realm_activate(realm.rd), Status::Realm(0), "ACTIVE");
    realm.turn_off();
    assert_eq!(
        host.realm_activate(realm.rd),
        Status::Realm(0),
        "SYSTEM_OFF"
    );
}

// Conformance: RMI_REALM_DESTROY any_state
#[test]
fn destroy_in_each_state() {
    let host = Host::new();
    host.realm().create().destroy();
    host.realm().active(0).destroy();
    let realm = host.realm().active(1);
    realm.turn_off();
    assert_eq!(host.realm_destroy(realm.rd), Status::Realm(0), "a REC");
    realm.destroy();
}

// Conformance: RMI_REALM_DESTROY realm_live
#[test]
fn destroy_realm_live() {
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(false);
    assert_eq!(host.realm_destroy(realm.rd), Status::Realm(0), "a REC");
    assert_eq!(host.rec_destroy(realm.rec_pa(0)), Status::Success);
    assert_eq!(host.realm_destroy(realm.rd), Status::Success);
    realm.mark_destroyed();
}

// Conformance: RMI_REALM_DESTROY realm_live_table
#[test]
fn destroy_realm_live_by_a_table() {
    let host = Host::new();
    let realm = host.realm().create();
    for ipa in [0, realm.unprotected()] {
        realm.tables(ipa, 1);
        assert_eq!(host.realm_destroy(realm.rd), Status::Realm(0), "{ipa:#x}");
        assert_eq!(host.rtt_destroy(realm.rd, ipa, 1).0, Status::Success);
    }
    assert_eq!(host.realm_destroy(realm.rd), Status::Success);
    realm.mark_destroyed();
}

// Conformance: RMI_REALM_DESTROY realm_live_assigned
#[test]
fn destroy_realm_live_by_a_block() {
    let host = Host::new();
    let realm = host.realm().ipa(34, 2, 16).create();
    let ipa = GIB + 2 * MIB;
    let base = realm.block(ipa);
    // An entry of the second start-level RTT.
    let block = EntryReport::assigned(2, base, EMPTY);
    assert_eq!(realm.entry(ipa, 2), block);
    assert_eq!(host.realm_destroy(realm.rd), Status::Realm(0));
    assert_eq!(realm.entry(ipa, 2), block);
}

// Conformance: RMI_REALM_DESTROY realm_live_table
#[test]
fn destroy_realm_live_by_a_table_in_any_start_level_rtt() {
    let host = Host::new();
    for ipa in [0, 512 * GIB, 1024 * GIB, 1536 * GIB] {
        let realm = host.realm().ipa(41, 1, 4).create();
        realm.tables(ipa, 2);
        assert_eq!(host.realm_destroy(realm.rd), Status::Realm(0), "{ipa:#x}");
    }
}

// Conformance: RMI_REALM_DESTROY assigned_ns
#[test]
fn destroy_with_assigned_ns_at_the_start_level() {
    let host = Host::new();
    let realm = host.realm().ipa(34, 1, 1).create();
    let block = realm.unprotected();
    let status = host.rtt_map_unprotected(realm.rd, block, 1, 0x8000_0000 | NS_ATTRIBUTES);
    assert_eq!(status, Status::Success);
    assert_eq!(host.realm_destroy(realm.rd), Status::Success, "not live");
    host.undelegate(realm.params.rtt_base);
    host.undelegate(realm.rd);
    realm.mark_destroyed();
}

// Conformance: RMI_REALM_DESTROY granules, vmid_free
#[test]
fn destroy_frees_everything() {
    let host = Host::new();
    let (rd, params) = (host.granule(), host.realm().prepared());
    for _ in 0..3 {
        accepts(&host, rd, &params);
        assert_eq!(host.realm_activate(rd), Status::Input, "not an RD any more");
        assert_eq!(host.realm_destroy(rd), Status::Input, "not an RD any more");
    }
    host.undelegate(rd);
    host.undelegate(params.rtt_base);
}
