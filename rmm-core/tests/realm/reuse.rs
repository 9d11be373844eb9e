// SPDX-License-Identifier: BSD-3-Clause
//! What one Realm leaves must not reach the next, nor the Host: Granules, VMIDs, translations.

use super::{MIB, assert_reason, with_page};
use rmm_abi::psci;
use rmm_abi::rmi::RecExitReason;
use rmm_core::fake::{Host, PAGE, Status, TestRealm, audit};
use zerocopy::IntoBytes;

const SECRET: u64 = 0x5EC2_E75E_C2E7_5EC2;

fn secret_page() -> [u8; 4096] {
    let mut page = [0; 4096];
    for word in page.chunks_exact_mut(8) {
        word.copy_from_slice(&SECRET.to_le_bytes());
    }
    page
}

/// Has REC 0 read the page at `ipa`.
fn reads(realm: &TestRealm<'_>, ipa: u64, expected: u64) {
    realm.script(0, move |cpu| async move {
        assert_eq!(cpu.read(ipa).await, Ok(expected));
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: Invariants no_stale
#[test]
fn a_vmid_means_nothing_to_its_next_owner() {
    let host = Host::new();
    let (shared, block) = (host.page_with(&[1; 8]), 2 * MIB);
    let first = host.realm().create();
    let _rec = first.rec(true);
    first.data(0, &[2; 8]);
    first.block(block);
    first.share(first.unprotected(), shared);
    first.activate();
    let far = first.unprotected();
    first.script(0, move |cpu| async move {
        for ipa in [0, far] {
            let _value = cpu.read(ipa).await.expect("memory");
        }
    });
    assert_reason(&first.enter(0), RecExitReason::Irq);
    let vmid = first.params.vmid;
    first.destroy();

    let second = host.realm().params(|p| p.vmid = vmid).create();
    let _rec = second.rec(true);
    second.data(PAGE, &[3; 8]);
    second.activate();
    second.script(0, move |cpu| async move {
        assert!(cpu.read(0).await.is_err(), "EMPTY here");
        assert!(cpu.read(block).await.is_err(), "EMPTY here");
        assert_eq!(cpu.read(PAGE).await, Ok(0x0303_0303_0303_0303));
        let _never = cpu.read(far).await;
    });
    let exit = second.enter(0);
    assert_reason(&exit, RecExitReason::Sync);
    assert_eq!(exit.hpfar, far >> 8, "not mapped here");
    second.may_be_unfinished();
}

// Conformance: RMI_DATA_CREATE_UNKNOWN content
#[test]
fn a_data_granule_of_another_realm_is_empty() {
    let host = Host::new();
    let first = host.realm().create();
    let _rec = first.rec(true);
    let data = first.data(PAGE, &[]);
    first.activate();
    first.script(0, |cpu| async move {
        cpu.write(PAGE + 8, SECRET).await.expect("RAM");
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
    reads(&second, 8, 0);
}

// Conformance: RMI_GRANULE_UNDELEGATE gran_content
// Conformance: Invariants wiped
#[test]
fn each_kind_of_granule_comes_back_empty() {
    let host = Host::new();
    let realm = host.realm().create();
    let rec = realm.rec_of(realm.rec(true));
    let data = realm.data(0, &secret_page());
    let rtt = realm.entry(0, 2).desc;
    realm.activate();
    realm.script(0, |cpu| async move {
        cpu.context(|context| context.gprs.fill(SECRET));
        cpu.simd(|simd| simd.q.fill([SECRET; 2]))
            .await
            .expect("SIMD");
        cpu.el1(|el1| el1.tpidr_el1 = SECRET);
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);
    assert_eq!(host.data_destroy(realm.rd, 0).0, Status::Success);
    assert_eq!(host.rtt_destroy(realm.rd, 0, 3).1, rtt);
    assert_eq!(host.rec_destroy(rec.rec), Status::Success);
    let (rd, base) = (realm.rd, realm.params.rtt_base);
    for pa in rec.aux.into_iter().chain([data, rtt, rec.rec]) {
        // Asserts that nothing is in it.
        host.undelegate(pa);
        host.delegate(pa);
    }
    realm.destroy();
    for pa in [rd, base] {
        assert_eq!(host.read(pa, 4096), [0; 4096]);
    }
}

// Conformance: RMI_DATA_CREATE_UNKNOWN state
#[test]
fn a_granule_goes_through_every_role() {
    let host = Host::new();
    let realm = host.realm().active(0);
    let granule = host.page();
    let params = host.realm().prepared();
    for _ in 0..2 {
        host.delegate(granule);
        // RTT.
        assert_eq!(host.rtt_create(realm.rd, granule, 0, 1), Status::Success);
        assert_eq!(host.granule_undelegate(granule), Status::Input);
        assert_eq!(host.rtt_destroy(realm.rd, 0, 1).1, granule);
        // DATA.
        realm.tables(0, 3);
        assert_eq!(
            host.data_create_unknown(realm.rd, granule, 0),
            Status::Success
        );
        assert_eq!(host.granule_undelegate(granule), Status::Input);
        assert_eq!(host.data_destroy(realm.rd, 0).1, granule);
        for (ipa, level) in [(0, 3), (0, 2), (0, 1)] {
            assert_eq!(host.rtt_destroy(realm.rd, ipa, level).0, Status::Success);
        }
        // RD.
        let params_ptr = host.page_with(params.as_bytes());
        assert_eq!(host.realm_create(granule, params_ptr), Status::Success);
        assert_eq!(host.granule_undelegate(granule), Status::Input);
        assert_eq!(host.realm_destroy(granule), Status::Success);
        // REC and REC_AUX.
        let other = host.realm().create();
        for n in [0, 1] {
            let (index, mut rec) = (n, granule);
            let mut params = other.rec_params(index, true);
            if n == 1 {
                rec = std::mem::replace(&mut params.aux[0], granule);
            }
            let params_ptr = host.page_with(params.as_bytes());
            assert_eq!(host.rec_create(other.rd, rec, params_ptr), Status::Success);
            assert_eq!(host.granule_undelegate(granule), Status::Input);
            assert_eq!(host.rec_destroy(rec), Status::Success);
        }
        host.undelegate(granule);
    }
    let _counts = audit(&host);
}

// Conformance: RMI_RTT_FOLD tlb
// Conformance: RMI_RTT_CREATE tlb
#[test]
fn folding_and_unfolding_under_a_running_realm() {
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    realm.tables(2 * MIB, 2);
    realm.ram(2 * MIB, 4 * MIB);
    realm.block(2 * MIB);
    realm.activate();
    let (rd, spare) = (realm.rd, realm.granule());
    realm.script(0, move |cpu| async move {
        let all = [0, 1, 255, 511].map(|n| 2 * MIB + n * PAGE);
        for ipa in all {
            cpu.write(ipa, ipa).await.expect("RAM");
        }
        for _ in 0..3 {
            cpu.meanwhile(|host| {
                assert_eq!(host.rtt_create(rd, spare, 2 * MIB, 3), Status::Success);
            });
            for ipa in all {
                assert_eq!(cpu.read(ipa).await, Ok(ipa));
            }
            cpu.meanwhile(|host| {
                assert_eq!(host.rtt_fold(rd, 2 * MIB, 3), (Status::Success, spare));
            });
            for ipa in all {
                assert_eq!(cpu.read(ipa).await, Ok(ipa));
            }
        }
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: RMI_DATA_DESTROY tlb
#[test]
fn memory_taken_from_a_running_realm() {
    let host = Host::new();
    let realm = with_page(&host);
    let rd = realm.rd;
    let ipa = realm.unprotected();
    realm.share(ipa, host.page());
    realm.script(0, move |cpu| async move {
        cpu.write(0, SECRET).await.expect("RAM");
        cpu.write(ipa, 1).await.expect("shared");
        cpu.meanwhile(|host| {
            let (status, data, _) = host.data_destroy(rd, 0);
            assert_eq!(status, Status::Success);
            // Asserts that no translation reaches it, and that it is empty.
            host.undelegate(data);
            host.delegate(data);
            let (status, _) = host.rtt_unmap_unprotected(rd, ipa, 3);
            assert_eq!(status, Status::Success);
        });
        let _never = cpu.read(0).await;
    });
    let exit = realm.enter(0);
    assert_reason(&exit, RecExitReason::Sync);
    assert_eq!(exit.esr, 0x24 << 26 | 0x07);
    realm.may_be_unfinished();
}

// Conformance: RMI_RTT_DESTROY tlb
#[test]
fn tables_taken_from_a_running_realm() {
    let host = Host::new();
    let realm = with_page(&host);
    let (rd, ipa) = (realm.rd, realm.unprotected());
    for n in 0..3 {
        realm.share(ipa + n * PAGE, host.page());
    }
    realm.script(0, move |cpu| async move {
        for n in 0..3 {
            cpu.write(ipa + n * PAGE, n).await.expect("shared");
        }
        cpu.meanwhile(|host| {
            // ASSIGNED_NS does not keep a table.
            let (status, rtt, _) = host.rtt_destroy(rd, ipa, 3);
            assert_eq!(status, Status::Success);
            host.undelegate(rtt);
            host.delegate(rtt);
        });
        let _never = cpu.read(ipa + 2 * PAGE).await;
    });
    let exit = realm.enter(0);
    assert_reason(&exit, RecExitReason::Sync);
    assert_eq!(exit.hpfar, (ipa + 2 * PAGE) >> 8, "no stale translation");
    realm.may_be_unfinished();
}

// Conformance: Invariants own_memory
#[test]
fn two_realms_have_nothing_in_common() {
    let host = Host::new();
    let realms = [with_page(&host), with_page(&host)];
    for (n, realm) in (1..).zip(&realms) {
        realm.script(0, move |cpu| async move {
            cpu.write(0, n).await.expect("RAM");
            cpu.irq().await;
            assert_eq!(cpu.read(0).await, Ok(n));
            let off = [psci::fid::PSCI_AFFINITY_INFO, 1, 0];
            let gprs = cpu.smc(&off).await;
            assert_eq!(gprs[0], psci::INVALID_PARAMETERS, "no REC of another");
        });
    }
    for _ in 0..2 {
        for realm in &realms {
            assert_reason(&realm.enter(0), RecExitReason::Irq);
        }
    }
    // Each command with a Granule of the other's.
    let [first, second] = &realms;
    let data = second.granule();
    assert_eq!(
        host.data_create_unknown(first.rd, data, PAGE),
        Status::Success
    );
    assert_eq!(
        host.data_create_unknown(second.rd, data, PAGE),
        Status::Input
    );
    assert_eq!(host.data_destroy(first.rd, PAGE).1, data);
}
