// SPDX-License-Identifier: BSD-3-Clause
//! RMI_REC_AUX_COUNT, RMI_REC_CREATE and RMI_REC_DESTROY.

use super::DEVICE;
use rmm_abi::mpidr::index_to_mpidr_el1;
use rmm_abi::rmi::{RealmFlags, RecExitReason, RecParams, index_to_mpidr};
use rmm_core::fake::{Host, Samples, Status, TestRealm, assert_record, audit, full_features};
use rmm_granule::GranuleState;
use rmm_granule::fake::Pas;
use zerocopy::IntoBytes;

fn create(realm: &TestRealm<'_>, rec: u64, params: &RecParams) -> Status {
    let params_ptr = realm.host.page_with(params.as_bytes());
    realm.host.rec_create(realm.rd, rec, params_ptr)
}

/// Creates the REC and destroys it again. The next index of the Realm is one more.
fn accepts(realm: &TestRealm<'_>, rec: u64, params: &RecParams) {
    assert_eq!(create(realm, rec, params), Status::Success);
    assert_eq!(realm.host.rec_destroy(rec), Status::Success);
}

/// A Realm with SVE, whose RECs have several auxiliary granules; `host` is of a CPU with SVE.
fn sve_realm(host: &Host) -> TestRealm<'_> {
    let sve = RealmFlags::SVE.bits();
    host.realm()
        .params(|p| (p.flags, p.sve_vl) = (sve, 1))
        .create()
}

/// RMI_REC_CREATE; if it succeeds, the REC is destroyed.
fn create_and_destroy(host: &Host, rd: u64, rec: u64, params: &RecParams) -> Status {
    let status = host.rec_create(rd, rec, host.page_with(params.as_bytes()));
    if status == Status::Success {
        assert_eq!(host.rec_destroy(rec), Status::Success);
    }
    status
}

addresses! {
    // Conformance: RMI_REC_CREATE rec_align, rec_bound, rec_state
    create_rec_align_bound_state: Delegated => Status::Success, |host, samples, pa| {
        let realm = &samples.realm;
        create_and_destroy(host, realm.rd, pa, &realm.rec_params(1, true))
    };
    // Conformance: RMI_REC_CREATE rd_align, rd_bound, rd_state, rd<num_recs
    create_rd_align_bound_state: Rd => Status::Success, |host, samples, pa| {
        create_and_destroy(host, pa, samples.delegated, &samples.realm.rec_params(1, true))
    };
    // Conformance: RMI_REC_CREATE aux_align, aux_bound, aux_state
    create_aux_align_bound_state: Delegated => Status::Success, |host, samples, pa| {
        let realm = &samples.realm;
        let mut params = realm.rec_params(1, true);
        params.aux[0] = pa;
        create_and_destroy(host, realm.rd, realm.granule(), &params)
    };
    // Conformance: RMI_REC_DESTROY rec_align, rec_bound, rec_gran_state, rec<rec_state
    destroy_rec_align_bound_gran_state: Rec => Status::Success, |host, samples, pa| {
        host.rec_destroy(pa)
    };
    // Conformance: RMI_REC_AUX_COUNT rd_align, rd_bound, rd_state, outputs
    aux_count_rd_align_bound_state: Rd => Status::Success, |host, samples, pa| {
        let (status, count) = host.rec_aux_count(pa);
        assert_eq!(count == 0, status == Status::Input);
        status
    };
}

// Conformance: RMI_REC_AUX_COUNT aux_count
#[test]
fn aux_count_success() {
    let host = Host::with_features(full_features());
    let realm = host.realm().create();
    let (status, count) = host.rec_aux_count(realm.rd);
    assert_eq!(status, Status::Success);
    assert!((1..=16).contains(&count));
    let sve = RealmFlags::SVE.bits();
    let sve = host.realm().params(|p| (p.flags, p.sve_vl) = (sve, 3));
    let sve = sve.create();
    let (status, with_sve) = host.rec_aux_count(sve.rd);
    assert_eq!(status, Status::Success);
    assert!(
        (count..=7).contains(&with_sve),
        "a REC has 8 granules at most"
    );
}

