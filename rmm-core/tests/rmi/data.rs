// SPDX-License-Identifier: BSD-3-Clause
//! RMI_DATA_CREATE, RMI_DATA_CREATE_UNKNOWN and RMI_DATA_DESTROY.

use super::DEVICE;
use rmm_abi::rmi::RecExitReason;
use rmm_core::fake::{
    Config, DESTROYED, EMPTY, EntryReport, GIB, Host, MIB, PAGE, RAM, Status, TestRealm,
    assert_reason, esr, lpa2_features,
};
use rmm_granule::fake::Pas;
use rmm_granule::{Bank, GranuleState, Pa};

addresses! {
    // Conformance: RMI_DATA_CREATE src_align, src_bound, src_pas
    create_src_align_bound_pas: Undelegated => Status::Success, |host, samples, pa| {
        host.data_create(samples.realm.rd, samples.delegated, PAGE, pa, 0)
    };
    // Conformance: RMI_DATA_CREATE data_align, data_bound, data_state
    create_data_align_bound_state: Delegated => Status::Success, |host, samples, pa| {
        host.data_create(samples.realm.rd, pa, PAGE, samples.undelegated, 0)
    };
    // Conformance: RMI_DATA_CREATE rd_align, rd_bound, rd_state
    create_rd_align_bound_state: Rd => Status::Success, |host, samples, pa| {
        host.data_create(pa, samples.delegated, PAGE, samples.undelegated, 0)
    };
    // Conformance: RMI_DATA_CREATE_UNKNOWN data_align, data_bound, data_state
    create_unknown_data_align_bound_state: Delegated => Status::Success, |host, samples, pa| {
        host.data_create_unknown(samples.realm.rd, pa, PAGE)
    };
    // Conformance: RMI_DATA_CREATE_UNKNOWN rd_align, rd_bound, rd_state
    create_unknown_rd_align_bound_state: Rd => Status::Success, |host, samples, pa| {
        host.data_create_unknown(pa, samples.delegated, PAGE)
    };
    // Conformance: RMI_DATA_DESTROY rd_align, rd_bound, rd_state, outputs
    destroy_rd_align_bound_state: Rd => Status::Success, |host, samples, pa| {
        let (status, data, top) = host.data_destroy(pa, 0);
        if status != Status::Success {
            assert_eq!((data, top), (0, 0));
        }
        status
    };
}

/// RMI_DATA_CREATE and RMI_DATA_CREATE_UNKNOWN, which have to fail with the same status.
fn create_both_ways(realm: &TestRealm<'_>, data: u64, ipa: u64) -> Status {
    let src = realm.host.page();
    let status = realm.host.data_create(realm.rd, data, ipa, src, 0);
    assert_eq!(
        realm.host.data_create_unknown(realm.rd, data, ipa),
        status,
        "RMI_DATA_CREATE_UNKNOWN"
    );
    status
}

fn destroy(realm: &TestRealm<'_>, ipa: u64) -> (Status, u64, u64) {
    realm.host.data_destroy(realm.rd, ipa)
}

// Conformance: RMI_DATA_CREATE ipa_align
// Conformance: RMI_DATA_CREATE_UNKNOWN ipa_align
#[test]
fn create_ipa_align() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    for ipa in [1, 0x800, PAGE + 8, u64::MAX] {
        assert_eq!(
            create_both_ways(&realm, realm.granule(), ipa),
            Status::Input
        );
    }
}

// Conformance: RMI_DATA_CREATE ipa_bound, ipa_bound<rtt_walk, ipa_bound<rtte_state
// Conformance: RMI_DATA_CREATE_UNKNOWN ipa_bound, ipa_bound<rtt_walk, ipa_bound<rtte_state
// Conformance: Bugs others fixed ipa_outside
#[test]
fn create_ipa_bound() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(realm.unprotected(), 3);
    let data = realm.granule();
    for ipa in [
        realm.unprotected(),
        realm.end() - PAGE,
        realm.end(),
        1 << 48,
        1 << 63,
        u64::MAX - (PAGE - 1),
    ] {
        assert_eq!(
            create_both_ways(&realm, data, ipa),
            Status::Input,
            "{ipa:#x}"
        );
    }
}

// Conformance: RMI_DATA_CREATE data_bound2
// Conformance: RMI_DATA_CREATE_UNKNOWN data_bound2
// Conformance: Bugs others fixed beyond_48_bits
#[test]
fn create_data_bound2() {
    let far = 3 << 48;
    let mut config = Config {
        features: lpa2_features(),
        ..Config::default()
    };
    let size = MIB;
    config.dram.push(Bank { base: far, size });
    let host = Host::with(config);
    host.delegate(far);
    let realm = host.realm().create();
    realm.tables(0, 3);
    assert_eq!(create_both_ways(&realm, far, 0), Status::Input);

    let lpa2 = host.realm().params(|p| p.flags = 1).create();
    lpa2.tables(0, 3);
    assert_eq!(host.data_create_unknown(lpa2.rd, far, 0), Status::Success);
    // PA[49:48] in place.
    assert_eq!(lpa2.entry(0, 3), EntryReport::assigned(3, far, EMPTY));
    assert_eq!(destroy(&lpa2, 0), (Status::Success, far, 2 * MIB));
    host.undelegate(far);
}

