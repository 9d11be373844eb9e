// SPDX-License-Identifier: BSD-3-Clause
//! A Realm reaches nothing of another Realm, not even of a former one with the same VMID.

use rmm_abi::psci;
use rmm_abi::rmi::RecExitReason;
use rmm_core::fake::{Host, MIB, PAGE, Status, assert_reason};

// Conformance: Invariants no_stale
#[test]
fn a_vmid_that_another_realm_had() {
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
        assert!(cpu.read(0).await.is_err(), "EMPTY in this Realm");
        assert!(cpu.read(block).await.is_err(), "EMPTY in this Realm");
        assert_eq!(cpu.read(PAGE).await, Ok(0x0303_0303_0303_0303));
        let _never = cpu.read(far).await;
    });
    let exit = second.enter(0);
    assert_reason(&exit, RecExitReason::Sync);
    assert_eq!(exit.hpfar, far >> 8, "not mapped in this Realm");
    second.allow_unfinished_scripts();
}

// Conformance: Invariants own_memory
#[test]
fn two_realms() {
    let host = Host::new();
    let realms = [host.realm().with_page(1), host.realm().with_page(1)];
    for (n, realm) in (1..).zip(&realms) {
        realm.script(0, move |cpu| async move {
            cpu.write(0, n).await.expect("RAM");
            cpu.irq().await;
            assert_eq!(cpu.read(0).await, Ok(n));
            let off = [psci::fid::PSCI_AFFINITY_INFO, 1, 0];
            let gprs = cpu.smc(&off).await;
            assert_eq!(gprs[0], psci::INVALID_PARAMETERS, "a REC of another Realm");
        });
    }
    for _ in 0..2 {
        for realm in &realms {
            assert_reason(&realm.enter(0), RecExitReason::Irq);
        }
    }
    // A granule that the other Realm uses is refused.
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