// Conformance: RMI_REC_CREATE params_align, params_bound, params_pas
#[test]
fn create_params_align_bound_pas() {
    let host = Host::new();
    let samples = Samples::new(&host);
    let (rd, rec) = (samples.realm.rd, samples.delegated);
    let params = samples.realm.rec_params(1, true);
    for bad in samples.bad_ns(params.as_bytes()) {
        assert_eq!(host.rec_create(rd, rec, bad.pa), Status::Input, "{bad:x?}");
    }
    let page = host.page_with(params.as_bytes());
    for pas in [Pas::Secure, Pas::Root, Pas::Realm] {
        host.move_to(page, pas);
        assert_eq!(host.rec_create(rd, rec, page), Status::Input, "{pas:?}");
    }
    host.move_to(page, Pas::NonSecure);
    assert_eq!(host.rec_create(rd, rec, page), Status::Success);
    assert_eq!(host.rec_destroy(rec), Status::Success);
}

// Conformance: RMI_REC_CREATE aux_align, aux_bound, aux_state
// Conformance: Bugs others fixed lock_on_error
#[test]
fn create_aux_align_bound_state_of_each() {
    let host = Host::with_features(full_features());
    let realm = sve_realm(&host);
    let rec = realm.granule();
    let good = realm.rec_params(0, true);
    let count = usize::try_from(good.num_aux).expect("at most 16");
    for n in 0..count {
        let mut params = good;
        for bad in [host.page(), good.aux[n] + 8, DEVICE] {
            params.aux[n] = bad;
            assert_eq!(create(&realm, rec, &params), Status::Input, "{n}");
        }
    }
    accepts(&realm, rec, &good);
}

// Conformance: RMI_REC_CREATE aux_alias, aux_alias_rec
// Conformance: Bugs others fixed alias
#[test]
fn create_aux_alias() {
    let host = Host::with_features(full_features());
    let realm = sve_realm(&host);
    let rec = realm.granule();
    let good = realm.rec_params(0, true);
    let count = usize::try_from(good.num_aux).expect("at most 16");
    assert!(count > 1);
    for n in 0..count {
        let mut params = good;
        params.aux[n] = rec;
        assert_eq!(create(&realm, rec, &params), Status::Input, "rec, {n}");
        params.aux[n] = good.aux[(n + 1) % count];
        assert_eq!(create(&realm, rec, &params), Status::Input, "twice, {n}");
        params.aux[n] = realm.rd;
        assert_eq!(create(&realm, rec, &params), Status::Input, "rd, {n}");
    }
    accepts(&realm, rec, &good);
}

#[test]
fn create_alias_of_rd_and_rec() {
    let host = Host::new();
    let realm = host.realm().create();
    let params = realm.rec_params(0, true);
    assert_eq!(create(&realm, realm.rd, &params), Status::Input);
}

#[test]
fn create_aux_beyond_the_count_is_ignored() {
    let host = Host::new();
    let realm = host.realm().create();
    let mut params = realm.rec_params(0, true);
    params.aux[15] = 0xDEAD;
    let count = usize::try_from(params.num_aux).expect("at most 16");
    params.aux[count] = realm.rd;
    accepts(&realm, realm.granule(), &params);
}

// Conformance: RMI_REC_CREATE num_aux
#[test]
fn create_num_aux() {
    let host = Host::new();
    let realm = host.realm().create();
    let rec = realm.granule();
    let good = realm.rec_params(0, true);
    for num_aux in [0, good.num_aux + 1, 16, 17, 0x1_0000_0001, u64::MAX] {
        let mut params = good;
        params.num_aux = num_aux;
        // So many granules that nothing else is wrong.
        let given = usize::try_from(num_aux).map_or(16, |n| n.min(16));
        for aux in &mut params.aux[..given] {
            *aux = realm.granule();
        }
        assert_eq!(create(&realm, rec, &params), Status::Input, "{num_aux}");
    }
    accepts(&realm, rec, &good);
}