// Conformance: RMI_DATA_CREATE realm_state
#[test]
fn create_realm_state() {
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    realm.tables(0, 3);
    realm.activate();
    let (data, src) = (realm.granule(), host.page());
    let create = || host.data_create(realm.rd, data, 0, src, 0);
    assert_eq!(create(), Status::Realm(0), "ACTIVE");
    realm.turn_off();
    assert_eq!(create(), Status::Realm(0), "SYSTEM_OFF");
}

// Conformance: RMI_DATA_CREATE_UNKNOWN any_state
// Conformance: RMI_DATA_DESTROY any_state
#[test]
fn create_unknown_in_any_realm_state() {
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    realm.data_unknown(0);
    realm.activate();
    realm.data_unknown(PAGE);
    realm.turn_off();
    realm.data_unknown(2 * PAGE);
    assert_eq!(destroy(&realm, 2 * PAGE).0, Status::Success);
}

// Conformance: RMI_DATA_CREATE rtt_walk
// Conformance: RMI_DATA_CREATE_UNKNOWN rtt_walk
#[test]
fn create_rtt_walk() {
    let host = Host::new();
    let realm = host.realm().create();
    let data = realm.granule();
    for level in 0..3 {
        realm.tables(0, i64::from(level));
        assert_eq!(create_both_ways(&realm, data, 0), Status::Rtt(level));
    }
    realm.block(4 * MIB);
    assert_eq!(
        create_both_ways(&realm, data, 4 * MIB),
        Status::Rtt(2),
        "in a block"
    );
    assert_eq!(
        create_both_ways(&realm, data, 5 * MIB),
        Status::Rtt(2),
        "in a block"
    );
}

// Conformance: RMI_DATA_CREATE rtte_state
// Conformance: RMI_DATA_CREATE_UNKNOWN rtte_state
#[test]
fn create_rtte_state() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.data(0, &[]);
    realm.data_unknown(PAGE);
    for ipa in [0, PAGE] {
        assert_eq!(
            create_both_ways(&realm, realm.granule(), ipa),
            Status::Rtt(3)
        );
    }
}

// Conformance: RMI_DATA_CREATE rd<realm_state, rd<rtt_walk, rd<rtte_state
// Conformance: RMI_DATA_CREATE_UNKNOWN rd<rtt_walk, rd<rtte_state
#[test]
fn create_order() {
    let host = Host::new();
    let realm = host.realm().active(0);
    let (data, src) = (realm.granule(), host.page());
    let create = |rd, ipa| host.data_create(rd, data, ipa, src, 0);
    let unknown = |rd, ipa| host.data_create_unknown(rd, data, ipa);
    // rd_bound, rd_state < realm_state; rtt_walk, rtte_state.
    for rd in [DEVICE, realm.params.rtt_base] {
        assert_eq!(create(rd, 0), Status::Input);
        assert_eq!(unknown(rd, 0), Status::Input);
    }
    // ipa_bound < rtt_walk, rtte_state.
    assert_eq!(unknown(realm.rd, realm.unprotected()), Status::Input);
}

// Conformance: Bugs others fixed alias
#[test]
fn create_alias() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    assert_eq!(
        create_both_ways(&realm, realm.rd, 0),
        Status::Input,
        "data = rd"
    );
    let data = realm.granule();
    let status = host.data_create(realm.rd, data, 0, data, 0);
    assert_eq!(status, Status::Input, "data = src");
    let status = host.data_create(realm.rd, data, 0, realm.rd, 0);
    assert_eq!(status, Status::Input, "src = rd");
}

// Conformance: RMI_DATA_CREATE src_late, src_pas
#[test]
fn create_src_in_another_pas() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    let (data, src) = (realm.granule(), host.page_with(&[1; 4096]));
    for pas in [Pas::Secure, Pas::Root, Pas::Realm] {
        host.move_to(src, pas);
        let status = host.data_create(realm.rd, data, 0, src, 1);
        assert_eq!(status, Status::Input, "{pas:?}");
        host.move_to(src, Pas::NonSecure);
    }
    host.undelegate(data);
    host.delegate(data);
}

