// SPDX-License-Identifier: BSD-3-Clause
//! RMI_REALM_CREATE, RMI_REALM_ACTIVATE, RMI_REALM_TERMINATE, RMI_REALM_DESTROY.

use rmm_abi::rmi::v2::RealmParams;
use rmm_core::fake::v2::{Host2, TestRealm2};
use rmm_core::fake::{Config, EMPTY, EntryReport, PAGE, Status, full_features};
use rmm_core::machine::CpuFeatures;
use rmm_granule::GranuleState::{Delegated, Rd, Rtt};
use zerocopy::IntoBytes;

/// The answer to a Realm with these parameters; a Realm that succeeds is destroyed.
fn answer(host: &Host2, change: impl FnOnce(&mut RealmParams)) -> Status {
    let mut params = host.realm().prepared();
    let base = params.rtt_base;
    change(&mut params);
    let rd = host.granule();
    let status = host.realm_create(rd, host.page_with(params.as_bytes()));
    if status == Status::Success {
        assert_eq!(host.realm_terminate(rd), Status::Success);
        assert_eq!(host.realm_destroy(rd), Status::Success);
    }
    host.undelegate_range(rd, rd + PAGE);
    host.undelegate_range(base, base + PAGE);
    status
}

// Conformance: 2.0 RMI_REALM_CREATE granules, realm_state
// Conformance: 2.0 RMI_REALM_ACTIVATE realm_state, active
// Conformance: 2.0 RMI_REALM_TERMINATE realm_state
// Conformance: 2.0 RMI_REALM_DESTROY realm_state, granules
#[test]
fn life() {
    let host = Host2::new();
    let realm = host.realm().create();
    let (rd, base) = (realm.rd, realm.params.rtt_base);
    assert_eq!([rd, base].map(|pa| host.state(pa)), [Rd, Rtt]);
    assert_eq!(host.realm_destroy(rd), Status::Realm(0), "realm_state: NEW");
    realm.activate();
    assert_eq!(host.realm_activate(rd), Status::Realm(0), "realm_state");
    assert_eq!(
        host.realm_destroy(rd),
        Status::Realm(0),
        "realm_state: ACTIVE"
    );
    assert_eq!(host.realm_terminate(rd), Status::Success);
    assert_eq!(host.realm_terminate(rd), Status::Success, "still a ZOMBIE");
    assert_eq!(host.realm_activate(rd), Status::Realm(0), "realm_state");
    assert_eq!(host.realm_destroy(rd), Status::Success);
    assert_eq!([rd, base].map(|pa| host.state(pa)), [Delegated, Delegated]);
    for pa in [rd, base] {
        assert_eq!(host.realm_terminate(pa), Status::Input, "rd_state");
        assert_eq!(host.realm_destroy(pa), Status::Input, "rd_state");
    }
    realm.mark_destroyed();
    host.undelegate_range(rd, rd + PAGE);
    host.undelegate_range(base, base + PAGE);
}

// Conformance: 2.0 RMI_REALM_TERMINATE realm_state
#[test]
fn a_new_realm_can_be_terminated() {
    let host = Host2::new();
    let realm = host.realm().create();
    assert_eq!(host.realm_terminate(realm.rd), Status::Success);
    assert_eq!(host.realm_activate(realm.rd), Status::Realm(0));
}

#[test]
fn addresses_of_an_rd() {
    let host = Host2::new();
    let realm = host.realm().create();
    for rd in [
        realm.rd + 8,
        realm.params.rtt_base,
        host.page(),
        0x0900_0000,
    ] {
        assert_eq!(host.realm_activate(rd), Status::Input);
        assert_eq!(host.realm_terminate(rd), Status::Input);
        assert_eq!(host.realm_destroy(rd), Status::Input);
    }
}