// Conformance: RMI_REC_CREATE mpidr_index, rec_index
#[test]
fn create_mpidr_index() {
    let host = Host::new();
    let realm = host.realm().create();
    let rec = realm.granule();
    for index in 0..20 {
        let mut params = realm.rec_params(index, true);
        for wrong in [index + 1, index + 16, index ^ 0xF, 0xFFF_FFFF] {
            params.mpidr = index_to_mpidr(wrong);
            assert_eq!(create(&realm, rec, &params), Status::Input, "{wrong}");
        }
        if index > 0 {
            params.mpidr = index_to_mpidr(index - 1);
            assert_eq!(create(&realm, rec, &params), Status::Input, "used before");
        }
        params.mpidr = index_to_mpidr(index);
        accepts(&realm, rec, &params);
    }
}

// Conformance: RMI_REC_CREATE realm_state, realm_state<mpidr_index
#[test]
fn create_realm_state() {
    let host = Host::new();
    let realm = host.realm().active(1);
    let (rec, params) = (realm.granule(), realm.rec_params(1, true));
    assert_eq!(create(&realm, rec, &params), Status::Realm(0), "ACTIVE");
    realm.turn_off();
    assert_eq!(create(&realm, rec, &params), Status::Realm(0), "SYSTEM_OFF");
    // Before mpidr_index and num_aux.
    let mut params = realm.rec_params(0, true);
    assert_eq!(create(&realm, rec, &params), Status::Realm(0));
    params.num_aux = 0;
    assert_eq!(create(&realm, rec, &params), Status::Realm(0));
}

// Conformance: RMI_REC_CREATE rd<realm_state
#[test]
fn create_order() {
    let host = Host::new();
    let realm = host.realm().active(0);
    let params = host.page_with(realm.rec_params(0, true).as_bytes());
    // rd_bound, rd_state < realm_state, num_recs.
    for rd in [DEVICE, realm.params.rtt_base] {
        assert_eq!(host.rec_create(rd, realm.granule(), params), Status::Input);
    }
}

// Conformance: RMI_REC_CREATE num_recs, num_recs_more
// Conformance: RMI_REC_DESTROY num_recs_less
#[test]
fn create_num_recs() {
    let host = Host::new();
    let (_, register) = host.features(0);
    let most = (1 << (register >> 38 & 0xF)) - 1;
    let realm = host.realm().create();
    host.leniently(|| {
        for _ in 0..most {
            let _rec = realm.rec(false);
        }
    });
    assert_eq!(audit(&host).rec, most);
    let index = most as u64;
    let (rec, params) = (realm.granule(), realm.rec_params(index, false));
    assert_eq!(create(&realm, rec, &params), Status::Realm(0));
    // After one has been destroyed, one more can be created.
    assert_eq!(host.rec_destroy(realm.rec_pa(5)), Status::Success);
    assert_eq!(create(&realm, rec, &params), Status::Success);
    let params = realm.rec_params(index + 1, false);
    assert_eq!(create(&realm, realm.granule(), &params), Status::Realm(0));
    assert_eq!(host.rec_destroy(rec), Status::Success);
}

// Conformance: RMI_REC_CREATE granules
#[test]
fn create_success() {
    let host = Host::new();
    let realm = host.realm().create();
    let rec = realm.rec_of(realm.rec(true));
    assert_eq!(host.state(rec.rec), GranuleState::Rec);
    for aux in &rec.aux {
        assert_eq!(host.state(*aux), GranuleState::RecAux);
    }
    assert_eq!(audit(&host).rec, 1);
}

