// SPDX-License-Identifier: BSD-3-Clause
//! PSCI calls of a Realm (A4.3.7, B6.3). Those that RMI_PSCI_COMPLETE completes are in
//! `rmm-core/tests/rmi/psci_complete.rs`.

use rmm_abi::psci::fid::*;
use rmm_abi::psci::*;
use rmm_abi::rmi::RecExitReason;
use rmm_core::fake::{Host, Status, assert_psci, assert_reason, assert_record};

// Conformance: PSCI_VERSION version
// Conformance: PSCI_FEATURES supported, unsupported
// Conformance: PSCI_CPU_ON entry, mpidr, self
// Conformance: PSCI_AFFINITY_INFO lowest_level, mpidr, self
// Conformance: Other PSCI functions not_supported
#[test]
fn calls_that_do_not_exit() {
    let host = Host::new();
    let realm = host.realm().active(2);
    let (unprotected, end) = (realm.unprotected(), realm.end());
    realm.script(0, move |cpu| async move {
        cpu.call_returns(&[PSCI_VERSION], 0x1_0001).await;
        for supported in [
            PSCI_VERSION,
            PSCI_FEATURES,
            PSCI_CPU_SUSPEND,
            PSCI_CPU_OFF,
            PSCI_CPU_ON,
            PSCI_AFFINITY_INFO,
            PSCI_SYSTEM_OFF,
            PSCI_SYSTEM_RESET,
        ] {
            cpu.call_returns(&[PSCI_FEATURES, supported], SUCCESS).await;
        }
        for other in [0x8400_0003, 0xC400_000E, 0x8400_0014, 0xC400_0190] {
            cpu.call_returns(&[PSCI_FEATURES, other], NOT_SUPPORTED)
                .await;
        }
        for other in [0x8400_0001, 0x8400_0003, 0x8400_0004, 0xC400_000E] {
            cpu.call_returns(&[other, 1, 0x1000, 2], NOT_SUPPORTED)
                .await;
        }
        for entry in [unprotected, end, 1 << 63] {
            cpu.call_returns(&[PSCI_CPU_ON, 1, entry, 0], INVALID_ADDRESS)
                .await;
        }
        cpu.call_returns(&[PSCI_CPU_ON, 2, 0x1000, 0], INVALID_PARAMETERS)
            .await;
        cpu.call_returns(&[PSCI_CPU_ON, 0, 0x1000, 0], ALREADY_ON)
            .await;
        cpu.call_returns(&[PSCI_AFFINITY_INFO, 0, 0], AFFINITY_ON)
            .await;
        cpu.call_returns(&[PSCI_AFFINITY_INFO, 2, 0], INVALID_PARAMETERS)
            .await;
        cpu.call_returns(&[PSCI_AFFINITY_INFO, 1, 1], INVALID_PARAMETERS)
            .await;
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

// Conformance: RSI calls sve_hint
#[test]
fn sve_hint() {
    let host = Host::new();
    let realm = host.realm().active(1);
    realm.script(0, |cpu| async move {
        cpu.call_returns(&[PSCI_VERSION | 1 << 16], 0x1_0001).await;
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: PSCI_CPU_SUSPEND exit
// Conformance: REC exits psci
#[test]
fn cpu_suspend() {
    let host = Host::new();
    let realm = host.realm().active(1);
    realm.script(0, |cpu| async move {
        // The entry point is ignored.
        let args = [PSCI_CPU_SUSPEND, 0x1_0000, 0x5000, 0x77];
        cpu.call_returns(&args, SUCCESS).await;
    });
    assert_psci(&realm.enter(0), &[PSCI_CPU_SUSPEND, 0x1_0000, 0x5000, 0x77]);
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

// Conformance: PSCI_CPU_OFF exit
#[test]
fn cpu_off() {
    let host = Host::new();
    let realm = host.realm().with_page(2);
    realm.script(1, |cpu| async move {
        let _never = cpu.smc(&[PSCI_CPU_OFF]).await;
    });
    realm.allow_unfinished_scripts();
    assert_psci(&realm.enter(1), &[PSCI_CPU_OFF]);
    assert_eq!(realm.try_enter(1, |_| ()).0, Status::Rec);
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: PSCI_SYSTEM_OFF exit
// Conformance: PSCI_SYSTEM_RESET exit
#[test]
fn system_off_and_reset() {
    for function in [PSCI_SYSTEM_OFF, PSCI_SYSTEM_RESET] {
        let host = Host::new();
        let realm = host.realm().with_page(2);
        realm.script(0, move |cpu| async move {
            let _never = cpu.smc(&[function]).await;
        });
        realm.allow_unfinished_scripts();
        assert_psci(&realm.enter(0), &[function]);
        for rec in [0, 1] {
            let (status, _) = realm.try_enter(rec, |_| ());
            assert_eq!(status, Status::Realm(1));
        }
    }
}

#[test]
fn system_off_while_another_rec_runs() {
    let host = Host::new();
    let realm = host.realm().with_page(2);
    let second = realm.rec_of(1);
    realm.script(0, move |cpu| async move {
        let status = cpu.meanwhile(|host| host.rec_enter(second.rec, second.run));
        assert_eq!(status, Status::Success);
        cpu.write(0, 1).await.expect("RAM");
    });
    realm.script(1, |cpu| async move {
        let _never = cpu.smc(&[PSCI_SYSTEM_OFF]).await;
    });
    realm.allow_unfinished_scripts();
    realm.prepare(realm.rec_of(1).run, |_| ());
    assert_reason(&realm.enter(0), RecExitReason::Irq);
    assert_eq!(realm.try_enter(0, |_| ()).0, Status::Realm(1));
}