/// Brings the page at `ipa`, for which there is an RTT, to UNASSIGNED with this RIPAS.
fn make_unassigned(realm: &TestRealm<'_>, ipa: u64, ripas: u64) {
    match ripas {
        EMPTY => {}
        RAM => realm.ram(ipa, ipa + PAGE),
        _ => {
            realm.data(ipa, &[]);
            assert_eq!(destroy(realm, ipa).0, Status::Success);
        }
    }
    assert_eq!(realm.entry(ipa, 3), EntryReport::unassigned(3, ripas));
}

// Conformance: RMI_DATA_CREATE content, rtte, state
#[test]
fn create_success_whatever_the_ripas() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    let content: Vec<u8> = (0..4096_u32).map(|n| n.to_le_bytes()[0] ^ 0x77).collect();
    for ripas in [EMPTY, RAM, DESTROYED] {
        let ipa = ripas * PAGE;
        make_unassigned(&realm, ipa, ripas);
        let data = realm.data(ipa, &content);
        assert_eq!(realm.entry(ipa, 3), EntryReport::assigned(3, data, RAM));
        let found = host.board().memory.peek(Pa(data));
        assert_eq!(found.to_vec(), content);
        assert!(
            host.board().was_published(&found),
            "published as instructions"
        );
        assert_eq!(host.state(data), GranuleState::Data);
    }
}

// Conformance: RMI_DATA_CREATE_UNKNOWN ripas
// Conformance: RMI_RTT_READ_ENTRY assigned
#[test]
fn create_unknown_success_keeps_the_ripas() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    for ripas in [EMPTY, RAM, DESTROYED] {
        let ipa = ripas * PAGE;
        make_unassigned(&realm, ipa, ripas);
        let data = realm.data_unknown(ipa);
        assert_eq!(realm.entry(ipa, 3), EntryReport::assigned(3, data, ripas));
        let found = host.board().memory.peek(Pa(data));
        assert!(
            host.board().was_published(&found),
            "published as instructions"
        );
    }
}

#[test]
fn create_at_the_last_protected_page() {
    let host = Host::new();
    for (s2sz, start, num) in [(40, 0, 1), (32, 1, 1), (34, 2, 16), (48, 0, 1)] {
        let realm = host.realm().ipa(s2sz, start, num).create();
        let last = realm.unprotected() - PAGE;
        let data = realm.data(last, b"the last page");
        assert_eq!(realm.entry(last, 3), EntryReport::assigned(3, data, RAM));
        let past = realm.unprotected();
        assert_eq!(destroy(&realm, last), (Status::Success, data, past));
    }
}

// Conformance: RMI_DATA_DESTROY ipa_align, ipa_bound, outputs
#[test]
fn destroy_ipa_align_bound() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.data(0, &[]);
    for ipa in [
        1,
        PAGE - 1,
        realm.unprotected(),
        realm.end(),
        1 << 63,
        u64::MAX,
    ] {
        let failed = (Status::Input, 0, 0);
        assert_eq!(destroy(&realm, ipa), failed, "{ipa:#x}");
    }
}

// Conformance: RMI_DATA_DESTROY rtt_walk
#[test]
fn destroy_rtt_walk() {
    let host = Host::new();
    let realm = host.realm().create();
    // No entry is live in the RTT where the walk ends: `top` is the end of that RTT.
    for (level, top) in [(0, 512 * 512 * GIB), (1, 512 * GIB), (2, GIB)] {
        realm.tables(0, i64::from(level));
        assert_eq!(destroy(&realm, 0), (Status::Rtt(level), 0, top));
        assert_eq!(destroy(&realm, PAGE), (Status::Rtt(level), 0, top));
    }
    // `top` is the next live entry.
    realm.tables(6 * MIB, 3);
    assert_eq!(destroy(&realm, PAGE), (Status::Rtt(2), 0, 6 * MIB));
    realm.tables(GIB * 3, 2);
    assert_eq!(destroy(&realm, GIB), (Status::Rtt(1), 0, 3 * GIB));
}

// Conformance: RMI_DATA_DESTROY rtt_walk_block
#[test]
fn destroy_in_a_block() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.block(2 * MIB);
    for ipa in [2 * MIB, 2 * MIB + 5 * PAGE] {
        assert_eq!(destroy(&realm, ipa), (Status::Rtt(2), 0, ipa));
    }
    assert_eq!(destroy(&realm, MIB), (Status::Rtt(2), 0, 2 * MIB));
}

// Conformance: RMI_DATA_DESTROY rtte_state
#[test]
fn destroy_rtte_state() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    let table_end = 2 * MIB;
    assert_eq!(destroy(&realm, 0), (Status::Rtt(3), 0, table_end));
    let top = |ipa| destroy(&realm, ipa).2;
    realm.data(7 * PAGE, &[]);
    assert_eq!(destroy(&realm, 0), (Status::Rtt(3), 0, 7 * PAGE));
    assert_eq!(top(6 * PAGE), 7 * PAGE);
    assert_eq!(top(8 * PAGE), table_end);
}