// Conformance: RMI_REC_CREATE registers, runnable, mpidr, nothing_pending
#[test]
fn create_registers_at_the_first_entry() {
    let host = Host::new();
    let realm = host.realm().create();
    let mut params = realm.rec_params(0, true);
    params.pc = 0x1234_5678_9ABC;
    for (n, gpr) in (0..).zip(&mut params.gprs) {
        *gpr = 0x100 + n;
    }
    let _rec = realm.rec_with(&params);
    for index in 1..18 {
        let _rec = realm.rec(index == 17);
    }
    realm.activate();
    realm.script(0, |cpu| async move {
        let gprs = cpu.gprs();
        for (n, gpr) in (0..).zip(gprs) {
            assert_eq!(gpr, if n < 8 { 0x100 + n } else { 0 }, "X{n}");
        }
        cpu.context(|context| {
            assert_eq!(context.pc, 0x1234_5678_9ABC);
            assert_eq!(context.pstate, 0x3C5, "EL1h, DAIF masked");
            assert_eq!(context.vmpidr, index_to_mpidr_el1(0));
        });
        cpu.el1(|el1| {
            assert_eq!(el1.sctlr & 1, 0, "stage 1 off");
            assert_eq!(el1.sctlr >> 25 & 1, 0, "little-endian");
            assert_eq!((el1.vbar, el1.ttbr0, el1.tcr, el1.sp_el1), (0, 0, 0, 0));
        });
        cpu.sp_el0_and_keys(|sp_el0, keys| assert_eq!((*sp_el0, *keys), (0, [0; 10])));
        let simd = cpu.simd(|simd| simd.q).await.expect("FP/SIMD");
        assert_eq!(simd, [[0; 2]; 32]);
    });
    realm.script(17, |cpu| async move {
        // Aff1 1, Aff0 1.
        assert_eq!(cpu.context(|context| context.vmpidr), 1 << 31 | 0x101);
    });
    for rec in [0, 17] {
        let exit = realm.enter(rec);
        assert_record(&exit, RecExitReason::Irq, |_| ());
    }
}

// Conformance: RMI_REC_DESTROY rec_state
#[test]
fn destroy_rec_state() {
    let host = Host::new();
    let realm = host.realm().active(1);
    let rec = realm.rec_pa(0);
    realm.script(0, move |cpu| async move {
        let status = cpu.meanwhile(|host| host.rec_destroy(rec));
        assert_eq!(status, Status::Rec, "RUNNING");
        cpu.irq().await;
        let status = cpu.meanwhile(|host| host.rec_destroy(rec));
        assert_eq!(status, Status::Rec, "RUNNING again");
    });
    let _exit = realm.enter(0);
    let _exit = realm.enter(0);
    assert_eq!(host.rec_destroy(rec), Status::Success, "READY");
}

// Conformance: RMI_REC_DESTROY granules, any_state
#[test]
fn destroy_success_in_each_realm_state() {
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    assert_eq!(host.rec_destroy(realm.rec_pa(0)), Status::Success, "NEW");

    let realm = host.realm().active(2);
    let (rec, aux) = (realm.rec_pa(1), realm.rec_of(1).aux);
    assert_eq!(host.rec_destroy(rec), Status::Success, "ACTIVE");
    assert_eq!(host.rec_destroy(rec), Status::Input, "not a REC any more");
    for pa in aux.into_iter().chain([rec]) {
        host.undelegate(pa);
    }
    realm.turn_off();
    assert_eq!(host.rec_destroy(realm.rec_pa(0)), Status::Success, "OFF");
}

// Conformance: RMI_REC_DESTROY rec_index
#[test]
fn destroy_does_not_free_the_index() {
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    assert_eq!(host.rec_destroy(realm.rec_pa(0)), Status::Success);
    let rec = realm.granule();
    assert_eq!(
        create(&realm, rec, &realm.rec_params(0, true)),
        Status::Input
    );
    accepts(&realm, rec, &realm.rec_params(1, true));
}

#[test]
fn destroy_changes_no_other_granule() {
    let host = Host::new();
    let samples = Samples::new(&host);
    let before = audit(&host);
    assert_eq!(host.rec_destroy(samples.realm.rec_pa(0)), Status::Success);
    let after = audit(&host);
    assert_eq!(
        (after.rec, after.rtt, after.data),
        (0, before.rtt, before.data)
    );
}