// Conformance: 2.0 RMI_REALM_CREATE params_valid, params_supp, ats_plane, rtt_num_level, rtt_align, rtt_state
// Conformance: 2.0 RMI_REALM_CREATE mec_policy
#[test]
fn values() {
    let host = Host2::with(Config {
        features: full_features(),
        ..Config::v2()
    });
    let good: [fn(&mut RealmParams); 6] = [
        |_| (),
        |params| params.flags0 = 1 << 0, // LPA2
        |params| (params.flags0, params.pmu_num_ctrs) = (1 << 2, 6),
        |params| params.flags0 = 1 << 5, // LFA allowed
        |params| params.hash_algo = 1,
        |params| params.max_num_vdevs = 7,
    ];
    for (n, change) in good.into_iter().enumerate() {
        assert_eq!(answer(&host, change), Status::Success, "{n}");
    }
    let bad: [fn(&mut RealmParams); 22] = [
        |params| params.hash_algo = 3,
        |params| params.hash_algo = 0xFF,
        |params| params.num_bps = 0,
        |params| params.num_wps = 0,
        |params| params.num_bps = 6,
        |params| params.num_wps = 4,
        |params| (params.flags0, params.pmu_num_ctrs) = (1 << 2, 7),
        |params| params.flags0 = 1 << 1, // SVE
        |params| params.flags0 = 1 << 3, // DA
        |params| params.flags0 = 2 << 5, // LFA policy
        |params| params.flags0 = 2 << 7, // MEC policy
        |params| params.flags1 = 1 << 0, // trees per plane
        |params| params.flags1 = 1 << 1, // indirect permissions
        |params| params.flags1 = 1 << 2, // ATS
        |params| params.num_aux_planes = 1,
        |params| params.ats_plane = 1,
        |params| params.s2sz = 49,
        |params| params.s2sz = 31,
        |params| params.rtt_level_start = 2,
        |params| params.rtt_num_start = 2,
        |params| params.rtt_base += 8,
        |params| params.rtt_base += PAGE, // UNDELEGATED, or the RD
    ];
    for (n, change) in bad.into_iter().enumerate() {
        assert_eq!(answer(&host, change), Status::Input, "{n}");
    }
    let private_mec = |params: &mut RealmParams| params.flags0 = 1 << 7;
    assert_eq!(answer(&host, private_mec), Status::Global, "mec_policy");
}

// Conformance: 2.0 RMI_REALM_CREATE rd_align, rd_bound, rd_state, params_align, params_pas
#[test]
fn addresses() {
    let host = Host2::new();
    let params = host.realm().prepared();
    let (rd, page) = (host.granule(), host.page_with(params.as_bytes()));
    for bad in [rd + 8, params.rtt_base, host.page(), 0x0900_0000] {
        assert_eq!(host.realm_create(bad, page), Status::Input, "{bad:#x}");
    }
    for bad in [page + 8, rd, 0x0900_0000, 0x8000_0000] {
        assert_eq!(host.realm_create(rd, bad), Status::Input, "{bad:#x}");
    }
}

// Conformance: 2.0 RMI_REALM_CREATE alias
#[test]
fn the_rd_is_no_start_level_rtt() {
    let host = Host2::new();
    let two = |params: &mut RealmParams| {
        (params.s2sz, params.rtt_level_start, params.rtt_num_start) = (40, 1, 2)
    };
    let params = host.realm().params(two).prepared();
    let page = host.page_with(params.as_bytes());
    for n in 0..2 {
        let rd = params.rtt_base + n * PAGE;
        assert_eq!(host.realm_create(rd, page), Status::Input, "alias");
    }
    let rd = host.granule();
    assert_eq!(host.realm_create(rd, page), Status::Success);
    assert_eq!(host.realm_terminate(rd), Status::Success);
    assert_eq!(host.realm_destroy(rd), Status::Success);
}

// Conformance: 2.0 RMI_REALM_CREATE entries
#[test]
fn a_new_realm_has_nothing() {
    let host = Host2::new();
    let realm = host.realm().create();
    let middle = realm.unprotected();
    for ipa in [0, middle - PAGE, middle, realm.end() - PAGE] {
        assert_eq!(
            realm.entry(ipa, 3),
            EntryReport::unassigned(0, EMPTY),
            "{ipa:#x}"
        );
    }
}

// Conformance: 2.0 RMI_REALM_DESTROY realm_live
#[test]
fn a_realm_that_is_live_is_not_destroyed() {
    let host = Host2::new();
    let fill: [fn(&TestRealm2<'_>); 3] = [
        |realm| assert_eq!(realm.rec(true), 0),
        |realm| realm.tables(0, 1),
        |realm| assert_ne!(realm.data(0, &[]), 0),
    ];
    for (fill, what) in fill.into_iter().zip(["a REC", "a table", "DATA"]) {
        let realm = host.realm().create();
        fill(&realm);
        assert_eq!(host.realm_terminate(realm.rd), Status::Success);
        assert_eq!(host.realm_destroy(realm.rd), Status::Realm(0), "{what}");
    }
}

// Conformance: 2.0 RMI_REALM_CREATE vmid, vmid_unique
#[test]
fn vmids_are_the_monitors() {
    let host = Host2::with(Config {
        features: CpuFeatures {
            vmid16: false,
            ..rmm_core::fake::features()
        },
        ..Config::v2()
    });
    host.leniently(|| {
        let realms: Vec<_> = (0..256).map(|_| host.realm().create()).collect();
        let vmids: std::collections::HashSet<_> = realms.iter().map(|realm| realm.vmid()).collect();
        assert_eq!(vmids.len(), 256);
        assert!(vmids.iter().all(|vmid| *vmid < 256));
        assert_eq!(answer(&host, |_| ()), Status::Global, "vmid");
        let freed = realms[100].vmid();
        realms[100].destroy();
        assert_eq!(host.realm().create().vmid(), freed);
    });
}