// Conformance: RMI_DATA_DESTROY rd<rtt_walk, rd<rtte_state, ipa_bound<rtt_walk
// Conformance: RMI_DATA_DESTROY ipa_bound<rtte_state
#[test]
fn destroy_order() {
    let host = Host::new();
    let realm = host.realm().create();
    // rd_bound, rd_state < rtt_walk, rtte_state.
    for rd in [DEVICE, realm.params.rtt_base] {
        assert_eq!(host.data_destroy(rd, 0), (Status::Input, 0, 0));
    }
    // ipa_bound < rtt_walk, rtte_state.
    let ipa = realm.unprotected();
    assert_eq!(destroy(&realm, ipa), (Status::Input, 0, 0));
}

// Conformance: RMI_DATA_DESTROY ripas_ram, ripas_empty, ripas_destroyed, data, state
#[test]
fn destroy_success() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    for (before, after) in [(EMPTY, EMPTY), (RAM, DESTROYED), (DESTROYED, DESTROYED)] {
        let ipa = before * PAGE;
        make_unassigned(&realm, ipa, before);
        let data = realm.data_unknown(ipa);
        assert_eq!(destroy(&realm, ipa), (Status::Success, data, 2 * MIB));
        assert_eq!(realm.entry(ipa, 3), EntryReport::unassigned(3, after));
        host.undelegate(data);
    }
}

// Conformance: RMI_DATA_DESTROY top
#[test]
fn destroy_success_top() {
    let host = Host::new();
    let realm = host.realm().create();
    let first = realm.data(PAGE, &[]);
    let third = realm.data(3 * PAGE, &[]);
    assert_eq!(destroy(&realm, PAGE), (Status::Success, first, 3 * PAGE));
    let end = 512 * PAGE;
    assert_eq!(destroy(&realm, 3 * PAGE), (Status::Success, third, end));
}

// Conformance: RMI_DATA_DESTROY tlb
#[test]
fn destroy_invalidates_the_page() {
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    let data = realm.data(0, b"secret");
    realm.activate();
    realm.script(0, |cpu| async move {
        let value = cpu.read(0).await.expect("RAM");
        assert_eq!(value & 0xFFFF_FFFF_FFFF, u64::from_le_bytes(*b"secret\0\0"));
        cpu.irq().await;
    });
    let _exit = realm.enter(0);
    assert_eq!(destroy(&realm, 0).0, Status::Success);
    // Panics if a translation of the Realm is still in the TLB.
    host.undelegate(data);
    let _exit = realm.enter(0);
}

// Conformance: RMI_DATA_CREATE_UNKNOWN content
#[test]
fn create_unknown_after_use_by_another_realm() {
    let host = Host::new();
    let first = host.realm().create();
    let _rec = first.rec(true);
    let data = first.data(PAGE, &[]);
    first.activate();
    first.script(0, |cpu| async move {
        cpu.write(PAGE + 8, 0x5EC2_E75E_C2E7_5EC2)
            .await
            .expect("RAM");
    });
    assert_reason(&first.enter(0), RecExitReason::Irq);
    assert_eq!(
        host.data_destroy(first.rd, PAGE),
        (Status::Success, data, 2 * MIB)
    );

    let second = host.realm().create();
    let _rec = second.rec(true);
    second.tables(0, 3);
    second.ram(0, PAGE);
    second.activate();
    assert_eq!(
        host.data_create_unknown(second.rd, data, 0),
        Status::Success
    );
    second.script(0, |cpu| async move {
        assert_eq!(cpu.read(8).await, Ok(0));
    });
    assert_reason(&second.enter(0), RecExitReason::Irq);
}

// Conformance: RMI_DATA_DESTROY tlb
#[test]
fn destroy_under_a_running_realm() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let rd = realm.rd;
    let ipa = realm.unprotected();
    realm.share(ipa, host.page());
    realm.script(0, move |cpu| async move {
        cpu.write(0, 0x5EC2_E75E_C2E7_5EC2).await.expect("RAM");
        cpu.write(ipa, 1).await.expect("shared");
        cpu.meanwhile(|host| {
            let (status, data, _) = host.data_destroy(rd, 0);
            assert_eq!(status, Status::Success);
            // Asserts that no translation reaches the granule, and that it is all zero.
            host.undelegate(data);
            host.delegate(data);
            let (status, _) = host.rtt_unmap_unprotected(rd, ipa, 3);
            assert_eq!(status, Status::Success);
        });
        let _never = cpu.read(0).await;
    });
    let exit = realm.enter(0);
    assert_reason(&exit, RecExitReason::Sync);
    assert_eq!(exit.esr, esr::DATA_ABORT | esr::translation_fault(3));
    realm.allow_unfinished_scripts();
}
